"""Data sets for hashing: images, label vectors and who plays which part in retrieval.

:class:`RetrievalData` opens a set of :data:`DATASETS` by name, or any folder of image lists
(:mod:`saat.data.layouts` states the layouts, ``docs/datasets.md`` where the sets come from), or
takes images in memory. The splits mean the same for all of them:

- ``train``: what the network learns from; usually a subset of ``database``.
- ``database``: what queries retrieve from.
- ``validation``: queries for decisions made while searching (:mod:`saat.data.splits`). They leave
  the database while validating (``validation_database``), so that no query retrieves itself.
- ``test``: queries of the final numbers, disjoint from all of the above.

Images are decoded once per node into a memory map (:mod:`saat.data.store`), so every process
that loads the same data shares its pages.
"""

from saat.data.dataset import RetrievalData
from saat.data.registry import DATASETS, Dataset, locate

__all__ = ["DATASETS", "Dataset", "RetrievalData", "locate"]
