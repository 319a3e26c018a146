"""Defenses, one file each; registry.py lists them."""

from saat.defenses.atrdh import AtrdhSettings, AtrdhTraining
from saat.defenses.awp import AwpSettings, AwpTraining
from saat.defenses.ca_tride import CaTrideSettings, CaTrideTraining
from saat.defenses.cgat import CgatSettings, CgatTraining
from saat.defenses.comdefend import ComDefendSettings, ComDefendTraining
from saat.defenses.crdat import CrdatSettings, CrdatTraining
from saat.defenses.fgsm_rs import FgsmRsSettings, FgsmRsTraining
from saat.defenses.hm import HmSettings, HmTraining
from saat.defenses.registry import DEFENSES, DefenseEntry, defended_network
from saat.defenses.saat import SaatSettings, SaatTraining
from saat.defenses.trades import TradesSettings, TradesTraining

__all__ = [
    "DEFENSES",
    "AtrdhSettings",
    "AtrdhTraining",
    "AwpSettings",
    "AwpTraining",
    "CaTrideSettings",
    "CaTrideTraining",
    "CgatSettings",
    "CgatTraining",
    "ComDefendSettings",
    "ComDefendTraining",
    "CrdatSettings",
    "CrdatTraining",
    "DefenseEntry",
    "FgsmRsSettings",
    "FgsmRsTraining",
    "HmSettings",
    "HmTraining",
    "SaatSettings",
    "SaatTraining",
    "TradesSettings",
    "TradesTraining",
    "defended_network",
]
