"""The one exception for a user's mistake."""


class InputError(ValueError):
    """Bad input: one line that names where it came from, the value, and what is allowed.

    The command line prints the message and exits with status 2, without a traceback.
    """


def printable(text: object) -> str:
    """``text`` with every control and format character written out as its code point.

    A terminal obeys some of them: they move the cursor, hide text or turn its direction.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def one_line(text: object, limit: int = 300) -> str:
    """``text`` on one line, without control characters, cut at ``limit`` characters."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
