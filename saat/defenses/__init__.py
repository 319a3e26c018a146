"""Defenses, one file each; registry.py lists them."""

from saat.defenses.atrdh import AtrdhSettings, AtrdhTraining
from saat.defenses.cgat import CgatSettings, CgatTraining
from saat.defenses.comdefend import ComDefendSettings, ComDefendTraining
from saat.defenses.crdat import CrdatSettings, CrdatTraining
from saat.defenses.registry import DEFENSES, DefenseEntry, defended_network
from saat.defenses.saat import SaatSettings, SaatTraining

__all__ = [
    "DEFENSES",
    "AtrdhSettings",
    "AtrdhTraining",
    "CgatSettings",
    "CgatTraining",
    "ComDefendSettings",
    "ComDefendTraining",
    "CrdatSettings",
    "CrdatTraining",
    "DefenseEntry",
    "SaatSettings",
    "SaatTraining",
    "defended_network",
]
