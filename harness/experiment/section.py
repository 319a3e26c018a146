"""What every section of an experiment file is: a strict model that tells its faults to a user."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from saat.errors import InputError, did_you_mean, one_line

if TYPE_CHECKING:  # of pydantic's own package, which it alone depends on
    from pydantic_core import ErrorDetails

_HUGE = 10**300


def parse_number(value: Any) -> Any:
    """Fractions such as ``8/255`` and ``1e-4`` (a string in YAML) as numbers; the rest as it is.

    −0.0 becomes 0.0, since a setting must not differ from its equal.
    """
    if isinstance(value, float):
        return value + 0.0
    if type(value) is int:  # no float is larger, which would be told as no number at all
        return max(-_HUGE, min(value, _HUGE))
    if not isinstance(value, str):
        return value
    numerator, slash, denominator = value.partition("/")
    try:
        return (float(numerator) / float(denominator) if slash else float(value)) + 0.0
    except (ValueError, ArithmeticError):
        return value


Number = Annotated[float, BeforeValidator(parse_number)]


class Section(BaseModel):
    """A part of an experiment file: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _faults_in_words(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(given, Mapping):
            return validate(given)
        try:
            return validate(given)
        except ValidationError as error:
            raise InputError(*faults_of(error, cls, given, "")) from None


SectionT = TypeVar("SectionT", bound=Section)


def parsed(model: type[SectionT], given: Any, where: str = "") -> SectionT:
    """``given`` as a section; raises InputError with every fault, ``where`` before its keys."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InputError(*faults_of(error, model, given, where)) from None


def name_of(names: Iterable[str]) -> Any:
    """The type of a text that is one of ``names``."""
    return Literal[*names]


SHOWN = 60  # characters of a value in a message

# Pydantic's kinds of problem in the words of a user.
_WORDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "int_type": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "string_unicode": "a text",
    "string_too_short": "at least {min_length} characters",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "invalid_key": "keys are texts",
    "int_from_float": "a whole number",
    "string_pattern_mismatch": "letters, digits, dots, dashes and underscores, 64 at most",
}

# Pydantic's name for a member of a union, or for a key itself, in the location of a problem.
_NO_KEY = re.compile(r"literal|constrained|function|nullable|(float|int|str|bool|\[key\])$")


@contextmanager
def collecting(faults: list[str]) -> Iterator[None]:
    """Add the faults of an InputError that is raised within, and go on."""
    try:
        yield
    except InputError as error:
        faults += error.faults


def faults_of(
    error: ValidationError, model: type[BaseModel], given: object, where: str
) -> list[str]:
    """Every fault of ``given`` as ``key: value: what is allowed``, ``where`` before the keys.

    The sections within ``model`` have told their own.
    """
    lines: list[str] = []
    # The members of a union complain one after the other: a number, or one of 'auto'.
    found = groupby(error.errors(include_url=False), lambda problem: _location(problem, given))
    for location, problems in found:
        key = ".".join(one_line(part, SHOWN) for part in (where, *location) if part)
        lines += _lines(key, model, list(problems))
    return list(dict.fromkeys(lines))


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a section, as a file has them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _lines(key: str, model: type[BaseModel], problems: Sequence["ErrorDetails"]) -> list[str]:
    """What is wrong at one location, the one of ``key``."""
    first = problems[0]
    if first["type"] == "extra_forbidden":
        return [f"{key}: unknown key{nearest(str(first['loc'][-1]), keys_of(model))}"]
    if first["type"] == "missing":
        return [f"{key}: missing"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):  # of a section, whose keys its faults begin with
        return [f"{key}.{fault}".lstrip(".") for fault in cause.faults]
    value = first["input"]
    whole = isinstance(value, Mapping | BaseModel) or first["type"] == "invalid_key"
    shown = "" if whole else f"{one_line(repr(value), SHOWN)}: "
    words = " or ".join(dict.fromkeys(map(_allowed, problems)))
    expected = " ".join(problem.get("ctx", {}).get("expected", "") for problem in problems)
    hint = did_you_mean(value, re.findall("'([^']+)'", expected)) if isinstance(value, str) else ""
    return [f"{key or 'file'}: {shown}{words}{hint}"]


def _location(problem: "ErrorDetails", given: object) -> list[str]:
    """The keys that lead to a problem."""
    location: list[str] = []
    here = given
    for part in problem["loc"]:
        is_key = isinstance(here, Mapping) and part in here
        if is_key or not _NO_KEY.match(str(part)):
            location.append(str(part))
            here = here[part] if is_key else None  # type: ignore[index]
    return location


def _allowed(problem: "ErrorDetails") -> str:
    words = _WORDS.get(problem["type"])
    if words is None:
        return one_line(problem["msg"].removeprefix("Value error, "), 240)
    context = {key: _bound(value) for key, value in problem.get("ctx", {}).items()}
    return words.format(**context)


def _bound(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "2**53" if value == 2**53 else value


def nearest(key: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """A hint at the nearest known key, or at all of them."""
    hint = did_you_mean(key, known)
    return hint or (f"; allowed: {', '.join(known)}" if known else "")
