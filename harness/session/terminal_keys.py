"""The terminal while a view redraws itself: Ctrl-C writes no ``^C`` into it."""

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
    try:
        number = source.fileno()
        before = termios.tcgetattr(number)
    except (AttributeError, OSError, ValueError, *([termios.error] if termios else [])):
        yield
        return
    changed = list(before)
    changed[_LOCAL] &= ~termios.ECHOCTL
    termios.tcsetattr(number, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
