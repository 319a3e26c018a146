"""YAML as far as a file of ours needs it: mappings, lists and plain values, within limits.

Values are built from the parser's events, not by PyYAML's constructors. So no tag constructs
anything, no key is given twice, and neither aliases nor nesting make a large value of a small file.
"""

import re
from collections.abc import Iterator
from copy import deepcopy
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


class YamlError(ValueError):
    """Text that is no YAML, or more of it than a file may have."""


def read_yaml(path: Path, what: str, scale: int = 1) -> dict[Any, Any]:
    """The mapping in a YAML file.

    Args:
        path: the file.
        what: the file is, for errors.
        scale: how many times larger than an experiment it may be.

    Raises:
        InputError: no such file, no YAML, a tag, a key twice, too large or deep, or no mapping.
    """
    shown = one_line(path, 200)
    try:
        with path.open("rb") as file:
            content = file.read(scale * _MOST_BYTES + 1)
        text = content.decode()
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{shown}: cannot be read ({one_line(error, 100)})") from None
    if len(content) > scale * _MOST_BYTES:
        most = scale * _MOST_BYTES // 1024
        raise InputError(f"{shown}: larger than {most} KiB; {what} is a small file")
    try:
        raw = parse_yaml(text, scale)
    except YamlError as error:
        raise InputError(f"{shown}: {error}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{shown}: {what} is a mapping of keys, not {type(raw).__name__}")
    return raw


def parse_yaml(text: str, scale: int = 1) -> Any:
    """The value that ``text`` holds: dict, list, str, int, float, bool or None.

    Keys are texts, or whole numbers where they are written so. A date is a text. YAML 1.1 decides
    what is a number or a truth value, but for base 60 and leading zeros, which are texts. ``scale``
    is that of :func:`read_yaml`.

    Raises:
        YamlError: one line with the number of the line in ``text``.
    """
    try:
        return _Builder(text, scale * _MOST_VALUES).document()
    except YamlError:
        raise
    except yaml.MarkedYAMLError as error:
        raise _problem(error.problem_mark, error.problem or "not YAML") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # \U00110000, %YAML 1111…
        raise YamlError(f"not YAML ({one_line(error, 100)})") from None


class _Builder:
    """Makes values of events; every level is one call deeper, and there are few of them."""

    def __init__(self, text: str, most_values: int) -> None:
        self._events: Iterator[Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._resolver = Resolver()
        self._anchored: dict[str, tuple[Any, int, int]] = {}  # value, its size and height
        self._values, self._most_values = 0, most_values

    def document(self) -> Any:
        """The only document's value; None where there is none."""
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), 0)[0]
        next(self._events)  # the end of the document
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _problem(following.start_mark, "a second document; one is read")
        return value

    def _value(self, event: Event, level: int) -> tuple[Any, int]:
        """A value and its height, levels of nesting within it."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, level)
        if getattr(event, "tag", None) is not None:
            tag = one_line(event.tag, 40)  # type: ignore[attr-defined]
            raise _problem(event.start_mark, f"the tag {tag}: write the value without a tag")
        before = self._values
        self._count(event, 1, level)
        value, height = self._plain(event, level)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchored[anchor] = value, self._values - before, height
        return value, height

    def _plain(self, event: Event, level: int) -> tuple[Any, int]:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event), 0
        height = 0
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(following := next(self._events), yaml.SequenceEndEvent):
                item, below = self._value(following, level + 1)
                items.append(item)
                height = max(height, below + 1)
            return items, height
        mapping: dict[str | int, Any] = {}
        known: set[str] = set()
        while not isinstance(following := next(self._events), yaml.MappingEndEvent):
            key = self._key(following, known)
            mapping[key], below = self._value(next(self._events), level + 1)
            height = max(height, below + 1)
        return mapping, height

    def _key(self, event: Event, known: set[str]) -> str | int:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            raise _problem(event.start_mark, "a key is a text")
        value = self._scalar(event)
        key = value if type(value) is int else str(event.value)
        if key == "<<" and event.implicit[0]:
            raise _problem(event.start_mark, "the key <<: merging is not read; write the keys out")
        if str(key) in known:
            raise _problem(event.start_mark, f"the key {one_line(key, 60)} is given twice")
        known.add(str(key))
        return key

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if unstorable := _UNSTORABLE.search(text):
            raise _problem(
                event.start_mark, f"the character U+{ord(unstorable.group()):04X} is no text"
            )
        if not event.implicit[0]:
            return text
        tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        kind = tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("yes", "true", "on")
        if kind in ("int", "float") and len(text) > _MOST_DIGITS:
            raise _problem(event.start_mark, f"a number of {len(text)} characters")
        return _number(text, kind)

    def _alias(self, event: yaml.AliasEvent, level: int) -> tuple[Any, int]:
        if event.anchor not in self._anchored:
            raise _problem(
                event.start_mark, f"*{one_line(event.anchor, 40)} has no anchor above it"
            )
        value, size, height = self._anchored[event.anchor]
        self._count(event, size, level + height)
        return deepcopy(value), height

    def _count(self, event: Event, values: int, level: int) -> None:
        self._values += values
        if self._values > self._most_values:
            raise _problem(event.start_mark, f"more than {self._most_values} values")
        if level > _MOST_LEVELS:
            raise _problem(event.start_mark, f"nested more than {_MOST_LEVELS} deep")


def _number(text: str, kind: str) -> Any:
    """A number as it is written in decimals, 0x or 0b; a text where it is another thing."""
    digits = text.replace("_", "")
    try:
        if kind == "int":
            return int(digits, 0)
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)$", r"\1", digits.lower())) + 0.0
    except ValueError:
        return text
    return text


def _problem(mark: Any, text: str) -> YamlError:
    where = f"line {mark.line + 1} " if mark else ""
    return YamlError(f"{where}{one_line(text, 120)}")
