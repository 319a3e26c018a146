"""Ends of a search space where the best settings lie, and what widens the space there.

A range that ends too early hides better settings. So `saat status`, the report and the tracker say
where the settings of the front gather at one end of a range.

An end is worth a notice if all of this holds:

- At least two settings of the front, and at least half of those that have the key, lie within 5 %
  of the range from the end, measured on the scale of the key. On a grid, the last value counts
  always: 5 % of ``int: [1, 5]`` is that value alone.
- Chance explains it badly: of as many settings spread evenly over the range, so many would lie
  there in at most 5 of 100 cases. Two of four settings at one end of ``int: [1, 3]`` say nothing.
- The key itself allows values beyond the end (ε ends at 0 and at 1, steps begin at 1).

Choices have no order, and so no end.
"""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from harness.experiment.config import Experiment
from harness.experiment.configs import key_limits
from harness.experiment.space import Dimension
from harness.journal.state import SearchState
from harness.search.recommendation import front_of
from reports.wording import is_pixel_parameter, parameter_symbol, parameter_value

SHARE = 0.05  # of a range, from its end
_FEWEST = 2  # settings
_CHANCE = 0.05
_ROUNDING = 1e-9
_DECADES = 0.5  # by which a logarithmic range grows; another grows by half its width
_LEAST_LOG = 1e-12  # where a logarithmic range may begin


class _End(NamedTuple):
    """An end of a searched range of numbers; ``step`` is 0 where it is continuous."""

    is_upper: bool
    value: float
    other: float  # the opposite end
    log: bool
    step: float
    is_whole: bool

    @property
    def sign(self) -> int:
        return 1 if self.is_upper else -1

    def reach(self) -> float:
        """The value farthest from the end that still lies within 5 % of the range from it."""
        way = SHARE * (self._scaled(self.other) - self._scaled(self.value))
        reached = math.exp(math.log(self.value) + way) if self.log else self.value + way
        if not self.step:
            return reached
        steps = math.floor(abs(reached - self.value) / self.step + _ROUNDING)
        return self.value - self.sign * steps * self.step

    def chance(self) -> float:
        """Probability that one setting drawn evenly lies as near to the end as ``reach``."""
        half = self.sign * self.step / 2  # a value of a grid stands for the numbers around it
        first, last = self._scaled(self.value + half), self._scaled(self.other - half)
        return (first - self._scaled(self.reach() - half)) / (first - last)

    def wider(self, limit: float, scale: int) -> float:
        """A new end beyond the old one, up to ``limit``; the old one if none is allowed.

        ``scale``: a number is rounded as it is written, in fractions with this denominator.
        """
        if self.log:
            far = float(f"{self.value * 10 ** (self.sign * _DECADES):.0e}")
            far = max(round(far), 1) if self.is_whole else max(far, _LEAST_LOG)
            return float(min(far, limit) if self.is_upper else max(far, limit))
        half = abs(self.value - self.other) / 2
        room = max((limit - self.value) * self.sign, 0.0)
        if self.step:
            wanted = math.ceil(half / self.step - _ROUNDING)
            steps = math.floor(min(wanted, room / self.step + _ROUNDING))
            if not steps:
                return self.value
            return float(f"{(self.value + self.sign * steps * self.step) * scale:.10g}") / scale
        if half >= room:
            return limit
        digits = 1 - math.floor(math.log10(half * scale))
        return round((self.value + self.sign * half) * scale, digits) / scale

    def crowded(self, key: str, values: Sequence[float]) -> str:
        """How many of the values lie there, in words; empty if too few do."""
        reach, slack = self.reach(), _ROUNDING * abs(self.value - self.other)
        near = sum((number - reach) * self.sign >= -slack for number in values)
        if near < max(_FEWEST, len(values) / 2):
            return ""
        if _tail(near, len(values), self.chance()) > _CHANCE:
            return ""
        is_beyond = any((number - self.value) * self.sign > slack for number in values)
        return (
            f"{near} of {len(values)} settings of the front lie "
            f"{'at' if reach == self.value else f'within {100 * SHARE:g} % of'} the "
            f"{'upper' if self.is_upper else 'lower'} end ({parameter_value(key, self.value)})"
            f"{' or beyond it' if is_beyond else ''}"
        )

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def space_notices(experiment: Experiment, state: SearchState) -> list[str]:
    """A sentence for every searched key that settings of the front have at an end of its range."""
    front = [record.config.flat() for record in front_of(experiment.aims, state)]
    return crowded_keys(experiment.space, front, key_limits(experiment))


