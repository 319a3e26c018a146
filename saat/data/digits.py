"""The embedded sets of digits: real handwritten digits composed on colour canvases.

scikit-learn contains 1,797 handwritten 8×8 digits of the UCI optical recognition set, so this
multi-label retrieval task (C = 10, one to three digits per image) needs no download. The *source*
digits are split first, and an image of a split shows only source digits of its own pool. So a
network that memorises training digits gains nothing on queries.
"""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from saat.data import store
from saat.data.canvas import compose
from saat.data.labelled_images import LabelledImages, fingerprint
from saat.errors import InputError, one_line
from saat.seeding import derive_seed, numpy_generator

# Numbers of images; the training images are the first of the database.
SIZES = {"train": 2000, "database": 4000, "test": 500}
_MINI = {"train": 400, "database": 800, "test": 100}

# Each query split has this fraction of the source digits of every class for itself.
_POOL_FRACTION = 0.15
_MIN_IMAGE_SIZE = 16  # in smaller images a digit has fewer pixels than its source


def load_digits(
    *,
    image_size: int,
    val_queries: int,
    seed: int,
    resize: str,
    cache_dir: Path,
    progress: store.Progress | None,
    name: str,
) -> LabelledImages:
    """Compose the set, or open it from the cache; see :meth:`saat.data.RetrievalData.named`.

    ``digits100`` (C = 100) shows one or two numbers from 00 to 99, one in the upper and one in the
    lower half. It differs from ``digits`` in nothing else, so costs and MAP can be compared over
    the number of classes. ``digits_mini`` has the first images of every split of ``digits``.

    Rows are the database (``train`` first), then the validation queries, then the test queries.
    More validation queries under the same seed do not change any other image.
    """
    if image_size < _MIN_IMAGE_SIZE:
        raise InputError(
            f"data: image_size {image_size}: digits need at least {_MIN_IMAGE_SIZE} pixels"
        )
    if resize != "squash":
        raise InputError(
            f"data: resize {resize!r}: digits are composed at image_size; only squash is allowed"
        )
    sizes, numbers = _MINI if name == "digits_mini" else SIZES, name == "digits100"
    sources = source_indices(val_queries=val_queries, seed=seed, sizes=sizes, numbers=numbers)
    recipe = {name: seed, "image_size": image_size, "val_queries": val_queries}
    key = fingerprint(recipe, {"sources": sources})
    images = store.open_or_build(
        cache_dir,
        f"{name}-{key}",
        (len(sources), 3, image_size, image_size),
        lambda rows: _compose_rows(sources, rows, image_size, _counts(val_queries, sizes), seed),
        progress,
    ).images
    labels = _labels(sources, numbers)
    first_test = sizes["database"] + val_queries
    splits = {
        "train": np.arange(sizes["train"]),
        "database": np.arange(sizes["database"]),
        "validation": np.arange(sizes["database"], first_test),
        "test": np.arange(first_test, len(sources)),
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


def source_indices(
    *, val_queries: int, seed: int, sizes: Mapping[str, int] = SIZES, numbers: bool = False
) -> np.ndarray:
    """Choose the source digits of every image; no two splits share a source digit.

    Returns:
        int64 (M, 3) rows of ``sklearn.datasets.load_digits()``; −1 if an image has fewer than
        three digits. With ``numbers``, as in ``digits100``, it is (M, 4) by quadrant: tens and
        units of the upper number, then of the lower number. A number that is missing is −1 twice.
    """
    columns, stream = (4, "numbers") if numbers else (3, "sources")
    pools = _pools(seed)
    parts = []
    for split, count in _counts(val_queries, sizes).items():
        # One draw of doubles, row by row, so that a larger count does not change the first images.
        draw = _generator(seed, split, stream).random((count, 1 + columns))
        sources = pools[split][(draw[:, 1:] * len(pools[split])).astype(np.int64)]
        choice = (draw[:, :1] * 3).astype(np.int64)
        # With numbers: only the upper, only the lower, or both. Else one, two or three digits.
        shown = choice != [[1, 1, 0, 0]] if numbers else choice >= [[0, 1, 2]]
        parts.append(np.where(shown, sources, -1))
    return np.concatenate(parts)


def _counts(val_queries: int, sizes: Mapping[str, int]) -> dict[str, int]:
    return {"database": sizes["database"], "validation": val_queries, "test": sizes["test"]}


def _generator(*parts: int | str) -> np.random.Generator:
    return numpy_generator(derive_seed("digits", *parts))


@cache
def source_digits() -> tuple[np.ndarray, np.ndarray]:
    """float32 (1797, 8, 8) ink in [0, 1] and int64 (1797,) classes."""
    # Read only the file: importing scikit-learn takes seconds in every worker.
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
    _, classes = source_digits()
    rng = _generator(seed, "pools")
    pools: dict[str, list[np.ndarray]] = {"validation": [], "test": [], "database": []}
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(classes == digit))
        own = round(_POOL_FRACTION * len(members))
        for pool, part in zip(pools.values(), np.split(members, [own, 2 * own]), strict=True):
            pool.append(part)
    return {split: np.concatenate(members) for split, members in pools.items()}


def _labels(sources: np.ndarray, numbers: bool) -> np.ndarray:
    _, classes = source_digits()
    label, shown = classes[sources], sources >= 0
    if numbers:
        label, shown = 10 * label[:, ::2] + label[:, 1::2], shown[:, ::2]
    labels = np.zeros((len(sources), 100 if numbers else 10), dtype=np.uint8)
    labels[np.nonzero(shown)[0], label[shown]] = 1
    return labels


def _compose_rows(
    sources: np.ndarray, rows: range, size: int, counts: Mapping[str, int], seed: int
) -> np.ndarray:
    ink, _ = source_digits()
    names = [(split, i) for split, count in counts.items() for i in range(count)]
    images = []
    for row in rows:
        # One generator per image, so that an image depends only on its place in its split.
        rng = _generator(seed, *names[row])
        shown = sources[row] >= 0
        # Four columns are quadrants. Three are digits in random quadrants.
        cells = np.flatnonzero(shown) if len(shown) == 4 else None
        images.append(compose(ink[sources[row, shown]], size, rng, cells))
    return np.stack(images)
