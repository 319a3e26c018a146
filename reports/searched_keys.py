"""Values of searched keys: which keys have few, and how they are written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.wording import MISSING, parameter_symbol, parameter_value
from saat.errors import InputError, did_you_mean, one_line

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


def each_of(experiment: Mapping[str, Any]) -> str:
    """The key of ``search.each``, from the content of a resolved file; empty without one."""
    return (experiment.get("search") or {}).get("each") or ""


def value_label(key: str, value: Any) -> str:
    """A value of a key in a legend: ``cgat`` for text, otherwise ``T=7``."""
    text, symbol = parameter_value(key, value), parameter_symbol(key)
    if text == MISSING:
        return f"without {symbol}"
    return text if isinstance(value, str) else f"{symbol}={text}"


def choices_of(specification: Any) -> Sequence[Any]:
    """The values of a choice under ``space``; none for a range."""
    given = specification if isinstance(specification, Mapping) else {}
    return given.get("choice") or []


def _is_countable(specification: Any) -> bool:
    """Whether a searched key has at most `MOST_VALUES` values."""
    if choices := choices_of(specification):
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
