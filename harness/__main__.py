"""Entry point of the command ``saat``: exit statuses, and no traceback for a user's mistake."""

import os
import signal
import sys
from types import FrameType

from saat.errors import InputError, one_line


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
        fail(one_line(error, 500), 2)
    except (SearchStopped, OSError) as error:
        fail(one_line(error, 500), 1)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted; what was finished is on the disk", 130)
    except Exception as error:
        # typer carries a click of its own; its usage errors share only the name of the method.
        if not hasattr(error, "format_message"):
            raise
        fail(one_line(error.format_message(), 500), 2)
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str, status: int) -> None:
    """Print one line on standard error and exit."""
    print(f"saat: {message}", file=sys.stderr)
    sys.stderr.flush()
    sys.exit(status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does."""
    del number, frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
