"""How important each searched key is for each objective, as a search hands it over.

A sampler's library measures it, which reports do without: see
:func:`harness.search.importance.key_importances`.
"""

from typing import NamedTuple


class KeyImportance(NamedTuple):
    """The share that a key has of the importance of all keys, from 0 to 1."""

    key: str  # such as ``defense.lambda``
    objective: str  # plain name of the metric
    share: float
    low: float  # 10 % and 90 % quantiles over resamples of the trials
    high: float
