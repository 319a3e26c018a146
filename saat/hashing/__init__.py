"""Hashing objectives, one file each, and the registry that names them."""

from collections.abc import Mapping

from saat.hashing.csq import CSQ
from saat.hashing.dph import DPH
from saat.hashing.dpn import DPN
from saat.hashing.dpsh import DPSH
from saat.hashing.hashnet import HashNet
from saat.hashing.hswd import HSWD
from saat.hashing.objective import CodeMemory, HashingObjective
from saat.hashing.ortho import OrthoHash

# name → class, called as OBJECTIVES[name](train_labels, bits, seed)
OBJECTIVES: Mapping[str, type[HashingObjective]] = {
    "dph": DPH,
    "dpsh": DPSH,
    "hashnet": HashNet,
    "csq": CSQ,
    "dpn": DPN,
    "ortho": OrthoHash,
    "hswd": HSWD,
}

__all__ = [
    "CSQ",
    "DPH",
    "DPN",
    "DPSH",
    "HSWD",
    "OBJECTIVES",
    "CodeMemory",
    "HashNet",
    "HashingObjective",
    "OrthoHash",
]
