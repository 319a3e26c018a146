"""Checksums of small files: against damage, not against forgery."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.run_folder import check_file
from saat.errors import InputError, one_line

_KEY = "checksum"
_DEEPEST = 12  # levels of a mapping that we write


def checksum(content: bytes) -> str:
    """CRC-32 in eight hexadecimal digits."""
    return f"{zlib.crc32(content):08x}"


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add the checksum of its JSON to JSON-able ``content``."""
    return {**content, _KEY: checksum(json.dumps(content).encode())}


def read_json(path: Path, verified: bool = True) -> dict[str, Any]:
    """Read the mapping in a JSON file, without its checksum; old files have no checksum.

    Args:
        path: the file.
        verified: whether the checksum is compared.

    Raises:
        InputError: the file is not there, is damaged, or holds something else.
    """
    check_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged: {one_line(error, 120)}") from None
    if not isinstance(content, dict) or _is_deep(content):
        raise InputError(f"{path}: damaged: not a mapping of at most {_DEEPEST} levels")
    given = content.pop(_KEY, None)
    if verified and given not in (None, checksum(json.dumps(content).encode())):
        raise InputError(f"{path}: damaged: the checksum does not match")
    return content


def _is_deep(content: Any, levels: int = _DEEPEST) -> bool:
    """Whether the content is nested deeper than any file of ours, so that recursion may fail."""
    if not isinstance(content, dict | list):
        return False
    parts = content.values() if isinstance(content, dict) else content
    return not levels or any(_is_deep(part, levels - 1) for part in parts)
