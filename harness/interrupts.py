"""What Ctrl-C and SIGTERM do: end the process at once, or raise KeyboardInterrupt."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from saat.errors import InputError

INTERRUPTED = 130  # exit status
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
raised: list[int] = []  # signals that were turned into an exception
advice: list[str] = []  # how to go on after an interruption


def handle(handler: Callable[[int, FrameType | None], NoReturn]) -> None:
    """Let ``handler`` take SIGINT and SIGTERM, except one that the parent process ignores."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """End at once: nothing was begun, and an exception would be lost among half-made imports."""
    with suppress(OSError):
        os.write(2, b"saat: interrupted; nothing was begun\n")
    leave_quietly(number, frame)


def leave_quietly(number: int, frame: FrameType | None) -> NoReturn:
    """Do not wait any more: the person has asked twice."""
    del number, frame
    os._exit(INTERRUPTED)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Raise: SIGTERM ends a run as Ctrl-C does."""
    del frame
    if number == signal.SIGTERM:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raised.append(number)
    raise KeyboardInterrupt


@contextmanager
def importing() -> Iterator[None]:
    """Import what a command works with: until it is there, a signal ends the process at once.

    A missing package, which only some commands need, raises InputError.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handle(leave)
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(error) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def missing(error: ModuleNotFoundError) -> InputError:
    """What to do about a package that is not installed."""
    return InputError(f"the package {error.name} is missing; pip install 'saat-harness[harness]'")
