"""YAML as far as a file of ours needs it: mappings, lists and plain values, within limits.

Values are built from PyYAML's nodes, not by its constructors. So no tag constructs anything, no key
is given twice, and neither aliases nor nesting make a large value of a small file.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

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
        most = scale * _MOST_VALUES
        node = _Composer(text, most).get_single_node()
        return None if node is None else _Values(most).of(node)
    except InputError:
        raise
    except yaml.MarkedYAMLError as error:
        said = ", ".join(filter(None, (error.context, error.problem)))
        raise _problem(error.problem_mark, said or "not YAML") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # \U00110000, %YAML 1111…
        raise InputError(f"not YAML ({one_line(error, 100)})") from None


class _Composer(yaml.SafeLoader):
    """Composes nodes that were given no tags; every level is a few calls deeper."""

    def __init__(self, text: str, most: int) -> None:
        super().__init__(text)
        self._most, self._nodes, self._level = most, 0, 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = one_line(tag, 40)
            raise _problem(event.start_mark, f"the tag {shown}: write the value without a tag")
        self._nodes += 1  # half of them may be keys
        _check(self._nodes // 2, self._most, self._level, event.start_mark)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node


class _Values:
    """Makes values of nodes; an alias is the node that it stands for, and counts like it."""

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0

    def of(self, node: yaml.Node, level: int = 0) -> Any:
        self._count += 1
        _check(self._count, self._most, level, node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item, level + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, level + 1)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, level: int) -> dict[str | int, Any]:
        found: dict[str, tuple[str | int, Any]] = {}  # by the text of the key
        for key_node, value in node.value:
            key = _key(key_node)
            if str(key) in found:
                raise _problem(key_node.start_mark, f"the key {one_line(key, 60)} is given twice")
            found[str(key)] = key, self.of(value, level)
        return dict(found.values())


def _check(count: int, most: int, level: int, mark: Any) -> None:
    if count > most:
        raise _problem(mark, f"more than {most} values")
    if level > _MOST_LEVELS:
        raise _problem(mark, f"nested more than {_MOST_LEVELS} deep")


def _key(node: yaml.Node) -> str | int:
    if not isinstance(node, yaml.ScalarNode):
        raise _problem(node.start_mark, "a key is a text")
    if node.tag.endswith(":merge"):
        raise _problem(node.start_mark, "the key <<: merging is not read; write the keys out")
    value = _scalar(node)
    return value if type(value) is int else str(node.value)


def _scalar(node: yaml.Node) -> Any:
    text, kind = str(node.value), node.tag.rpartition(":")[2]
    if unstorable := _UNSTORABLE.search(text):
        code = ord(unstorable.group())
        raise _problem(node.start_mark, f"the character U+{code:04X} is no text")
    if kind in ("int", "float") and len(text) > _MOST_DIGITS:
        raise _problem(node.start_mark, f"a number of {len(text)} characters")
    return _plain(text, kind)


def _plain(text: str, kind: str) -> Any:
    """A value of a kind; a number is one in decimals, 0x or 0b, and any other thing is a text."""
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
