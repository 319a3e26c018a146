"""A small FLICKR-like set as image lists: drawn photographs, or those of another set, enlarged."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from saat.data.layouts import read_lists

# Pixels of most photographs of FLICKR-25K.
WIDTH, HEIGHT = 500, 375
# Share of the classes that an image has besides one of its own.
_MORE_LABELS = 0.06


def write_lists(
    folder: Path, train: int, database: int, test: int, classes: int, source: Path | None
) -> None:
    """Write image lists and JPEG files: the training images are the first of the database.

    Args:
        folder: is created.
        train: training images.
        database: database images, training images among them.
        test: test images.
        classes: of drawn photographs.
        source: folder of lists whose first images are taken; None draws photographs.
    """
    (folder / "images").mkdir(parents=True)
    count = database + test
    if source is None:
        rng = np.random.default_rng(0)
        labels = (rng.random((count, classes)) < _MORE_LABELS).astype(np.uint8)
        labels[np.arange(count), rng.permutation(count) % classes] = 1
        pictures = (drawn(row, rng) for row in labels)
    else:
        lists = read_lists(source)
        own, others = lists.rows["train"], lists.rows["database"]
        known = np.concatenate([own[:train], others[~np.isin(others, own)]])
        rows = np.concatenate([known[:database], lists.rows["test"][:test]])
        labels = lists.labels[rows]
        pictures = (enlarged(lists.root / lists.paths[row]) for row in rows)
    paths = [f"images/{number:05d}.jpg" for number in range(count)]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(folder / path, quality=92)
    parts = {"train": (0, train), "database": (0, database), "test": (database, count)}
    for name, (first, end) in parts.items():
        lines = "".join(f"{path}\n" for path in paths[first:end])
        (folder / f"{name}_img.txt").write_text(lines, encoding="utf-8")
        np.savetxt(folder / f"{name}_label.txt", labels[first:end], fmt="%d")


def drawn(labels: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A cloudy background with an ellipse for each label (C,), in the colour of its class."""
    coarse = rng.integers(40, 216, (9, 12, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for label in np.flatnonzero(labels):
        colour = Image.new("HSV", (1, 1), (int(255 * label / len(labels)), 230, 230))
        x, y = int(rng.integers(0, WIDTH - 160)), int(rng.integers(0, HEIGHT - 160))
        wide, high = rng.integers(80, 160, 2).tolist()
        pen.ellipse((x, y, x + wide, y + high), fill=colour.convert("RGB").getpixel((0, 0)))
    grain = rng.normal(0, 8, (HEIGHT, WIDTH, 3))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


def enlarged(path: Path) -> Image.Image:
    """A photograph at the size of FLICKR-25K's."""
    with Image.open(path) as image:
        return image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
