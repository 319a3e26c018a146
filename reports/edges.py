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
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from reports.wording import is_pixel_parameter, parameter_symbol, parameter_value

SHARE = 0.05  # of a range, from its end
_FEWEST = 2  # settings
_CHANCE = 0.05
_ROUNDING = 1e-9
_DECADES = 0.5  # by which a logarithmic range grows; another grows by half its width
_LEAST_LOG = 1e-12  # where a logarithmic range may begin

Limits = Mapping[str, tuple[float, float]]  # key → the smallest and the largest value it may have


class End(NamedTuple):
    """An end of a range that settings of the front gather at."""

    is_upper: bool
    value: float
    near: int  # settings within 5 % of it, or beyond
    is_exact: bool  # whether only the end itself is within 5 %, as on a coarse grid
    beyond: int  # of ``near``: settings outside the range, which the sampler did not suggest


@dataclass(frozen=True)
class CrowdedKey:
    """A searched key with settings of the front at its ends."""

    key: str
    settings: int  # of the front that have the key
    ends: tuple[End, ...]
    override: str  # ``space.KEY={…}`` for ``--set``; empty if the limits of the key are unknown

    @property
    def text(self) -> str:
        """One sentence: which end, how many settings, and what widens the space."""
        parts = [
            f"{end.near} of {self.settings} settings of the front lie "
            f"{'at' if end.is_exact else f'within {100 * SHARE:g} % of'} the "
            f"{'upper' if end.is_upper else 'lower'} end ({parameter_value(self.key, end.value)})"
            f"{' or beyond it' if end.beyond else ''}"
            for end in self.ends
        ]
        found = f"{parameter_symbol(self.key)}: {', and '.join(parts)}"
        if not self.override:
            return found
        return f"{found}; to widen the space: --set {shlex.quote(self.override)}"


@dataclass(frozen=True)
class _Range:
    """A searched range of numbers; ``step`` is 0 where it is continuous."""

    low: float
    high: float  # the last value of a grid
    log: bool
    step: float
    is_whole: bool

    @classmethod
    def of(cls, specification: Any) -> "_Range | None":
        """The range of an entry under ``space``; None for choices, and where nothing varies."""
        given = specification if isinstance(specification, Mapping) else {}
        bounds = _bounds(given)
        numbers = [_number(value) for value in bounds] if isinstance(bounds, list) else []
        low, high = numbers if len(numbers) == 2 else (math.nan, math.nan)
        if not low < high:
            return None
        log, whole = bool(given.get("log")), "int" in given
        step = _number(given.get("step"))
        step = step if step > 0 else float(whole)
        if step:
            last = low + math.floor((high - low) / step + _ROUNDING) * step
            high = high if math.isclose(last, high) else last
        return cls(low, high, log, step, whole) if low < high and not (log and low <= 0) else None

    def reach(self, is_upper: bool) -> float:
        """The value farthest from an end that still lies within 5 % of the range from it."""
        width = self._scaled(self.high) - self._scaled(self.low)
        end = self.high if is_upper else self.low
        way = SHARE * width * (-1 if is_upper else 1)
        reached = math.exp(math.log(end) + way) if self.log else end + way
        if not self.step:
            return reached
        steps = math.floor(abs(reached - end) / self.step + _ROUNDING)
        return end + math.copysign(steps * self.step, way)

    def chance(self, is_upper: bool) -> float:
        """Probability that one setting drawn evenly lies as near to an end as ``reach``."""
        half = self.step / 2  # every value of a grid stands for the numbers around it
        first, last = self._scaled(self.low - half), self._scaled(self.high + half)
        reached = self.reach(is_upper) + (-half if is_upper else half)
        inside = self._scaled(reached)
        return ((last - inside) if is_upper else (inside - first)) / (last - first)

    def wider(self, is_upper: bool, limits: tuple[float, float], scale: int) -> float:
        """A new end beyond the old one, within ``limits``; the old one if none is allowed.

        ``scale``: a number is rounded as it is written, in fractions with this denominator.
        """
        sign, end = (1, self.high) if is_upper else (-1, self.low)
        room = max((limits[is_upper] - end) * sign, 0.0)
        if self.log:
            far = float(f"{end * 10 ** (sign * _DECADES):.0e}")
            far = max(round(far), 1) if self.is_whole else max(far, _LEAST_LOG)
            nearest = min if is_upper else max
            return float(nearest(far, limits[is_upper]))
        half = (self.high - self.low) / 2
        if self.step:
            wanted = math.ceil(half / self.step - _ROUNDING)
            steps = min(wanted, math.floor(room / self.step + _ROUNDING))
            if not steps:
                return end
            return float(f"{(end + sign * steps * self.step) * scale:.10g}") / scale
        if half >= room:
            return float(limits[is_upper])
        digits = 1 - math.floor(math.log10(half * scale))
        return round((end + sign * half) * scale, digits) / scale

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def crowded_keys(
    space: Mapping[str, Any], front: Sequence[Mapping[str, Any]], limits: Limits
) -> list[CrowdedKey]:
    """The searched keys with settings of the front at an end of their range.

    Args:
        space: of an experiment, as its resolved file has it.
        front: settings with their values by dotted keys, ``{"defense.lambda": 0.3, …}``. A key
            under ``when`` counts in the settings that fulfil its condition.
        limits: of keys. Without them for a key, no wider range is proposed.
    """
    found = (_crowded(key, given, front, limits.get(key)) for key, given in space.items())
    return [crowded for crowded in found if crowded]


