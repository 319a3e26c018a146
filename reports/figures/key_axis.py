"""The axis of a searched key, which several figures have."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from reports.figures.chart import Axis, Bound, Values
from reports.figures.style import NEUTRAL
from reports.wording import is_pixel_parameter


def unit_of(key: str) -> float:
    """What values of a key are multiplied by on its axis: papers write ε as k/255."""
    return 255.0 if is_pixel_parameter(key) else 1.0


def number_axis(key: str, options: Mapping[str, Any], values: Values) -> Axis:
    """The axis of a range of numbers.

    Args:
        key: such as ``defense.lambda``.
        options: its entry in the search space.
        values: what is drawn, ``(n,)``, in the unit of the axis.
    """
    pixel = is_pixel_parameter(key)
    log = bool(options.get("log")) and bool(np.nanmin(values) > 0)
    label = key + (" (1/255)" if pixel else " (log scale)" if log else "")
    return Axis(label, "log" if log else "whole" if (values % 1 == 0).all() else "linear")


def choice_axis(key: str, choices: tuple[str, ...]) -> Axis:
    """The axis of a choice, whose values are at the positions 0, 1, and so on."""
    return Axis(key, categories=choices, limits=(-0.6, len(choices) - 0.4))


def bounds_of(key: str, options: Mapping[str, Any]) -> Iterator[Bound]:
    """Both ends of a searched range of numbers, in the unit of the axis."""
    for end in options.get("float") or options.get("int") or ():
        if isinstance(end, int | float):
            yield Bound(unit_of(key) * end, NEUTRAL, "ends of the searched range")
