"""What an experiment file may say of its aims: objectives, constraints, prior and preference."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, create_model

from harness.experiment.section import SHOWN, Number, Section, collecting, parse_number, parsed
from harness.experiment.space import Value
from saat.errors import InputError, did_you_mean, one_line
from saat.feasibility import names_reference
from saat.metrics import METRICS, Metric, Phase, Unit

_WORDS = {True: "max", False: "min"}
_BOUNDS = {True: "at_least", False: "at_most"}
_MOST_WEIGHT = 1e6


def file_key(name: str) -> str:
    """The key of a metric in an experiment file: ``val/clean_map``."""
    return Phase.VALIDATION.key(name)


def metric_name(key: Any) -> str:
    """The metric of a key in an experiment file; empty where there is none."""
    begin, name = file_key(""), str(key).removeprefix(file_key(""))
    return name if str(key).startswith(begin) and name in METRICS else ""


def _each(entry_of: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A converter of mappings, entry by entry; all faults are raised, each with its key."""

    def convert(given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given  # pydantic says what it should be
        faults: list[str] = []
        found = {}
        for key, value in given.items():
            with collecting(faults):
                found[key] = entry_of(key, value)
        if faults:
            raise InputError(*faults)
        return found

    return convert


def _metric(key: Any, allows: Callable[[Metric], bool]) -> tuple[str, Metric]:
    """The key as a text, and its metric; ``allows`` says which metrics there may be."""
    name = metric_name(key)
    if name and allows(METRICS[name]):
        return str(key), METRICS[name]
    allowed = [file_key(other) for other, entry in METRICS.items() if allows(entry)]
    names = ", ".join(allowed)
    raise InputError(f"{one_line(key, SHOWN)}: one of {names}{did_you_mean(key, allowed)}")


def _better(metric: Metric) -> str:
    return (
        f"{'larger' if metric.higher_is_better else 'smaller'} values of {metric.label} are better"
    )


def _objective(key: Any, given: Any) -> str | dict[str, float]:
    """``max`` or ``min``, or one of them with the reference of the hypervolume."""
    key, metric = _metric(key, lambda entry: entry.objective)
    word = _WORDS[bool(metric.higher_is_better)]
    plain = not isinstance(given, Mapping)
    direction = given if plain else next(iter(given), None) if len(given) == 1 else None
    if direction != word:
        shown = one_line(repr(given), SHOWN)
        raise InputError(
            f"{key}: {shown}: {word}, or {{{word}: REFERENCE}}, because {_better(metric)}"
        )
    if plain:
        if names_reference(metric):
            raise InputError(
                f"{key}: {word}: {metric.label} has no worst value, so the hypervolume needs a "
                f"reference; write {{{word}: 600}}, with a number that is worse than any result "
                "of use"
            )
        return word
    reference = _limit(key, word, given, metric)
    if reference[word] == (0.0 if metric.unit is Unit.SECONDS else metric.best):
        raise InputError(f"{key}.{word}: {reference[word]:g}: no result is better than that")
    return reference


def _limit(key: str, word: str, given: Mapping[Any, Any], metric: Metric) -> dict[str, float]:
    """``{word: x}`` with a finite number that the metric can be."""
    least = {Unit.DIFFERENCE: -1, Unit.NUMBER: None}.get(metric.unit, 0)
    most = 1 if metric.unit in (Unit.FRACTION, Unit.DIFFERENCE) else None
    number: Any = (Annotated[Number, Field(ge=least, le=most)], ...)
    limit = create_model("Limit", __base__=Section, **{word: number})
    return parsed(limit, given, key).model_dump()


def _bound(key: str, given: Mapping[Any, Any], metric: Metric) -> dict[str, float]:
    """``{at_least: x}`` of a metric of which more is better, ``{at_most: x}`` of another one."""
    word = _BOUNDS[bool(metric.higher_is_better)]
    faults = [
        f"{key}.{one_line(other, SHOWN)}: {word}, because {_better(metric)}"
        for other in given
        if other != word
    ]
    if faults:
        raise InputError(*faults)
    return _limit(key, word, given, metric)


def _constraint(key: Any, given: Any) -> dict[str, float]:
    key, metric = _metric(key, lambda entry: entry.constraint)
    if not isinstance(given, Mapping):
        raise InputError(f"{key}: {one_line(repr(given), SHOWN)}: a section of keys")
    return _bound(key, given, metric)


def _wish(key: Any, given: Any) -> float | dict[str, float]:
    """A weight, or a bound as in ``constraints``."""
    key, metric = _metric(key, lambda entry: entry.objective)
    if isinstance(given, Mapping):
        return _bound(key, given, metric)
    weight = parse_number(given)
    if type(weight) not in (int, float) or not 0 <= weight <= _MOST_WEIGHT:
        word = _BOUNDS[bool(metric.higher_is_better)]
        raise InputError(
            f"{key}: {one_line(repr(given), SHOWN)}: a weight from 0 to {_MOST_WEIGHT:g}, or "
            f"{{{word}: VALUE}}"
        )
    return float(weight)


class GuessSection(Section):
    """A value of a searched key that is thought to be good, and how sure that is."""

    value: Value
    confidence: Number = Field(gt=0, le=1)


def _prior(given: Any) -> Any:
    """``paper``, ``none``, or guesses by searched key."""
    words = ("paper", "none")
    if isinstance(given, Mapping):
        return _each(lambda key, guess: parsed(GuessSection, guess, one_line(key, SHOWN)))(given)
    if isinstance(given, str) and given in words:
        return given
    hint = did_you_mean(given, words) if isinstance(given, str) else ""
    raise ValueError(
        f"{', '.join(words)}, or guesses such as "
        f"{{model.bits: {{value: 32, confidence: 0.5}}}}{hint}"
    )


Objectives = Annotated[
    dict[str, str | dict[str, float]],
    BeforeValidator(_each(_objective)),
    Field(min_length=2, max_length=3),
]
Constraints = Annotated[dict[str, dict[str, float]], BeforeValidator(_each(_constraint))]
Prefer = Annotated[dict[str, float | dict[str, float]], BeforeValidator(_each(_wish))]
Prior = Annotated[str | dict[str, GuessSection], BeforeValidator(_prior)]
