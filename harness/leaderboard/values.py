"""The types of an entry's values: what a text, a name, a link or a number may be."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from saat.errors import printable


def _text(text: str) -> str:
    if text != printable(text) or not text.strip():
        raise ValueError("a line of text without control characters")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,99}", text):
        raise ValueError("a letter, then letters, digits, dots, dashes and underscores, 100 in all")
    return text


def _hex(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("64 hexadecimal digits")
    return text


def _link(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    plain = re.fullmatch(r"[!-~]+", text) and not re.search(r"[<>\"'`\\^{}|@]", text)
    if parts.scheme != "https" or not parts.hostname or not plain:
        raise ValueError("an address that begins with https://, without a user")
    return text


Text = Annotated[str, Field(max_length=400), AfterValidator(_text)]
Name = Annotated[str, AfterValidator(_name)]
Sha256 = Annotated[str, AfterValidator(_hex)]
Link = Annotated[str, AfterValidator(_link)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=2**53)]
Value = bool | int | float | Text | None
