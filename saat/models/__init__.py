"""Backbones and the hashing network."""

from saat.models.network import (
    BACKBONES,
    HashingNetwork,
    build_network,
    check_backbone,
    codes_of,
    device_of,
    encode,
    evaluating,
    to_float,
)

__all__ = [
    "BACKBONES",
    "HashingNetwork",
    "build_network",
    "check_backbone",
    "codes_of",
    "device_of",
    "encode",
    "evaluating",
    "to_float",
]
