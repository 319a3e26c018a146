"""A data set from a folder of image lists."""

from pathlib import Path

from saat.data import store
from saat.data.dataset import HashingData, fingerprint
from saat.data.decode import RESIZES, cache_key, decode_blocks
from saat.data.identity import set_label
from saat.data.lists import Lists, read_lists
from saat.data.splits import draw_validation
from saat.errors import InputError


def load_folder(
    *,
    root: Path,
    name: str | None = None,
    classes: int | None = None,
    image_size: int,
    val_queries: int,
    seed: int,
    resize: str,
    cache_dir: Path,
    progress: store.Progress | None,
) -> HashingData:
    """Read the lists in ``root`` and decode their images; see :func:`saat.data.load`.

    Args:
        root: The folder of the lists.
        name: Name of the set; that of the folder where None.
        classes: Width that the labels must have; any where None.
        image_size: See :func:`saat.data.load`, as for all that follow.
        val_queries: Number of validation queries.
        seed: Decides which rows become validation queries.
        resize: A way of :data:`saat.data.decode.RESIZES`.
        cache_dir: Node-local folder of decoded images.
        progress: Called with (images done, images in all).
    """
    if resize not in RESIZES:
        raise InputError(f"data: resize {resize!r}: must be one of {', '.join(RESIZES)}")
    lists = read_named(root, name, classes)
    name = name or root.resolve().name
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
        "lists": dict(lists.content_sha256),
        "image_size": image_size,
        "resize": resize,
        "val_queries": val_queries,
    }
    return HashingData(
        name=name,
        images=images,
        labels=lists.labels,
        fingerprint=fingerprint(recipe, {"labels": lists.labels, **splits}),
        lists_sha256=lists.sha256,
        label=set_label(name, lists.content_sha256),
        **splits,
    )


def read_named(root: Path, name: str | None, classes: int | None) -> Lists:
    """Read the lists in ``root``, whose labels must have the width of the named set."""
    lists = read_lists(root)
    width = lists.labels.shape[1]
    if classes is not None and width != classes:
        raise InputError(f"{root}: its lists have {width} labels per image; {name} has {classes}")
    return lists
