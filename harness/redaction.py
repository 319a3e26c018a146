"""Addresses and messages without the credentials that they may carry."""

import os
import re

from saat.errors import one_line

# Whoever names a variable like this keeps a secret in it, or the path of one.
_SECRET_NAME = re.compile(r"PASS|TOKEN|SECRET|CREDENTIAL|KEY")
_SHORTEST = 6  # a shorter value ("1", "true") may stand in a text for something else
_HIDDEN = "***"


def public_uri(uri: str) -> str:
    """An address without user, password, query and fragment; a path of SQLite stays.

    Where what is left is no host with a port, as of a password without its ``@``, it goes too.
    """
    scheme, slashes, rest = uri.partition("://")
    if not slashes:
        return uri.rpartition("@")[2]
    if scheme.startswith("sqlite"):
        return uri.partition("?")[0]
    rest = re.split(r"[?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    plain = re.match(r"(\[[0-9A-Fa-f:.]*\]?|[^/:]*)(:\d*)?(/|$)", rest)
    return f"{scheme}{slashes}{rest if plain else '…'}"


def redacted(text: object) -> str:
    """A message without credentials in its addresses, headers and values of secret variables."""
    out = str(text)
    for value in _secret_values():
        out = out.replace(value, _HIDDEN)
    out = re.sub(r"(?<=://)[^\s\"'<>]*@", f"{_HIDDEN}@", out)
    # Also of a path alone, as urllib3 tells it.
    out = re.sub(r"(?<=\S)\?[^\s\"'<>)]*=[^\s\"'<>)]*", f"?{_HIDDEN}", out)
    return re.sub(r"(?i)\b(basic|bearer)\s+[\w+/=.~-]{8,}", rf"\1 {_HIDDEN}", out)


def message_line(error: object) -> str:
    """A message for the terminal: one line of at most 500 characters, without credentials.

    What has no space for long, such as an option that somebody mistyped at length, is cut, so that
    the rest of the sentence is not. Redacted before: half a secret would not be known as one.
    """
    text = re.sub(r"(\S{160})\S{60,}", r"\1…", redacted(error))
    return one_line(text, 500)


def _secret_values() -> list[str]:
    """Longest first: one may be the beginning of another."""
    values = {
        value
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name.upper()) and len(value) >= _SHORTEST
    }
    return sorted(values, key=len, reverse=True)
