"""Entry point of the command ``saat``: exit statuses, and no traceback for a user's mistake."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from harness.redaction import message_line
from saat.errors import InputError

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Status 0: done; 1: the run failed; 2: bad input; 130: interrupted.
    """
    try:
        from harness.cli import app
        from harness.executors import SearchStopped
    except ModuleNotFoundError as error:
        fail(f"the package {error.name} is missing; pip install 'saat-harness[harness]'", 2)
    import click
    import typer.main

    signal.signal(signal.SIGTERM, _interrupt)
    command = typer.main.get_command(app)
    try:
        status = command.main(arguments, prog_name="saat", standalone_mode=False)
    except InputError as error:
        hint = "; saat validate shows all" if len(error.faults) > 1 else ""
        fail(message_line(error) + hint, 2)
    except (SearchStopped, OSError) as error:
        fail(message_line(error), 1)
    except (KeyboardInterrupt, click.Abort):
        status = _INTERRUPTED
    except Exception as error:
        # typer carries a click of its own; its usage errors share only the name of the method.
        if not hasattr(error, "format_message"):
            raise
        fail(message_line(_in_our_words(error.format_message())), 2)
    if status == _INTERRUPTED:  # newer versions of typer answer an interruption with it
        fail("interrupted; what was finished is on the disk", _INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str, status: int) -> None:
    """Print one line on standard error and exit."""
    with suppress(OSError):  # nobody reads it
        print(f"saat: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


# Typer reads values with pydantic, which tells it so.
_WORDS = {
    "Value error, ": "",
    "Input should be greater than or equal to": "at least",
    "Input should be less than or equal to": "at most",
    "Input should be a valid integer": "a whole number",
    "Input should be a valid number": "a number",
    ", unable to parse string as an integer": "",
    ", unable to parse string as a number": "",
}


def _in_our_words(message: str) -> str:
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does."""
    del number, frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
