"""Removes credentials from addresses and messages."""

import os
import re

from saat.errors import one_line

# Environment variables with such a name hold a secret, or the path of one.
_SECRET_NAME = re.compile(r"PASS|TOKEN|SECRET|CREDENTIAL|KEY")
_SHORTEST = 6  # a shorter value, such as "1" or "true", is an ordinary word of a message
_HIDDEN = "***"


def public_uri(uri: str) -> str:
    """An address without user, password, query and fragment; the path of a SQLite file stays.

    If the rest is not a host with a port, it may be a password without its ``@``, and is removed.
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
    """A message without credentials in addresses and headers, nor values of secret variables."""
    out, secrets = str(text), set[str]()
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name.upper()) and len(value) >= _SHORTEST:
            secrets.add(value)
    for value in sorted(secrets, key=len, reverse=True):  # one may be the beginning of another
        out = out.replace(value, _HIDDEN)
    out = re.sub(r"(?<=://)[^\s\"'<>]*@", f"{_HIDDEN}@", out)
    # Also after a path alone, as in urllib3's messages.
    out = re.sub(r"(?<=\S)\?[^\s\"'<>)]*=[^\s\"'<>)]*", f"?{_HIDDEN}", out)
    return re.sub(r"(?i)\b(basic|bearer)\s+[\w+/=.~-]{8,}", rf"\1 {_HIDDEN}", out)


def message_line(error: object) -> str:
    """A message for the terminal: one line of at most 500 characters, without credentials."""
    # Credentials first: half a secret would not be recognised. Of a very long word only the
    # beginning stays, so that the sentence does.
    text = re.sub(r"(\S{160})\S{60,}", r"\1…", redacted(error))
    return one_line(text, 500)
