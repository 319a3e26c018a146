"""The list files of one split: image paths and their label vectors, checked line by line."""

import hashlib
import posixpath
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath

import numpy as np

from saat.errors import InputError, one_line
from saat.wording import counted

_BINARY = frozenset("01")
_ONE_COLUMN = (
    "one label per line; every line needs one 0 or 1 for each of at least 2 classes: class 2 of "
    "0 to 3 is 0 0 1 0"
)


@dataclass(frozen=True, eq=False)
class SplitList:
    """One split: normalised paths by line, uint8 labels (n, C), SHA-256 (hex) by file name.

    ``file`` is the list that names the images.
    """

    file: Path
    paths: list[str]
    labels: np.ndarray
    sha256: dict[str, str]


def read_pair(image_file: Path, label_file: Path) -> SplitList:
    """Read the reference layout: paths in one file, labels in another."""
    image_lines, image_sha = _read_lines(image_file)
    label_lines, label_sha = _read_lines(label_file)
    if len(image_lines) != len(label_lines):
        short = min(len(image_lines), len(label_lines))
        longer = image_file if len(image_lines) > short else label_file
        raise InputError(
            f"{longer}:{short + 1}: no partner for this line: {image_file.name} has "
            f"{counted(len(image_lines), 'line')} and {label_file.name} has {len(label_lines)}; "
            "they must be equal"
        )
    return SplitList(
        image_file,
        [_relative_path(image_file, i, line) for i, line in enumerate(image_lines, 1)],
        _parse_labels(label_file, [line.split() for line in label_lines]),
        {image_file.name: image_sha, label_file.name: label_sha},
    )


def read_single(file: Path) -> SplitList:
    """Read the one-file layout, ``path 0 1 0 …``; a path may have spaces.

    The number of 0s and 1s at the end of line 1 is the width of every line. So the last word of a
    path cannot be a bare 0 or 1; such a path needs the two-file layout.
    """
    lines, sha = _read_lines(file)
    words = lines[0].split()
    width = _zeros_and_ones_at_end(words)
    if width == 1 or (width == 0 and words and words[-1].isdecimal()):
        raise InputError(f"{file}:1: {_ONE_COLUMN}")
    rows = [_split_line(file, i, line, width) for i, line in enumerate(lines, 1)]
    return SplitList(
        file,
        [path for path, _ in rows],
        _parse_labels(file, [labels for _, labels in rows]),
        {file.name: sha},
    )


def _split_line(file: Path, line: int, text: str, width: int) -> tuple[str, list[str]]:
    """Split a line into its normalised path and its ``width`` labels."""
    path, *labels = text.rsplit(None, width) or [""]
    last = path.rsplit(None, 1)[-1:]
    if width and len(labels) == width and set(labels) <= _BINARY and not set(last) & _BINARY:
        return _relative_path(file, line, path), labels
    words = text.split()
    found = _zeros_and_ones_at_end(words)
    if not words:
        problem = "empty line; every line names one image"
    elif found == len(words):
        problem = "no path before the labels"
    elif found:
        after = f"{counted(found, 'label')} after {one_line(words[-found - 1], 40)!r}"
        problem = f"{after}; line 1 has {width}"
    elif len(words) > 1:
        problem = f"label {one_line(words[-1], 40)!r}; must be 0 or 1"
    else:
        problem = "no labels; every image needs one 0 or 1 per class"
    raise InputError(f"{file}:{line}: {problem}")


def _zeros_and_ones_at_end(words: list[str]) -> int:
    return sum(1 for _ in takewhile(_BINARY.__contains__, reversed(words)))


# Characters that editors and exports leave in a list. No message would show them.
_INVISIBLE = {
    "\0": "a NUL character, as in UTF-16 text without a byte order mark; lists are UTF-8",
    "\ufeff": "a byte order mark within the file, as in files that were joined; remove it",
    "\r": "a carriage return within the line; all lines must end alike",
}


def _read_lines(file: Path) -> tuple[list[str], str]:
    """Read the lines of a file and the SHA-256 (hex) of its bytes; all lines must end alike."""
    try:
        raw = file.read_bytes()
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}:{line}: not UTF-8 text; lists are UTF-8") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {one_line(error.strerror)}") from error
    text = text.replace("\r\n", "\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    for character, problem in _INVISIBLE.items():
        if character in text:
            line = text.count("\n", 0, text.index(character)) + 1
            raise InputError(f"{file}:{line}: {problem}")
    # Not splitlines(): it also splits at U+2028 and the like, which a path may contain.
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{file}:1: the list is empty; it must name at least one image")
    return lines, hashlib.sha256(raw).hexdigest()


def _relative_path(file: Path, line: int, text: str) -> str:
    text = text.strip()
    if not text:
        raise InputError(f"{file}:{line}: empty line; every line names one image")
    # Normalised, so that "a/./b.jpg" and "a/b.jpg" are the same image to every later check.
    path = posixpath.normpath(text)
    if path.startswith("/"):
        raise InputError(
            f"{file}:{line}: absolute path {one_line(text, 120)!r}; must be relative to the folder"
            f"{prefix_hint(file.parent, text)}"
        )
    if path == ".." or path.startswith("../"):
        raise InputError(f"{file}:{line}: path {text!r} leaves the folder; must stay inside it")
    return path


def prefix_hint(root: Path, listed: str) -> str:
    """The end of an error message: how to repair paths that begin with another machine's folder.

    HashNet's lists say ``/home/…/coco/val2014/x.jpg`` or ``./data/nuswide_81/images/x.jpg``. Empty
    if no end of ``listed`` is a file below ``root``.
    """
    parts = PurePosixPath(listed).parts
    for start in range(1, len(parts)):
        rest = PurePosixPath(*parts[start:])
        with suppress(OSError, ValueError):  # a name too long, a NUL byte
            if ".." not in parts and (root / rest).is_file():
                prefix = str(PurePosixPath(*parts[:start])).strip("/")
                end = f"{prefix}/" if prefix else ""
                return (
                    f"; it is here as {str(rest)!r}: shorten every line, "
                    f"sed -i 's#^[./]*{end}##' *.txt"
                )
    return ""


def _parse_labels(file: Path, rows: list[list[str]]) -> np.ndarray:
    width = len(rows[0])
    if width == 0:
        raise InputError(f"{file}:1: no labels; every image needs one 0 or 1 per class")
    if width == 1:
        raise InputError(f"{file}:1: {_ONE_COLUMN}")
    packed = []
    for line, words in enumerate(rows, 1):
        digits = "".join(words)
        # Every word has one character, and only 0s and 1s occur. This is faster than a look
        # at every word, and lists have millions of them.
        if len(digits) != len(words) or digits.strip("01"):
            bad = next(word for word in words if word not in ("0", "1"))
            raise InputError(f"{file}:{line}: label {one_line(bad, 40)!r}; must be 0 or 1")
        if len(words) != width:
            raise InputError(f"{file}:{line}: {counted(len(words), 'label')}; line 1 has {width}")
        packed.append(digits)
    flat = np.frombuffer("".join(packed).encode("ascii"), dtype=np.uint8)
    return flat.reshape(len(rows), width) - np.uint8(ord("0"))
