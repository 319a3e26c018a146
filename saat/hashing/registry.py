"""The registry that names the hashing objectives."""

from saat.hashing.interface import HashingObjective
from saat.registry import Registry, first_line, subclass_of

# name → class, called as OBJECTIVES[name](train_labels, bits, seed)
OBJECTIVES: Registry[type[HashingObjective]] = Registry(
    "hashing objective",
    "saat.hashing",
    {
        "dph": "saat.hashing.pairwise:DPH",
        "dpsh": "saat.hashing.pairwise:DPSH",
        "hashnet": "saat.hashing.hashnet:HashNet",
        "csq": "saat.hashing.targets:CSQ",
        "dpn": "saat.hashing.targets:DPN",
        "ortho": "saat.hashing.ortho:OrthoHash",
        "hswd": "saat.hashing.hashnet:HSWD",
    },
    problem=subclass_of(HashingObjective),
    describe=first_line,
)
