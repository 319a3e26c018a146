"""Backbones and the hashing network."""

from saat.models.network import (
    HashingNetwork,
    codes_of,
    device_of,
    encode,
    evaluating,
    to_float,
)
from saat.models.registry import (
    BACKBONES,
    blank_network,
    build_network,
    check_backbone,
    network_structure,
)

__all__ = [
    "BACKBONES",
    "HashingNetwork",
    "blank_network",
    "build_network",
    "check_backbone",
    "codes_of",
    "device_of",
    "encode",
    "evaluating",
    "network_structure",
    "to_float",
]
