"""Confidence intervals over queries."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 1000


class Interval(NamedTuple):
    """A mean and the 95 % interval of its percentile bootstrap, in the unit of the values."""

    mean: float
    low: float
    high: float


def bootstrap_interval(values: ArrayLike) -> Interval:
    """Mean and interval of values per query (Q,), on the CPU; NaN without queries."""
    sample = np.asarray(values, dtype=np.float64)
    if not len(sample):
        return Interval(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(0)
    # Counts of every query in a resample: the mean is their product with the values.
    counts = rng.multinomial(len(sample), np.full(len(sample), 1 / len(sample)), RESAMPLES)
    means = counts @ sample / len(sample)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(sample.mean()), float(low), float(high))
