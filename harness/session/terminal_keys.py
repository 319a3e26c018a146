"""The terminal while a view redraws itself: Ctrl-C writes no ``^C`` into it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

try:
    import termios
except ImportError:  # not a POSIX system
    termios = None  # type: ignore[assignment]
_LOCAL = 3  # place of the local modes among a terminal's attributes


@contextmanager
def silent_control_keys(keys: TextIO | None = None) -> Iterator[None]:
    """Let control characters that are typed, by default on standard input, show nothing.

    A ``^C`` behind a full last line would wrap and move the view by a line, so that a stale line
    of it stayed. What is no terminal is left alone.
    """
    source = sys.stdin if keys is None else keys
    if not _is_ours(source):
        yield
        return
    before = termios.tcgetattr(source)
    changed = list(before)
    changed[_LOCAL] &= ~termios.ECHOCTL
    termios.tcsetattr(source, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        if _is_ours(source):
            termios.tcsetattr(source, termios.TCSADRAIN, before)


def _is_ours(source: TextIO | None) -> bool:
    """Whether it is a terminal that this process may change; in the background it is stopped."""
    try:
        if termios is None or source is None or not source.isatty():
            return False
        return os.tcgetpgrp(source.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # closed, or of no session
        return False
