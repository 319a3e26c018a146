"""Data sets for hashing: images, label vectors and splits.

:class:`RetrievalData` opens a set of :data:`DATASETS` by name, or any folder of image lists
(:mod:`saat.data.layouts` describes the layouts), or takes images in memory. ``docs/datasets.md``
says where the sets come from. The splits have the same meaning for all sets:

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
