"""Which front an explore trial belongs to: that of its code length, or of its value of a key."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reports.explored import BITS, bit_lengths, bits_label
from reports.results import SearchResults
from reports.wording import MISSING, parameter_symbol, parameter_value
from saat.errors import InputError, did_you_mean, one_line
from saat.metrics import METRICS

MOST_VALUES = 12  # of a key; more fronts in one figure cannot be told apart


def check_by(key: str, space: Mapping[str, Any], run: str) -> None:
    """Refuse a key that has no few values to draw a front for.

    Args:
        key: of ``saat report --by``.
        space: the searched keys of a run, as its experiment file has them.
        run: its name, for the message.

    Raises:
        InputError: the run does not search the key, or the key has more than `MOST_VALUES` values.
    """
    shown, fitting = f"--by {one_line(key, 60)}", [k for k in space if _is_countable(space[k])]
    allowed = ", ".join(fitting) or "none here"
    if key not in space:
        hint = did_you_mean(key, space)
        raise InputError(f"{shown}: {run} does not search this key; allowed: {allowed}{hint}")
    if key not in fitting:
        raise InputError(
            f"{shown}: more than {MOST_VALUES} values, each of which would have a front; allowed "
            f"are keys with a choice or a grid of at most {MOST_VALUES} values: {allowed}"
        )


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
        return values_of_key(explore, by, results.space)
    lengths = bit_lengths(explore)
    if not has_fronts_of_lengths(results):
        lengths = lengths.where(lengths == -1, -1)
    order = [bits_label(bits) for bits in sorted(set(lengths))]
    return pd.Series(pd.Categorical(lengths.map(bits_label), order), explore.index)


def values_of_key(frame: pd.DataFrame, key: str, space: Mapping[str, Any]) -> pd.Series:
    """The value of a key that each trial has, in words, in ordered categories.

    Values of a choice come in the order of the file, numbers by size, and trials without the key
    last.
    """
    column = frame.get(f"param.{key}", pd.Series(None, frame.index, dtype=object))
    given = _values(space.get(key))
    ranks: dict[str, tuple[float, ...]] = {}
    values = column.astype(object).where(column.notna(), None).tolist()
    for value in [*given, *(value for value in values if value is not None)]:
        number = float(value) if isinstance(value, int | float) else math.inf
        listed = given.index(value) if value in given else len(given)
        ranks.setdefault(value_label(key, value), (listed,) if len(given) else (number,))
    labels = [value_label(key, value) for value in values]
    order = [*sorted(ranks, key=lambda label: ranks[label]), value_label(key, None)]
    return pd.Series(pd.Categorical(labels, order), frame.index).cat.remove_unused_categories()


def value_label(key: str, value: Any) -> str:
    """A value of a key in a legend: ``cgat`` for text, otherwise ``T=7``."""
    text, symbol = parameter_value(key, value), parameter_symbol(key)
    if text == MISSING:
        return f"without {symbol}"
    return text if isinstance(value, str) else f"{symbol}={text}"


def _values(specification: Any) -> Sequence[Any]:
    """The values of a choice under ``space``; none for a range."""
    given = specification if isinstance(specification, Mapping) else {}
    return given.get("choice") or []


def _is_countable(specification: Any) -> bool:
    """Whether a searched key has at most `MOST_VALUES` values."""
    if choices := _values(specification):
        return len(choices) <= MOST_VALUES
    return 1 <= _steps(specification) + 1 <= MOST_VALUES


def _steps(specification: Any) -> float:
    """Number of steps from one end of a range to the other; infinite if it is continuous."""
    given = specification if isinstance(specification, Mapping) else {}
    low, high = given.get("int") or given.get("float") or (0.0, math.inf)
    if high == low:
        return 0.0
    step = given.get("step") or ("int" in given)
    return math.floor((high - low) / step + 1e-9) if step else math.inf
