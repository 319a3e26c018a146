"""Defenses, one file each, and the registry that names them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import nn

from saat.defenses.saat import SaatSettings, SaatTraining
from saat.models import HashingNetwork
from saat.training import OptimiserSettings, Training


class DefenseEntry(NamedTuple):
    """A row of :data:`DEFENSES`.

    Attributes:
        settings: its options, with the published defaults.
        training: called as ``training(network, objective, data, settings, seed)``.
        description: one line for ``saat list defenses``.
        wrap: builds around a network what ``training.defended`` is, to load saved weights into.
    """

    settings: type[OptimiserSettings]
    training: Callable[..., Training]
    description: str
    wrap: Callable[[HashingNetwork], nn.Module] = lambda network: network


def defended_network(method: str, network: HashingNetwork) -> nn.Module:
    """The module that a defense deploys, to load the weights of a trained one into."""
    return network if method == "none" else DEFENSES[method].wrap(network)


# ``none`` is the pretrained model itself and needs no training.
DEFENSES: Mapping[str, DefenseEntry] = {
    "saat": DefenseEntry(
        SaatSettings, SaatTraining, "minimax training around mainstay codes (Yuan et al. 2023)"
    ),
}

__all__ = ["DEFENSES", "DefenseEntry", "SaatSettings", "SaatTraining", "defended_network"]
