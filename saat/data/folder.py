"""A data set from a folder of image lists."""

from pathlib import Path

from saat.data import store
from saat.data.dataset import HashingData, fingerprint
from saat.data.decode import RESIZES, cache_key, decode_blocks
from saat.data.lists import read_lists
from saat.data.splits import draw_validation
from saat.errors import InputError


def load_folder(
    *,
    root: Path,
    image_size: int,
    val_queries: int,
    seed: int,
    resize: str,
    cache_dir: Path,
    progress: store.Progress | None,
) -> HashingData:
    """Read the lists in ``root`` and decode their images; see :func:`saat.data.load`."""
    if resize not in RESIZES:
        raise InputError(f"data: resize {resize!r}: must be one of {', '.join(RESIZES)}")
    lists = read_lists(root)
    train, validation = draw_validation(
        lists.rows["train"], lists.rows["database"], val_queries, seed, str(root)
    )
    images = store.open_or_build(
        cache_dir,
        cache_key(lists, image_size, resize),
        (len(lists.paths), 3, image_size, image_size),
        lambda: decode_blocks(lists, image_size, resize),
        progress,
    )
    splits = {**lists.rows, "train": train, "validation": validation}
    recipe = {
        "lists": dict(lists.sha256),
        "image_size": image_size,
        "resize": resize,
        "val_queries": val_queries,
    }
    return HashingData(
        name=root.resolve().name,
        images=images,
        labels=lists.labels,
        fingerprint=fingerprint(recipe, {"labels": lists.labels, **splits}),
        lists_sha256=lists.sha256,
        **splits,
    )
