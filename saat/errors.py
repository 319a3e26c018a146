"""The one exception for a user's mistake."""


class InputError(ValueError):
    """Bad input: one line that names where it came from, the value, and what is allowed.

    The command line prints the message and exits with status 2, without a traceback.
    """


def one_line(text: object, limit: int = 300) -> str:
    """``text`` on one line, cut at ``limit`` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