def _crowded(
    key: str,
    specification: Any,
    front: Iterable[Mapping[str, Any]],
    limits: tuple[float, float] | None,
) -> CrowdedKey | None:
    searched = _Range.of(specification)
    if searched is None:
        return None
    having = (setting for setting in front if _applies(specification.get("when"), setting))
    values = [v for setting in having if not math.isnan(v := _number(setting.get(key)))]
    scale = 255 if is_pixel_parameter(key) else 1
    ends: list[End] = []
    bounds = [_number(bound) for bound in _bounds(specification)]
    for is_upper, old in ((False, searched.low), (True, searched.high)):
        beyond = math.inf if is_upper else -math.inf
        new = searched.wider(is_upper, limits, scale) if limits else beyond
        is_wider = new > old if is_upper else new < old
        if is_wider and (end := _end(searched, is_upper, values)):
            bounds[is_upper] = new
            ends.append(end)
    if not ends:
        return None
    override = f"space.{key}={_written(specification, bounds, scale)}" if limits else ""
    return CrowdedKey(key, len(values), tuple(ends), override)


def _end(searched: _Range, is_upper: bool, values: Sequence[float]) -> End | None:
    """An end of a range if enough of the values lie there."""
    sign, value = (1, searched.high) if is_upper else (-1, searched.low)
    reach, slack = searched.reach(is_upper), _ROUNDING * (searched.high - searched.low)
    near = sum((number - reach) * sign >= -slack for number in values)
    if near < max(_FEWEST, len(values) / 2):
        return None
    if _tail(near, len(values), searched.chance(is_upper)) > _CHANCE:
        return None
    beyond = sum((number - value) * sign > slack for number in values)
    return End(is_upper, value, near, reach == value, beyond)


def _tail(least: int, trials: int, chance: float) -> float:
    """P(X ≥ ``least``) of a binomial distribution with ``chance`` in (0, 1)."""
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


def _applies(conditions: Any, setting: Mapping[str, Any]) -> bool:
    """Whether a setting fulfils ``when``; tables may hold a number as text."""
    given = conditions if isinstance(conditions, Mapping) else {}
    wanted = {key: w if isinstance(w, list) else [w] for key, w in given.items()}
    return all(
        any(setting.get(key) == value or str(setting.get(key)) == str(value) for value in values)
        for key, values in wanted.items()
    )


def _bounds(specification: Mapping[str, Any]) -> Any:
    return specification.get("int", specification.get("float"))


def _written(specification: Mapping[str, Any], bounds: Sequence[float], scale: int) -> str:
    """The entry under ``space`` with other bounds, as YAML in one line."""
    kind = "int" if "int" in specification else "float"
    new: dict[str, Any] = {**specification, kind: [_plain(bound, scale) for bound in bounds]}
    if "step" in new:
        new["step"] = _plain(_number(new["step"]), scale)
    text = yaml.safe_dump(
        new,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=math.inf,
    )
    return text.strip()


def _plain(value: float, scale: int) -> int | float | str:
    """A number as a person writes it: 30, 0.03, 8/255."""
    count = f"{value * scale:.6g}"
    if scale != 1 and float(count) / scale == value:
        return f"{count}/{scale}"
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _number(value: Any) -> float:
    """A number, or text that holds one; NaN for anything else."""
    if value is None or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
