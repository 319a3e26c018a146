"""Settings are frozen dataclasses whose fields carry their bounds.

The harness reads the bounds to check experiment files, so a new defense or objective brings its
own options along and nothing else has to know them.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, field, fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from saat.errors import InputError, did_you_mean, one_line

Settings = TypeVar("Settings")


def option(
    default: Any,
    *,
    help: str,
    ge: float | None = None,
    le: float | None = None,
    key: str | None = None,
    later: bool = False,
) -> Any:
    """A dataclass field with its published default.

    ``help`` is one line, units included. A number lies between ``ge`` and ``le``, and has both.
    ``key`` is its name in experiment files where that is no Python name (``lambda``). ``later``
    is for an option that a method got after settings of it had been stored: at its default it
    changes nothing, and is no part of a setting's identity.
    """
    bounds = {name: bound for name, bound in (("ge", ge), ("le", le)) if bound is not None}
    facts = {"help": help, "key": key, "bounds": bounds, "later": later}
    return field(default=default, metadata=facts)


def option_fields(settings: Any) -> "list[Field[Any]]":
    """The fields of a settings dataclass that were declared with :func:`option`."""
    return [item for item in fields(settings) if "help" in item.metadata]


def file_key(item: "Field[Any]") -> str:
    """The name of a settings field in experiment files."""
    return str(item.metadata.get("key") or item.name)


def settings_from(kind: type[Settings], options: Mapping[str, Any], where: str) -> Settings:
    """Checked settings: the published defaults of ``kind``, but for ``options`` by file key.

    ``where`` precedes a key in a message, for example ``defense``.

    Raises:
        InputError: an unknown key, or a value that it does not allow.
    """
    known = {file_key(item): item.name for item in option_fields(kind)}
    faults = [
        f"{where}.{one_line(key, 60)}: no such option; {', '.join(known)}{did_you_mean(key, known)}"
        for key in options
        if key not in known
    ]
    if faults:
        raise InputError(*faults)
    settings = kind(**{known[key]: value for key, value in options.items()})
    check_settings(settings, where)
    return settings


def check_settings(settings: Any, where: str) -> None:
    """An ``InputError`` for values of another type or out of bounds, a line per fault.

    A line names key, value and what is allowed.
    """
    faults = []
    for item in option_fields(settings):
        value, bounds = getattr(settings, item.name), item.metadata["bounds"]
        kinds = get_args(item.type) if get_origin(item.type) in (Union, UnionType) else [item.type]
        fits = any(_is_a(kind, value) for kind in kinds)
        if fits and isinstance(value, int | float) and not isinstance(value, bool):
            fits = bounds.get("ge", -math.inf) <= value <= bounds.get("le", math.inf)
        if not fits:
            allowed = " or ".join(_allowed(kind, bounds) for kind in kinds)
            faults.append(f"{where}.{file_key(item)}: {one_line(repr(value), 60)}: {allowed}")
    if faults:
        raise InputError(*faults)


def _is_a(kind: Any, value: object) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _allowed(kind: Any, bounds: Mapping[str, float]) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    if kind in (int, float):
        number = "an integer" if kind is int else "a number"
        return f"{number} from {bounds.get('ge', '−∞')} to {bounds.get('le', '∞')}"
    return {bool: "True or False", NoneType: "None"}.get(kind, str(kind))
