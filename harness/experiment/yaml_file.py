"""YAML as far as a file of ours needs it: mappings, lists and plain values, within limits.

Values are built from the parser's events, not by PyYAML's constructors. So no tag constructs
anything, no key is given twice, and neither aliases nor nesting make a large value of a small file.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from yaml.events import Event
from yaml.resolver import Resolver

from saat.errors import InputError, one_line

_MOST_BYTES = 2**18
_MOST_VALUES = 10_000  # with every alias counted as what it stands for
_MOST_LEVELS = 12
_MOST_DIGITS = 1000
# A NUL, other controls and half a surrogate pair; tabs and line ends are text.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def read_yaml(path: Path, what: str, scale: int = 1) -> dict[Any, Any]:
    """The mapping in a YAML file; InputError where :func:`parse_yaml` reads none there.

    ``what`` names the kind of file in errors. It may be ``scale`` times as large as an experiment.
    """
    shown, most = one_line(path, 200), scale * _MOST_BYTES
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise InputError(f"larger than {most // 1024} KiB; {what} is a small file")
        raw = parse_yaml(content.decode(), scale)
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{shown}: cannot be read ({one_line(error, 100)})") from None
    except InputError as error:
        raise InputError(f"{shown}: {error}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{shown}: {what} is a mapping of keys, not {type(raw).__name__}")
    return raw


def parse_yaml(text: str, scale: int = 1) -> Any:
    """The value that ``text`` holds: dict, list, str, int, float, bool or None.

    Keys are texts, or whole numbers where they are written so. A date is a text. YAML 1.1 decides
    what is a number or a truth value, but numbers in base 60 or with leading zeros are texts.
    ``scale`` is that of :func:`read_yaml`.

    Raises:
        InputError: no YAML, or more than a file may have, with the number of the line in ``text``.
    """
    try:
        return _Builder(text, scale * _MOST_VALUES).document()
    except InputError:
        raise
    except yaml.MarkedYAMLError as error:
        raise _problem(error.problem_mark, error.problem or "not YAML") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # \U00110000, %YAML 1111…
        raise InputError(f"not YAML ({one_line(error, 100)})") from None


class _Builder:
    """Makes values of events; every level is one call deeper, and there are few of them."""

    def __init__(self, text: str, most_values: int) -> None:
        self._events = yaml.parse(text, Loader=yaml.SafeLoader)
        self._resolver = Resolver()
        self._anchored: dict[str, Any] = {}
        self._values, self._most_values = 0, most_values

    def document(self) -> Any:
        """The only document's value; None where there is none."""
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), 0)
        next(self._events)  # the end of the document
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _problem(following.start_mark, "a second document; one is read")
        return value

    def _value(self, event: Event, level: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchored:
                name = one_line(event.anchor, 40)
                raise _problem(event.start_mark, f"*{name} has no anchor above it")
            return self._copy(self._anchored[event.anchor], event, level)
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = one_line(tag, 40)
            raise _problem(event.start_mark, f"the tag {shown}: write the value without a tag")
        self._count(event, level)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._value(item, level + 1) for item in self._until(yaml.SequenceEndEvent)]
        else:
            value = self._mapping(level + 1)
        if anchor := getattr(event, "anchor", None):
            self._anchored[anchor] = value
        return value

    def _mapping(self, level: int) -> dict[str | int, Any]:
        found: dict[str, tuple[str | int, Any]] = {}  # by the text of the key
        for event in self._until(yaml.MappingEndEvent):
            key = self._key(event)
            if str(key) in found:
                raise _problem(event.start_mark, f"the key {one_line(key, 60)} is given twice")
            found[str(key)] = key, self._value(next(self._events), level)
        return dict(found.values())

    def _until(self, end: type[Event]) -> Iterator[Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _copy(self, value: Any, alias: Event, level: int) -> Any:
        """The value of an alias, counted as if it were written there."""
        self._count(alias, level)
        if isinstance(value, list):
            return [self._copy(item, alias, level + 1) for item in value]
        if isinstance(value, dict):
            return {key: self._copy(item, alias, level + 1) for key, item in value.items()}
        return value

    def _key(self, event: Event) -> str | int:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            raise _problem(event.start_mark, "a key is a text")
        if event.value == "<<" and event.implicit[0]:
            raise _problem(event.start_mark, "the key <<: merging is not read; write the keys out")
        value = self._scalar(event)
        return value if type(value) is int else str(event.value)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if unstorable := _UNSTORABLE.search(text):
            code = ord(unstorable.group())
            raise _problem(event.start_mark, f"the character U+{code:04X} is no text")
        if not event.implicit[0]:
            return text
        tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        kind = tag.rpartition(":")[2]
        if kind in ("int", "float") and len(text) > _MOST_DIGITS:
            raise _problem(event.start_mark, f"a number of {len(text)} characters")
        return _plain(text, kind)

    def _count(self, event: Event, level: int) -> None:
        self._values += 1
        if self._values > self._most_values:
            raise _problem(event.start_mark, f"more than {self._most_values} values")
        if level > _MOST_LEVELS:
            raise _problem(event.start_mark, f"nested more than {_MOST_LEVELS} deep")


def _plain(text: str, kind: str) -> Any:
    """An unquoted value; a number is one in decimals, 0x or 0b, and any other thing is a text."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    digits = text.replace("_", "")
    with suppress(ValueError):
        if kind == "int":
            return int(digits, 0)
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)$", r"\1", digits.lower())) + 0.0
    return text


def _problem(mark: Any, text: str) -> InputError:
    where = f"line {mark.line + 1} " if mark else ""
    return InputError(f"{where}{one_line(text, 120)}")
