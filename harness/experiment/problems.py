"""What is wrong with an experiment file, in one line and a user's words."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.experiment.sections import PRETRAIN_MODEL, defense_model
from saat.defenses import DEFENSES
from saat.errors import one_line


def describe(error: ValidationError, model: type[BaseModel], raw: Any) -> str:
    """The first problem of a pydantic error as ``key: value …: what is allowed``."""
    problem, *others = error.errors()
    location = _location(problem)
    if error.title != model.__name__ and error.title in _SECTION_TITLES:
        location = [_SECTION_TITLES[error.title], *location]
    key = ".".join(location) or "file"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key{nearest(location[-1], keys_at(model, location[:-1], raw))}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    # The members of a union complain one after the other: a number, or one of 'auto'.
    same = [_allowed(p) for p in (problem, *others) if _location(p) == _location(problem)]
    message = " or ".join(dict.fromkeys(same))
    value = problem["input"]
    if isinstance(value, Mapping | BaseModel) or problem["type"] == "invalid_key":
        return f"{key}: {message}"
    return f"{key}: {one_line(repr(value), 60)}: {message}"


def _location(problem: ErrorDetails) -> list[str]:
    parts = [str(part) for part in problem["loc"]]
    return [part for part in parts if not _is_union_tag(part) and part != "[key]"]


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


def _allowed(problem: ErrorDetails) -> str:
    words = _WORDS.get(problem["type"])
    if words is None:
        return one_line(problem["msg"].removeprefix("Value error, "), 160)
    return words.format(**problem.get("ctx", {}))


_SECTION_TITLES = {
    "PretrainSettings": "pretrain",
    "NoDefense": "defense",
    **{entry.settings.__name__: "defense" for entry in DEFENSES.values()},
}


def _is_union_tag(part: str) -> bool:
    """Pydantic names the member of a union in a location (``int``, ``literal['auto']``)."""
    return bool(re.match(r"(literal|constrained|function|nullable)|^(float|int|str|bool)$", part))


def keys_at(model: type[BaseModel], location: Sequence[str], raw: Any) -> list[str]:
    """Allowed keys of the section at ``location``."""
    current: type[BaseModel] | None = model
    for part in location:
        if part == "pretrain":
            current = PRETRAIN_MODEL
        elif part == "defense":
            section = raw.get("defense") if isinstance(raw, Mapping) else None
            method = section.get("method", "saat") if isinstance(section, Mapping) else "saat"
            current = defense_model(method)
        else:
            field = current.model_fields.get(part) if current else None
            annotation = field.annotation if field else None
            candidates = [annotation, *get_args(annotation)]
            models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
            # A dictionary of sections (space, constraints): the next part is the user's own key.
            current = models[0] if models else current if part in _dict_keys(raw) else None
    if current is None:
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _dict_keys(raw: Any) -> set[str]:
    if not isinstance(raw, Mapping):
        return set()
    return {str(key) for part in ("space", "constraints") for key in (raw.get(part) or {})}


def nearest(key: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """A hint at the nearest known key, or at all of them."""
    match = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    if match:
        return f"; did you mean {match[0]}?"
    return f"; allowed: {', '.join(known)}" if known else ""
