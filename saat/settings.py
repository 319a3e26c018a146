"""Settings are frozen dataclasses whose fields carry their bounds.

The harness reads the bounds to check experiment files, so a new defense or objective brings its
own options along and nothing else has to know them.
"""

from collections.abc import Iterator
from dataclasses import Field, field, fields
from typing import Any


def option(
    default: Any,
    *,
    help: str,
    ge: float | None = None,
    le: float | None = None,
    key: str | None = None,
) -> Any:
    """A dataclass field with a default, bounds, and the name it has in files.

    Args:
        default: the published default.
        help: one line; units included.
        ge: smallest allowed value.
        le: largest allowed value. A number has both, so that none is accepted that cannot work.
        key: name in experiment files where it is no Python name (``lambda``).
    """
    bounds = {name: bound for name, bound in (("ge", ge), ("le", le)) if bound is not None}
    return field(default=default, metadata={"help": help, "key": key, "bounds": bounds})


def option_fields(settings: Any) -> "list[Field[Any]]":
    """The fields of a settings dataclass that were declared with :func:`option`."""
    return [item for item in fields(settings) if "help" in item.metadata]


def file_key(item: "Field[Any]") -> str:
    """The name of a settings field in experiment files."""
    return str(item.metadata.get("key") or item.name)


def items(settings: Any) -> Iterator[tuple[str, Any]]:
    """(file key, value) of every field of a settings dataclass instance."""
    for item in option_fields(settings):
        yield file_key(item), getattr(settings, item.name)
