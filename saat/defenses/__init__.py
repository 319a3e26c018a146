"""Defenses, one file each; registry.py lists them."""

from saat.defenses.registry import DEFENSES, DefenseEntry, defended_network
from saat.defenses.saat import SaatSettings, SaatTraining

__all__ = ["DEFENSES", "DefenseEntry", "SaatSettings", "SaatTraining", "defended_network"]
