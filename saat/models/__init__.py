"""Backbones and the hashing network."""

from saat.models.folding import folded
from saat.models.network import (
    HashingNetwork,
    codes_of,
    device_of,
    encode,
    evaluating,
    seeded_pass,
    to_float,
)
from saat.models.network_check import check_network
from saat.models.registry import (
    BACKBONES,
    blank_network,
    build_network,
    network_structure,
)

__all__ = [
    "BACKBONES",
    "HashingNetwork",
    "blank_network",
    "build_network",
    "check_network",
    "codes_of",
    "device_of",
    "encode",
    "evaluating",
    "folded",
    "network_structure",
    "seeded_pass",
    "to_float",
]
