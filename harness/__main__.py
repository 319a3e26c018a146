"""Entry point of the command ``saat``: exit statuses, and no traceback for a user's mistake."""

import os
import shlex
import sys
from contextlib import suppress
from typing import NoReturn

from harness import interrupts
from harness.interrupts import INTERRUPTED
from harness.named_paths import PathsNotNamed
from harness.redaction import message_line, redacted
from harness.search_stopped import SearchStopped
from saat.errors import InputError, printable

# Nothing is imported above that takes time: until main() begins, signals are Python's own.


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Status 0: done; 1: the run failed; 2: bad input; 130: interrupted.
    """
    interrupts.raised.clear()
    interrupts.advice.clear()
    interrupts.handle(interrupts.leave)
    try:
        import typer.main

        from harness.cli import app
        from harness.cli.bash_words import whole_words
    except ModuleNotFoundError as error:
        fail(str(interrupts.missing(error)), 2)

    command = typer.main.get_command(app)
    interrupts.handle(interrupts.interrupt)
    try:
        with whole_words():
            status = command.main(arguments, prog_name="saat", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (Exception, SystemExit) as error:
        # Whatever an interruption was turned into, for example by an import that it cut off.
        if interrupts.raised:
            status = INTERRUPTED
        elif isinstance(error, PathsNotNamed):
            given = sys.argv[1:] if arguments is None else arguments
            fail(f"{message_line(error)}: {_allowing(given, error.paths)}", 2)
        elif isinstance(error, InputError):
            hint = "; saat validate shows all" if len(error.faults) > 1 else ""
            fail(message_line(error) + hint, 2)
        elif isinstance(error, SearchStopped | OSError):
            fail(message_line(error), 1)
        # typer carries a click of its own; its usage errors share only the name of the method.
        elif hasattr(error, "format_message"):
            message = str(error.format_message())
            for theirs, ours in _WORDS.items():
                message = message.replace(theirs, ours)
            fail(message_line(message), 2)
        else:
            raise
    if status == INTERRUPTED:  # newer versions of typer answer an interruption with it
        interrupts.handle(interrupts.leave_quietly)
        said = ("interrupted", "what was finished is on the disk", *interrupts.advice)
        fail("; ".join(said), INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str, status: int) -> NoReturn:
    """Print one line on standard error and exit."""
    with suppress(OSError):  # nobody reads it
        print(f"saat: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def _allowing(arguments: list[str], paths: list[str]) -> str:
    """The command that was given, with paths that it may read."""
    options = [part for path in paths for part in ("--allow", path)]
    return printable(redacted(shlex.join(["saat", *arguments, *options])))


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


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
