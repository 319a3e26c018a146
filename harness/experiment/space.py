"""Search spaces: YAML dimensions → Optuna suggestions, conditions included."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from harness.experiment.section import SHOWN, Number, Section, parse_number
from harness.limits import LARGEST
from saat.errors import one_line, repeated

if TYPE_CHECKING:  # takes half a second to import, and a file is checked without it
    import optuna

SEARCHABLE = ("model", "pretrain", "defense")
_MOST_CHOICES = 256
_MOST_STEPS = 1_000_000  # of a range
_ROUNDING = 1e-8  # of a number of steps
_SMALLEST = 1e-12  # of a range that is searched by its logarithm


def _wanted(value: Any) -> Any:
    return list(map(parse_number, value)) if isinstance(value, list) else parse_number(value)


# A fraction is the number that the setting has then; otherwise it would never be found there.
Value = Annotated[bool | int | float | str, BeforeValidator(parse_number)]


class Dimension(Section):
    """One searched key: exactly one of ``choice``, ``float``, ``int``.

    ``{choice: [16, 32]}``, ``{float: [0.1, 10], log: true}``, ``{int: [1, 10]}``; ``step`` for
    grids; ``when: {defense.method: saat}`` searches the key only where another has that value
    (or one of a list of values).
    """

    model_config = ConfigDict(strict=False, populate_by_name=True)

    choice: list[Value] | None = Field(None, min_length=1, max_length=_MOST_CHOICES)
    float_range: list[Number] | None = Field(None, alias="float", min_length=2, max_length=2)
    int_range: list[int] | None = Field(None, alias="int", min_length=2, max_length=2)
    log: bool = False
    step: Number | None = Field(None, gt=0)
    when: dict[str, Annotated[Any, BeforeValidator(_wanted)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "Dimension":
        if (self.choice, self.float_range, self.int_range).count(None) != 2:
            raise ValueError("give exactly one of choice, float, int")
        if self.choice is not None:
            if self.log or self.step is not None:
                raise ValueError("log and step go with float and int, not with choice")
            if twice := repeated(self.choice):
                raise ValueError(f"choice: {one_line(twice[0], SHOWN)} is named twice")
            return self
        if self.int_range is not None:
            if max(map(abs, self.int_range)) > LARGEST:
                raise ValueError(f"int: {one_line(self.int_range, SHOWN)}: at most 2**53")
            if self.step is not None and not self.step.is_integer():
                raise ValueError(f"step: {self.step:g}: a whole number, as int has")
        low, high = self.bounds
        if low > high:
            raise ValueError(f"the lower bound {low} is above the upper bound {high}")
        if self.log and low < _SMALLEST:
            raise ValueError(f"log needs a lower bound above 0, {_SMALLEST:g} or more, not {low}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        width = high - low
        if self.step is not None and self.step > width > 0:
            raise ValueError(f"step: {self.step:g}: at most {width:g}, the whole range")
        if self.step is not None and width / self.step > _MOST_STEPS:
            least = f"{width / _MOST_STEPS:g}"
            raise ValueError(f"step: {self.step:g}: at least {least}, a millionth of the range")
        return self

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound of a range."""
        low, high = cast("list[float]", self.float_range or self.int_range)
        return low, high

    @cached_property
    def conditions(self) -> dict[str, list[Any]]:
        """``when``, with a list of values for every key."""
        return {key: w if isinstance(w, list) else [w] for key, w in self.when.items()}

    def dump(self) -> dict[str, Any]:
        """JSON-able, as a file has it."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def samples(self) -> list[Any]:
        """Values whose validity stands for the whole dimension: all choices, or both ends."""
        return list(self.choice) if self.choice is not None else list(self.bounds)

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether every condition holds under the values chosen so far."""
        return all(values.get(key) in wanted for key, wanted in self.conditions.items())

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """The same as an Optuna distribution."""
        import optuna

        if self.choice is not None:
            return optuna.distributions.CategoricalDistribution(self.choice)
        low, high = self.bounds
        if self.int_range is not None:
            step = int(self.step or 1)
            return optuna.distributions.IntDistribution(int(low), int(high), self.log, step)
        return optuna.distributions.FloatDistribution(low, high, self.log, self.step)

    def contains(self, value: Any) -> bool:
        """Whether ``value`` is a point of this dimension."""
        if self.choice is not None:
            return value in self.choice
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return False
        low, high = self.bounds
        if not low <= number <= high:
            return False
        if self.int_range is not None:
            return (number - low) % (self.step or 1) == 0
        steps = (number - low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < _ROUNDING

    def grid(self) -> Sequence[Any] | None:
        """All values of the dimension; None for a continuous range."""
        if self.choice is not None:
            return self.choice
        first, last = self.bounds
        if self.int_range is not None:
            return range(int(first), int(last) + 1, int(self.step or 1))
        if self.step is None:
            return None if last > first else [first]
        steps = math.floor((last - first) / self.step + 1e-9)
        return [min(first + self.step * number, last) for number in range(steps + 1)]

    def suggest(self, trial: "optuna.Trial", key: str) -> Any:
        """Draw a value of this dimension."""
        if self.choice is not None:
            return trial.suggest_categorical(key, self.choice)
        low, high = self.bounds
        if self.int_range is not None:
            step = int(self.step or 1)
            return trial.suggest_int(key, int(low), int(high), step=step, log=self.log)
        return trial.suggest_float(key, low, high, step=self.step, log=self.log)


def suggest(
    trial: "optuna.Trial", space: Mapping[str, Dimension], base: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw a point for an asked trial; ``base`` is the experiment's own flat setting.

    Conditional keys that do not apply are left out, and keep its values.
    """
    point: dict[str, Any] = {}
    for key, dimension in space.items():
        if dimension.applies({**base, **point}):
            point[key] = dimension.suggest(trial, key)
    return point


def points(space: Mapping[str, Dimension], base: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every point of a space, lazily; nothing if one of its ranges is continuous."""
    if all(dimension.grid() is not None for dimension in space.values()):
        yield from _extended({}, list(space.items()), base)


def _extended(
    point: dict[str, Any], left: Sequence[tuple[str, Dimension]], base: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Points that begin like ``point``, with the keys that are left."""
    if not left:
        yield point
        return
    (key, dimension), *rest = left
    applies = dimension.applies({**base, **point})
    for chosen in ({key: value} for value in dimension.grid() or ()) if applies else [{}]:
        yield from _extended({**point, **chosen}, rest, base)
