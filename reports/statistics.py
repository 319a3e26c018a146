"""Intervals over queries and seeds, and the test for a significant difference."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from saat.bootstrap import Interval
from saat.wording import counted

# With fewer seeds the report never claims significance, whatever the p-value. The normality that
# the paired t-test assumes could not be judged, and no rank test would reach 0.05.
SEEDS_FOR_SIGNIFICANCE = 6
RESAMPLES = 2000
_TAIL = (1 - 0.95) / 2  # on either side of an interval
AT_ONCE = 250  # resamples; bounds the memory that many queries take


class SeedSummary(NamedTuple):
    """Spread of one number over training seeds; ``std`` has n − 1 and is NaN for one seed."""

    mean: float
    std: float
    n: int


class PairedComparison(NamedTuple):
    """Difference a − b over the seeds that both were trained with."""

    differences: NDArray[np.float64]  # (S,)
    mean: float
    low: float
    high: float
    p_value: float  # of the two-sided paired t-test; NaN below the needed number of seeds
    verdict: str


def seed_query_interval(values: ArrayLike) -> Interval:
    """Bootstrap of the mean over seeds and queries, both resampled.

    All seeds answer the same queries, so a resample draws seeds and, independently of them, one
    set of queries for all drawn seeds (Owen 2007, "The pigeonhole bootstrap"). Drawing queries
    anew within every seed would average their difficulty away and make the band too narrow.

    Args:
        values: ``(S, Q)`` AP of every query under every seed; 0 without a relevant item.

    Returns:
        The mean over everything and its 95 % percentile interval; NaN for an empty array.
    """
    table = np.asarray(values, dtype=np.float64)
    if not table.size:
        return Interval(np.nan, np.nan, np.nan)
    of_seeds, of_queries = _drawn(RESAMPLES, *table.shape)
    parts = [slice(start, start + AT_ONCE) for start in range(0, RESAMPLES, AT_ONCE)]
    sums = [((of_seeds[part] @ table) * of_queries[part]).sum(axis=1) for part in parts]
    means = np.concatenate(sums) / table.size
    low, high = np.quantile(means, [_TAIL, 1 - _TAIL])
    return Interval(float(table.mean()), float(low), float(high))


def nested_interval(samples: Sequence[ArrayLike]) -> Interval:
    """Bootstrap of the mean over seeds, each of which has queries of its own.

    A resample draws seeds, and anew within each of them its queries.

    Args:
        samples: AP of the queries of each seed, ``(Q_s,)``.

    Returns:
        The mean over seeds of their means, and its 95 % percentile interval; NaN without seeds.
    """
    tables = [np.asarray(values, dtype=np.float64) for values in samples]
    if not tables:
        return Interval(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(tables), size=(RESAMPLES, len(tables)))
    of_draws = np.empty(drawn.shape)
    for seed, table in enumerate(tables):
        places = np.nonzero(drawn == seed)
        rows = rng.integers(len(table), size=(len(places[0]), len(table)))
        of_draws[places] = table[rows].mean(axis=1)
    means = of_draws.mean(axis=1)
    low, high = np.quantile(means, [_TAIL, 1 - _TAIL])
    return Interval(float(np.mean([t.mean() for t in tables])), float(low), float(high))


@lru_cache(maxsize=4)
def _drawn(
    resamples: int, seeds: int, queries: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """How often each resample draws each seed (R, S) and each query (R, Q).

    A report asks for the same numbers of seeds and queries dozens of times.
    """
    rng = np.random.default_rng(0)
    of_seeds = np.empty((resamples, seeds), dtype=np.uint16)
    of_queries = np.empty((resamples, queries), dtype=np.uint16)
    for i in range(resamples):
        of_seeds[i] = np.bincount(rng.integers(seeds, size=seeds), minlength=seeds)
        of_queries[i] = np.bincount(rng.integers(queries, size=queries), minlength=queries)
    return of_seeds, of_queries


def seed_summary(values: ArrayLike) -> SeedSummary:
    """Mean, standard deviation and number of ``(S,)`` values; NaN is left out."""
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    mean = float(sample.mean()) if len(sample) else np.nan
    std = float(sample.std(ddof=1)) if len(sample) > 1 else np.nan
    return SeedSummary(mean, std, len(sample))


def compare_paired(a: ArrayLike, b: ArrayLike, comparisons: int = 1) -> PairedComparison:
    """Compare two settings that were trained with the same seeds.

    The 95 % interval is that of the paired t-test. Significance is claimed only from
    `SEEDS_FOR_SIGNIFICANCE` seeds on, and only when p is below 0.05 divided by the number of
    comparisons declared together (Bonferroni).

    Args:
        a: ``(S,)`` values of the recommended setting, one a seed.
        b: ``(S,)`` values of the setting it is compared with, the same seeds in the same order.
        comparisons: how many comparisons the report makes.
    """
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    n = len(differences)
    mean = float(differences.mean()) if n else np.nan
    half = np.nan
    if n > 1:
        error = differences.std(ddof=1) / np.sqrt(n)
        half = float(error * stats.t.ppf(1 - _TAIL, n - 1))
    p_value = np.nan
    if n < SEEDS_FOR_SIGNIFICANCE:
        few = f"{counted(n, 'seed is', 'seeds are')} too few for a claim of significance"
        verdict = f"{few} ({SEEDS_FOR_SIGNIFICANCE} needed)"
    else:
        p_value, threshold = _paired_p(differences), 2 * _TAIL / comparisons
        verdict = (
            f"{'significant' if p_value < threshold else 'not significant'} "
            f"(paired t-test, {counted(n, 'seed')}, p = {p_value:.2g}, threshold {threshold:.2g}"
            f"{f' for {comparisons} comparisons' if comparisons > 1 else ''})"
        )
    return PairedComparison(differences, mean, mean - half, mean + half, p_value, verdict)


def _paired_p(differences: NDArray[np.float64]) -> float:
    if np.ptp(differences) == 0:  # the t statistic is 0/0 or infinite
        return 0.0 if differences[0] != 0 else 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)
