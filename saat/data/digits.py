"""The embedded sets of digits: real handwritten digits composed on colour canvases.

scikit-learn carries 1,797 handwritten 8×8 digits of the UCI optical recognition set, so this
multi-label retrieval task (C = 10, one to three digits per image) needs no download. The *source*
digits are split first, and an image of a split shows only source digits of its own pool: a network
that memorises training digits gains nothing on queries.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saat.data import store
from saat.data.canvas import compose
from saat.data.labelled_images import LabelledImages, fingerprint
from saat.errors import InputError, one_line
from saat.seeding import derive_seed

MAX_DIGITS = 3


class Sizes(NamedTuple):
    """Numbers of images; the training images are the first of the database."""

    train: int
    database: int
    test: int


SIZES = Sizes(2000, 4000, 500)
MINI = Sizes(400, 800, 100)

# Of every class, this fraction of the source digits is each query split's own.
_POOL_FRACTION = {"validation": 0.15, "test": 0.15}
_MIN_IMAGE_SIZE = 16  # below, a digit has fewer pixels than its source


def load_digits(
    *,
    image_size: int,
    val_queries: int,
    seed: int,
    resize: str,
    cache_dir: Path,
    progress: store.Progress | None,
    name: str = "digits",
) -> LabelledImages:
    """Compose the set, or open it from the cache, for ``LabelledImages.named``.

    ``digits100`` (C = 100) shows one or two numbers from 00 to 99, tens on the left and units on
    the right of the upper and the lower half. Images differ from those of ``digits`` in nothing
    else, so that costs and MAP can be compared over the number of classes. ``digits_mini`` has the
    first images of every split of ``digits``.

    Rows are the database (``train`` first), then the validation queries, then the test queries.
    ``seed`` decides everything. More validation queries under the same seed leave every other
    image as it was.
    """
    if image_size < _MIN_IMAGE_SIZE:
        raise InputError(
            f"data: image_size {image_size}: digits need at least {_MIN_IMAGE_SIZE} pixels"
        )
    if resize != "squash":
        raise InputError(
            f"data: resize {resize!r}: digits are composed at image_size; only squash is allowed"
        )
    sizes, numbers = MINI if name == "digits_mini" else SIZES, name == "digits100"
    draw = number_sources if numbers else source_indices
    sources = draw(val_queries=val_queries, seed=seed, sizes=sizes)
    total = len(sources)
    recipe = {name: seed, "image_size": image_size, "val_queries": val_queries}
    key = fingerprint(recipe, {"sources": sources})
    images = store.open_or_build(
        cache_dir,
        f"{name}-{key}",
        (total, 3, image_size, image_size),
        lambda: _compose_blocks(sources, image_size, _counts(val_queries, sizes), seed),
        progress,
    ).images
    labels = _number_labels(sources) if numbers else _labels(sources)
    first_test = sizes.database + val_queries
    splits = {
        "train": np.arange(sizes.train),
        "database": np.arange(sizes.database),
        "validation": np.arange(sizes.database, first_test),
        "test": np.arange(first_test, total),
    }
    return LabelledImages(
        name=name,
        images=images,
        labels=labels,
        fingerprint=fingerprint(recipe, {"labels": labels, **splits}),
        lists_sha256={},
        label=name,
        **splits,
    )


def source_indices(*, val_queries: int, seed: int, sizes: Sizes = SIZES) -> np.ndarray:
    """Tell which of scikit-learn's digits every image shows.

    Returns:
        int64 (M, 3) rows of ``sklearn.datasets.load_digits()``, −1 where an image has fewer
        than three digits. Sources of the database, of the validation queries and of the test
        queries are three disjoint sets.
    """
    pools = _pools(seed)
    parts = []
    for split, count in _counts(val_queries, sizes).items():
        rng = _generator(seed, split, "sources")
        # One draw of doubles, row by row, so that the first images stay when count grows.
        draw = rng.random((count, 1 + MAX_DIGITS))
        sources = pools[split][(draw[:, 1:] * len(pools[split])).astype(np.int64)]
        digits = 1 + (draw[:, :1] * MAX_DIGITS).astype(np.int64)
        parts.append(np.where(np.arange(MAX_DIGITS) < digits, sources, -1))
    return np.concatenate(parts)


def number_sources(*, val_queries: int, seed: int, sizes: Sizes = SIZES) -> np.ndarray:
    """Tell which of scikit-learn's digits every image of ``digits100`` shows, and where.

    Returns:
        int64 (M, 4) rows of ``sklearn.datasets.load_digits()`` by quadrant (tens and units of the
        upper number, then of the lower one), −1 twice where an image has one number. Sources of
        the splits are disjoint, as those of :func:`source_indices`.
    """
    pools = _pools(seed)
    parts = []
    for split, count in _counts(val_queries, sizes).items():
        draw = _generator(seed, split, "numbers").random((count, 5))
        sources = pools[split][(draw[:, 1:] * len(pools[split])).astype(np.int64)]
        row = (draw[:, :1] * 3).astype(np.int64)  # upper number, lower number, both
        kept = np.concatenate([row != 1, row != 1, row != 0, row != 0], axis=1)
        parts.append(np.where(kept, sources, -1))
    return np.concatenate(parts)


def _counts(val_queries: int, sizes: Sizes) -> dict[str, int]:
    return {"database": sizes.database, "validation": val_queries, "test": sizes.test}


def _generator(*parts: int | str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed("digits", *parts)))


@cache
def _source_digits() -> tuple[np.ndarray, np.ndarray]:
    """float32 (1797, 8, 8) ink in [0, 1] and int64 (1797,) classes."""
    # The file alone: importing scikit-learn, which every worker would do, takes seconds.
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise InputError("data: digits come with scikit-learn; pip install scikit-learn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    except (OSError, ValueError) as error:
        raise InputError(f"data: digits cannot be read from {file}: {one_line(error)}") from None
    return table[:, :-1].reshape(-1, 8, 8) / 16, table[:, -1].astype(np.int64)


def _pools(seed: int) -> dict[str, np.ndarray]:
    """Source digits of every split, stratified by class."""
    _, classes = _source_digits()
    rng = _generator(seed, "pools")
    pools: dict[str, list[np.ndarray]] = {"database": [], "validation": [], "test": []}
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(classes == digit))
        for split, fraction in _POOL_FRACTION.items():
            own = round(fraction * np.count_nonzero(classes == digit))
            pools[split].append(members[:own])
            members = members[own:]
        pools["database"].append(members)
    return {split: np.concatenate(members) for split, members in pools.items()}


def _labels(sources: np.ndarray) -> np.ndarray:
    _, classes = _source_digits()
    labels = np.zeros((len(sources), 10), dtype=np.uint8)
    row, column = np.nonzero(sources >= 0)
    labels[row, classes[sources[row, column]]] = 1
    return labels


def _number_labels(sources: np.ndarray) -> np.ndarray:
    _, classes = _source_digits()
    labels = np.zeros((len(sources), 100), dtype=np.uint8)
    for tens, units in ((0, 1), (2, 3)):
        rows = np.flatnonzero(sources[:, tens] >= 0)
        number = 10 * classes[sources[rows, tens]] + classes[sources[rows, units]]
        labels[rows, number] = 1
    return labels


def _compose_blocks(
    sources: np.ndarray, size: int, counts: Mapping[str, int], seed: int
) -> Iterator[np.ndarray]:
    # A generator per image: an image depends on its place in its split, not on other splits.
    ink, _ = _source_digits()
    names = [(split, i) for split, n in counts.items() for i in range(n)]
    step = store.block_length(size)
    for start in range(0, len(names), step):
        block = zip(names[start : start + step], sources[start : start + step], strict=True)
        yield np.stack([_image(ink, own, size, _generator(seed, *name)) for name, own in block])


def _image(ink: np.ndarray, own: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    shown = own >= 0
    # Four columns are quadrants; three are digits that stand anywhere.
    cells = np.flatnonzero(shown) if len(own) == 4 else None
    return compose(ink[own[shown]], size, rng, cells)
