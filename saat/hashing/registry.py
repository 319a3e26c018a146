"""Hashing objectives, one file each, and the registry that names them."""

from saat.hashing.csq import CSQ
from saat.hashing.dph import DPH
from saat.hashing.dpn import DPN
from saat.hashing.dpsh import DPSH
from saat.hashing.hashnet import HashNet
from saat.hashing.hswd import HSWD
from saat.hashing.interface import HashingObjective
from saat.hashing.ortho import OrthoHash
from saat.registry import Registry, first_line, subclass_of

# name → class, called as OBJECTIVES[name](train_labels, bits, seed)
OBJECTIVES: Registry[type[HashingObjective]] = Registry(
    "hashing objective",
    "saat.hashing",
    {
        "dph": DPH,
        "dpsh": DPSH,
        "hashnet": HashNet,
        "csq": CSQ,
        "dpn": DPN,
        "ortho": OrthoHash,
        "hswd": HSWD,
    },
    problem=subclass_of(HashingObjective),
    describe=first_line,
)
