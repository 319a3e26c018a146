"""Hashing objectives, one file each or each family; registry.py lists them."""

from saat.hashing.hashnet import HSWD, HashNet
from saat.hashing.interface import CodeMemory, HashingObjective
from saat.hashing.ortho import OrthoHash
from saat.hashing.pairwise import DPH, DPSH
from saat.hashing.registry import OBJECTIVES
from saat.hashing.targets import CSQ, DPN

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
