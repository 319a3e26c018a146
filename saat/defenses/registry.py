"""Defenses, one file each, and the registry that names them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from saat.defenses.atrdh import AtrdhSettings, AtrdhTraining
from saat.defenses.awp import AwpSettings, AwpTraining
from saat.defenses.ca_tride import CaTrideSettings, CaTrideTraining
from saat.defenses.cgat import CgatSettings, CgatTraining
from saat.defenses.comdefend import ComDefendSettings, ComDefendTraining, preprocessed
from saat.defenses.crdat import CrdatSettings, CrdatTraining
from saat.defenses.fgsm_rs import FgsmRsSettings, FgsmRsTraining
from saat.defenses.hm import HmSettings, HmTraining
from saat.defenses.saat import SaatSettings, SaatTraining
from saat.defenses.trades import TradesSettings, TradesTraining
from saat.models import HashingNetwork
from saat.optimiser_settings import OptimiserSettings
from saat.registry import Registry, instance_of
from saat.settings import file_key, option_fields, settings_from
from saat.training import Training


class DefenseEntry(NamedTuple):
    """A row of :data:`DEFENSES`."""

    settings: type[OptimiserSettings]  # its options, with the published defaults
    training: Callable[..., Training]  # (network, objective, data, settings, seed)
    description: str  # one line for ``saat list defenses``
    # Builds around a network what ``training.defended`` is, to load saved weights into.
    wrap: Callable[[HashingNetwork, OptimiserSettings], nn.Module] = lambda network, _: network


def defended_network(
    method: str, network: HashingNetwork, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """The module that a defense deploys around a network, to load trained weights into.

    ``method`` is a name in :data:`DEFENSES`, or ``none``. ``options`` are those of the defense by
    file key, others are ignored; its defaults where a key is missing.
    """
    if method == "none":
        return network
    entry = DEFENSES[method]
    keys = {file_key(item) for item in option_fields(entry.settings)}
    values = {key: value for key, value in (options or {}).items() if key in keys}
    return entry.wrap(network, settings_from(entry.settings, values, "defense"))


# ``none`` is the pretrained model itself and needs no training.
DEFENSES: Registry[DefenseEntry] = Registry(
    "defense",
    "saat.defenses",
    {
        "saat": DefenseEntry(
            SaatSettings, SaatTraining, "minimax training around mainstay codes (Yuan et al. 2023)"
        ),
        "cgat": DefenseEntry(
            CgatSettings, CgatTraining, "minimax training around center codes (Wang et al. 2023)"
        ),
        "atrdh": DefenseEntry(
            AtrdhSettings, AtrdhTraining, "training against targeted attacks (Wang et al. 2021)"
        ),
        "crdat": DefenseEntry(
            CrdatSettings,
            CrdatTraining,
            "distillation from a clean teacher (after Zhu et al. 2025)",
        ),
        "trades": DefenseEntry(
            TradesSettings,
            TradesTraining,
            "attacked codes stay near benign ones (after Zhang et al. 2019)",
        ),
        "awp": DefenseEntry(
            AwpSettings, AwpTraining, "SAAT at adversarially perturbed weights (Wu et al. 2020)"
        ),
        "fgsm_rs": DefenseEntry(
            FgsmRsSettings,
            FgsmRsTraining,
            "SAAT with an attack of one step, cheap (Wong et al. 2020)",
        ),
        "hm": DefenseEntry(
            HmSettings,
            HmTraining,
            "attacked triplets up to a growing hardness (after Zhou and Patel 2022)",
        ),
        "ca_tride": DefenseEntry(
            CaTrideSettings,
            CaTrideTraining,
            "triplets attacked short of a collapse, in turns (after Tian et al. 2024)",
        ),
        "comdefend": DefenseEntry(
            ComDefendSettings,
            ComDefendTraining,
            "images are compressed before the network sees them (Jia et al. 2019)",
            preprocessed,
        ),
    },
    problem=instance_of(DefenseEntry),
    describe=lambda entry: entry.description,
    reserved="none",
)
