"""Hashing objectives, one file each; registry.py lists them."""

from saat.hashing.csq import CSQ
from saat.hashing.dph import DPH
from saat.hashing.dpn import DPN
from saat.hashing.dpsh import DPSH
from saat.hashing.hashnet import HashNet
from saat.hashing.hswd import HSWD
from saat.hashing.interface import CodeMemory, HashingObjective
from saat.hashing.ortho import OrthoHash
from saat.hashing.registry import OBJECTIVES

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
