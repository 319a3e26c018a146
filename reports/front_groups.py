"""Which front an explore trial belongs to: that of its code length, or of its value of a key."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.explored import BITS, bit_lengths, bits_label, completed_trials, on_front
from reports.results import SearchResults
from reports.wording import MISSING, parameter_symbol, parameter_value
from saat.metrics import METRICS


def has_fronts_of_lengths(results: SearchResults) -> bool:
    """Whether each code length has a front of its own: unless the length is an objective."""
    names = results.aims.names
    return not any(name in METRICS and f"param.{METRICS[name].key}" == BITS for name in names)


def front_groups(results: SearchResults, by: str = "") -> pd.Series:
    """The label of the front that each explore trial belongs to, in ordered categories.

    Every value of the searched key ``by`` has a front; without a key every code length has one. If
    the code length is an objective, one front compares the lengths.
    """
    explore = results.explore
    if by:
        return _values_of_key(explore, by, results.space.get(by, {}))
    lengths = bit_lengths(explore)
    if not has_fronts_of_lengths(results):
        lengths = lengths.where(lengths == -1, -1)
    order = [bits_label(bits) for bits in sorted(set(lengths))]
    return pd.Series(pd.Categorical(lengths.map(bits_label), order), explore.index)


def on_fronts(results: SearchResults, by: str = "") -> pd.Series:
    """Whether each completed explore trial is on the front of its group."""
    completed = completed_trials(results)
    groups = front_groups(results, by).loc[completed.index]
    found = pd.Series(False, index=completed.index)
    for group in groups.unique():
        found[groups == group] = on_front(results, completed[groups == group])
    return found


def value_label(key: str, value: Any) -> str:
    """A value of a key in a legend: ``cgat`` for text, otherwise ``T=7``."""
    text, symbol = parameter_value(key, value), parameter_symbol(key)
    if text == MISSING:
        return f"without {symbol}"
    return text if isinstance(value, str) else f"{symbol}={text}"


def _values_of_key(frame: pd.DataFrame, key: str, specification: Mapping[str, Any]) -> pd.Series:
    """The value of a key that each trial has, in words, in ordered categories.

    Values of a choice come in the order of the file, numbers by size, and trials without the key
    last.
    """
    column = frame.get(f"param.{key}", pd.Series(None, frame.index, dtype=object))
    given = specification.get("choice") or []
    ranks: dict[str, float] = {}
    values = column.astype(object).where(column.notna(), None).tolist()
    for rank, value in enumerate([*given, *(value for value in values if value is not None)]):
        is_number = not given and isinstance(value, int | float)
        ranks.setdefault(value_label(key, value), float(value) if is_number else rank)
    labels = [value_label(key, value) for value in values]
    order = [*sorted(ranks, key=lambda label: ranks[label]), value_label(key, None)]
    return pd.Series(pd.Categorical(labels, order), frame.index).cat.remove_unused_categories()
