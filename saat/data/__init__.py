"""Data sets for hashing: images, label vectors and who plays which part in retrieval.

:func:`load` opens a set of :data:`DATASETS` by ``name`` or any folder of image lists by ``path``
(:mod:`saat.data.lists` states the layouts, ``docs/datasets.md`` where the sets come from). The
splits mean the same for all of them:

- ``train``: what the network learns from; usually a subset of ``database``.
- ``database``: what queries retrieve from.
- ``validation``: queries for decisions made while searching. From lists they are drawn from the
  database outside ``train``; where too few rows are outside, they are held out from ``train``
  and leave it. They leave the database while validating (``validation_database``), so that no
  query retrieves itself.
- ``test``: queries of the final numbers, disjoint from all of the above.

Images are decoded once per node into a memory map (:mod:`saat.data.store`), so every process
that loads the same data shares its pages.
"""

from collections.abc import Callable
from pathlib import Path

from saat.data.dataset import RetrievalData
from saat.data.folder import load_folder
from saat.data.registry import DATASETS, Dataset, locate
from saat.data.store import Progress
from saat.data_source import default_cache_dir, source_problem
from saat.errors import InputError
from saat.paths import user_path

__all__ = [
    "DATASETS",
    "Dataset",
    "RetrievalData",
    "load",
    "locate",
]

# A square of this side, and the larger one that it is cropped from, fit in memory in every thread.
MAX_IMAGE_SIZE = 4096


def load(
    *,
    name: str | None = None,
    path: str | Path | None = None,
    root: str | Path | None = None,
    image_size: int,
    val_queries: int,
    seed: int = 0,
    resize: str = "squash",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> RetrievalData:
    """Load a data set, decoding its images if this node has not done so before.

    Args:
        name: A key of :data:`DATASETS`.
        path: A folder of image lists. Exactly one of ``name`` and ``path`` is given.
        root: The folder that contains a named set's own folder (``FLICKR-25K``, …); where None,
            the environment variable ``SAAT_DATA`` names it. Not for embedded sets.
        image_size: Height and width of the stored images in pixels, at most 4096.
        val_queries: Number of validation queries; 0 for none.
        seed: Decides which rows become validation queries, and how embedded sets are composed.
        resize: ``"squash"`` resizes the whole image to a square, as in the paper; ``"crop"``
            resizes the short side to ``image_size * 256 / 224`` and crops the centre, as the
            reference repositories do.
        cache_dir: Node-local folder of decoded images; :func:`default_cache_dir` where None.
        progress: Called with (images done, images in all) while images are decoded.

    Returns:
        The data set, its images a read-only memory map.

    Raises:
        InputError: One line that names the list file and line, the value and what is allowed.
        OSError: The cache cannot be written, a full disk for example; it names the file.
    """
    folders = {known: entry.folder for known, entry in DATASETS.items()}
    problem = source_problem(name, path, root, folders)
    if problem is not None:
        raise InputError(f"data: {problem}")
    if not 1 <= image_size <= MAX_IMAGE_SIZE:
        raise InputError(f"data: image_size {image_size}: must be 1 to {MAX_IMAGE_SIZE} pixels")
    if val_queries < 0:
        raise InputError(f"data: val_queries {val_queries}: must be 0 or more")
    loader: Callable[..., RetrievalData] = load_folder
    source: dict[str, Path] = {}
    if path is not None:
        source = {"root": user_path(path, "data.path:")}
    elif name is not None:
        loader = DATASETS[name].load
        if DATASETS[name].folder is not None:
            source = {"root": locate(name, root)}
    return loader(
        **source,
        image_size=image_size,
        val_queries=val_queries,
        seed=seed,
        resize=resize,
        cache_dir=cache_dir or default_cache_dir(),
        progress=progress,
    )
