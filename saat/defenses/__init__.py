"""Defenses, one file each, and the registry that names them."""

from collections.abc import Mapping
from typing import NamedTuple

from saat.defenses.saat import SaatSettings, SaatTraining


class DefenseEntry(NamedTuple):
    """A row of :data:`DEFENSES`: its options, its training, one line for ``saat list defenses``."""

    settings: type[SaatSettings]
    training: type[SaatTraining]
    description: str


# ``none`` is the pretrained model itself and needs no training.
DEFENSES: Mapping[str, DefenseEntry] = {
    "saat": DefenseEntry(
        SaatSettings, SaatTraining, "minimax training around mainstay codes (Yuan et al. 2023)"
    ),
}

__all__ = ["DEFENSES", "DefenseEntry", "SaatSettings", "SaatTraining"]
