"""Hashing objectives, one file each, and the registry that names them."""

from collections.abc import Mapping

from saat.hashing.dph import DPH
from saat.hashing.objective import CodeMemory, HashingObjective

# name → class, called as OBJECTIVES[name](train_labels, bits, seed)
OBJECTIVES: Mapping[str, type[CodeMemory]] = {"dph": DPH}

__all__ = ["DPH", "OBJECTIVES", "CodeMemory", "HashingObjective"]