def crowded_keys(
    space: Mapping[str, Dimension],
    front: Sequence[Mapping[str, Any]],
    limits: Mapping[str, tuple[float, float]],
) -> list[str]:
    """A sentence for each key that settings of the front have at an end of its range.

    It says at which end, how many settings, and what widens the space.

    Args:
        space: of an experiment.
        front: settings with their values by dotted keys, ``{"defense.lambda": 0.3, …}``. A key
            under ``when`` counts in the settings that fulfil its condition.
        limits: key → the smallest and the largest value it may have.
    """
    unlimited = (-math.inf, math.inf)
    found = (_crowded(key, space[key], front, limits.get(key, unlimited)) for key in space)
    return [crowded for crowded in found if crowded]


def _crowded(
    key: str,
    dimension: Dimension,
    front: Iterable[Mapping[str, Any]],
    limits: tuple[float, float],
) -> str:
    having = (setting.get(key) for setting in front if dimension.applies(setting))
    # A paper's default may have a word, such as ``step_size: auto``.
    values = [float(value) for value in having if isinstance(value, int | float)]
    scale = 255 if is_pixel_parameter(key) else 1
    found: list[str] = []
    bounds = list(dimension.bounds) if dimension.choice is None else []
    for end in _ends(dimension):
        new = end.wider(limits[end.is_upper], scale)
        if (new - end.value) * end.sign > 0 and (crowded := end.crowded(key, values)):
            bounds[end.is_upper] = new
            found.append(crowded)
    if not found:
        return ""
    override = shlex.quote(f"space.{key}={_written(dimension, bounds, scale)}")
    told = f"{parameter_symbol(key)}: {', and '.join(found)}"
    return f"{told}; to widen the space: --set {override}"


def _ends(dimension: Dimension) -> list[_End]:
    """Both ends of a range, the upper one at the last value of a grid; none of choices."""
    if dimension.choice is not None or dimension.bounds[0] == dimension.bounds[1]:
        return []
    low, high = dimension.bounds
    is_whole = dimension.int_range is not None
    step = dimension.step or float(is_whole)
    if step:
        high = min(high, low + math.floor((high - low) / step + _ROUNDING) * step)
    look = dimension.log, step, is_whole
    return [_End(False, low, high, *look), _End(True, high, low, *look)]


def _tail(least: int, trials: int, chance: float) -> float:
    """P(X ≥ ``least``) of a binomial distribution; SciPy takes too long to import for a status."""
    return math.fsum(
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(hits + 1)
            - math.lgamma(trials - hits + 1)
            + hits * math.log(chance)
            + (trials - hits) * math.log1p(-chance)
        )
        for hits in range(least, trials + 1)
    )


def _written(dimension: Dimension, bounds: Sequence[float], scale: int) -> str:
    """The entry under ``space`` with other bounds, as YAML in one line."""
    kind = "float" if dimension.int_range is None else "int"
    new = {**dimension.dump(), kind: [_plain(bound, scale) for bound in bounds]}
    if dimension.step:
        new["step"] = _plain(dimension.step, scale)
    text = yaml.safe_dump(
        new, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    )
    return text.strip()


def _plain(value: float, scale: int) -> int | float | str:
    """A number as a person writes it: 30, 0.03, 8/255."""
    count = f"{value * scale:.6g}"
    if scale != 1 and float(count) / scale == value:
        return f"{count}/{scale}"
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value
