"""The one exception for a user's mistake, and how its lines show what the user wrote."""

import difflib
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

_T = TypeVar("_T", bound=Hashable)


class InputError(ValueError):
    """Bad input: one line that names where it came from, the value, and what is allowed.

    The command line prints the message and exits with status 2, without a traceback.

    ``faults`` has a line per mistake; ``str()`` shows the first one and counts the others.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        first, *others = self.faults or ("",)
        if not others:
            return first
        return f"{one_line(first, 400)} (and {len(others)} more)"


def printable(text: object) -> str:
    """``text`` with every control and format character written out as its code point.

    A terminal obeys some of them: they move the cursor, hide text or turn its direction.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def one_line(text: object, limit: int = 300) -> str:
    """``text`` on one line, without control characters, cut at ``limit`` characters."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def check_known(kind: str, word: object, known: Iterable[str]) -> None:
    """Refuse a word that is none of the ``known`` ones; the message names all of them."""
    words = list(known)
    if word not in words:
        shown = repr(one_line(word, 60))
        raise InputError(f"{kind} {shown}: one of {', '.join(words)}{did_you_mean(word, words)}")


def repeated(values: Iterable[_T]) -> list[_T]:
    """The values that are given more than once, in the order of their first place."""
    return [value for value, count in Counter(values).items() if count > 1]


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """``; did you mean X?`` with the known word that is spelt most alike; empty if none is."""
    match = difflib.get_close_matches(str(word)[:100], list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else ""
