"""How a space is explored, and when that ends."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.experiment.aims_section import Prefer, Prior, metric_name
from harness.experiment.section import SHOWN, Number, Section, name_of, parse_number
from harness.limits import MOST_EPOCHS
from harness.search.samplers.registry import SAMPLERS
from harness.search.schedulers.registry import SCHEDULERS
from saat.errors import did_you_mean, one_line, repeated

_MOST_SECONDS = 100 * 365 * 86400


def parse_duration(value: Any) -> Any:
    """Durations such as ``90s``, ``30m``, ``2h``, ``1.5d`` in seconds; numbers are seconds."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    scale = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    try:
        return float(text) if scale is None else float(text[:-1]) * scale
    except ValueError:
        raise ValueError("seconds, or a duration such as 90s, 30m, 2h, 1d") from None


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=1e-3, le=_MOST_SECONDS)]


class StagnationSection(Section):
    """No growth of the hypervolume by more than ``tolerance`` (relative) over ``trials`` trials."""

    trials: int = Field(ge=1, le=100_000)
    tolerance: Number = Field(0.01, ge=0, le=1000)


class StopSection(Section):
    """When exploring ends before ``num_samples``; see :mod:`harness.search.stopping`."""

    time: Duration | None = None
    cost: Duration | None = None
    stagnation: StagnationSection | None = None


_MARGIN = 0.02  # MAP; chosen in docs/results/search_efficiency.md
SCALARISATIONS = ("robust", "clean", "mean", "hypervolume")
_SHORT = {"clean": "clean_map", "robust": "robust_map"}


def weighed_metric(word: Any) -> str:
    """The metric of a word in ``scalarisation``, such as ``clean``; empty where there is none."""
    return _SHORT.get(str(word)) or metric_name(word)


def _scalarisation(value: Any) -> Any:
    """A name, or weights of objectives, as numbers."""
    if value is None or (isinstance(value, str) and value in SCALARISATIONS):
        return value
    if not isinstance(value, Mapping) or not value or not all(map(weighed_metric, value)):
        hint = did_you_mean(value, SCALARISATIONS) if isinstance(value, str) else ""
        names = ", ".join(SCALARISATIONS)
        raise ValueError(f"one of {names}, or weights such as {{clean: 0.5, robust: 0.5}}{hint}")
    weights = {key: parse_number(weight) for key, weight in value.items()}
    if not all(type(weight) in (int, float) and 0 <= weight <= 1e6 for weight in weights.values()):
        raise ValueError("weights of objectives are numbers from 0 to 1e6")
    if not any(weights.values()):
        raise ValueError("one of the weights of objectives is above 0")
    return {str(key): float(weight) for key, weight in weights.items()}


class SearchSection(Section):
    """How the space is explored, and when that ends."""

    num_samples: int = Field(12, ge=0, le=100_000)
    each: Annotated[str, Field(min_length=1)] | None = None
    sampler: name_of(SAMPLERS) = "ehvi"  # type: ignore[valid-type]
    scheduler: name_of(SCHEDULERS) = "pareto_asha"  # type: ignore[valid-type]
    scalarisation: Annotated[str | dict[str, float] | None, BeforeValidator(_scalarisation)] = None
    grace_period: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | Literal["auto"] = "auto"
    reduction_factor: int = Field(2, ge=2, le=1000)
    margin: Annotated[Number, Field(ge=0, le=1)] | None = None
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = "auto"
    stop: StopSection = StopSection()
    prior: Prior = "paper"
    prefer: Prefer = Field(default_factory=dict)
    warm_start: list[Annotated[str, Field(min_length=1)]] = Field([], max_length=1000)

    @model_validator(mode="before")
    @classmethod
    def _with_margin(cls, values: Any) -> Any:
        """``asha`` has no margin: its scalar has no front."""
        if not isinstance(values, Mapping) or values.get("scheduler") == "asha":
            return values
        return {**values, "margin": _MARGIN if values.get("margin") is None else values["margin"]}

    @model_validator(mode="after")
    def _consistent(self) -> "SearchSection":
        if self.scheduler == "asha" and self.scalarisation is None:
            names = ", ".join(SCALARISATIONS)
            raise ValueError(f"scheduler: asha: needs scalarisation, one of {names}, or weights")
        if self.scheduler != "asha" and self.scalarisation is not None:
            raise ValueError(f"scalarisation: belongs to scheduler asha, not {self.scheduler}")
        if self.scheduler == "asha" and self.margin is not None:
            raise ValueError("margin: belongs to scheduler pareto_asha, not asha")
        if twice := repeated(self.warm_start):
            raise ValueError(f"warm_start: {one_line(twice[0], SHOWN)} is named twice")
        return self
