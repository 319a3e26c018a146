"""Small files, written atomically."""

import json
from pathlib import Path
from typing import Any

from saat.checkpoint import replacing


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``; afterwards it is on the disk, or as it was."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as JSON."""
    write_text(path, json.dumps(value, indent=1) + "\n")
