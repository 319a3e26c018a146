"""Small folders of image lists, and the real data where this machine has it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saat.data import RetrievalData
from saat.errors import InputError

Split = list[tuple[str, str]]  # (image path, label text) per line

REAL = Path(
    os.environ.get("SAAT_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data"
).resolve()


def real(name: str) -> Path:
    """A folder of the real data, or a skip that says why."""
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set SAAT_TEST_DATA to the folder of the real data")
    return folder


def opened(**settings: Any) -> RetrievalData:
    """By ``path`` where there is one, by ``name`` otherwise."""
    if "path" in settings:
        return RetrievalData.from_folder(**settings)
    return RetrievalData.named(**settings)


def input_error(call: Callable[[], object]) -> str:
    """The message of the InputError that ``call`` raises: one line, always."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def splits() -> dict[str, Split]:
    """20 database images, the first 10 of them train, 5 test; a label is the row mod 3."""
    database = [
        (f"images/d{i}.png", " ".join(str(int(i % 3 == c)) for c in range(3))) for i in range(20)
    ]
    test = [(f"images/t{i}.png", "1 0 1") for i in range(5)]
    return {"database": database, "train": database[:10], "test": test}


def write_pairs(root: Path, content: Mapping[str, Split]) -> Path:
    """The reference layout."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in content.items():
        (root / f"{name}_img.txt").write_text("".join(f"{path}\n" for path, _ in rows))
        (root / f"{name}_label.txt").write_text("".join(f"{label}\n" for _, label in rows))
    return root


def write_singles(root: Path, content: Mapping[str, Split]) -> Path:
    """The one-file layout."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in content.items():
        (root / f"{name}.txt").write_text("".join(f"{path} {label}\n" for path, label in rows))
    return root


def write_images(root: Path, content: Mapping[str, Split], size: int = 12) -> None:
    """A PNG of its own constant colour for every image that the lists name."""
    for i, path in enumerate(sorted({path for rows in content.values() for path, _ in rows})):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size + 3, size), (i, 2 * i, 255 - i)).save(file)


def folder(root: Path) -> Path:
    """A whole small data set on disk."""
    write_images(root, splits())
    return write_pairs(root, splits())


def noise_image(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image in which every pixel matters."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
