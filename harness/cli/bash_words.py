"""Completion under bash, which takes ``--set KEY=VALUE`` for four words: it splits at ``=``.

Typer's completion is asked about whole words, and answers lose what bash has before the cursor's
word. Other shells do not split.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

_ASKED, _WORDS, _CURSOR = "_SAAT_COMPLETE", "COMP_WORDS", "COMP_CWORD"


@contextmanager
def whole_words() -> Iterator[None]:
    """Complete within this context as if bash did not split; does nothing in any other case."""
    if os.environ.get(_ASKED) != "complete_bash":
        yield
        return
    cursor = int(os.environ[_CURSOR])
    joined, place, before = join_words(os.environ[_WORDS].split(" "), cursor)
    os.environ |= {_WORDS: " ".join(joined), _CURSOR: str(place)}
    answers = StringIO()
    try:
        with redirect_stdout(answers):
            yield
    finally:
        lines = (line.removeprefix(before) for line in answers.getvalue().splitlines())
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def join_words(words: list[str], cursor: int) -> tuple[list[str], int, str]:
    """Join what bash has split at ``=``, up to the word that the cursor is in.

    Returns:
        The words, the position of the cursor's word, and what of an answer bash has already.
    """
    joined: list[str] = []
    for word in words[: cursor + 1]:
        glued = joined and (word == "=" or joined[-1].endswith("="))
        joined[-1:] = [joined[-1] + word] if glued else [*joined[-1:], word]
    last = joined[-1] if joined else ""
    value = last.partition("=")[2] if last.startswith("-") else last
    before, sign, _ = value.rpartition("=")
    return joined, len(joined) - 1, before + sign
