"""Short runs of every defense on the toy data."""

from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from saat.data import RetrievalData
from saat.defenses import DEFENSES
from saat.defenses.minimax import MinimaxSettings
from saat.models import HashingNetwork
from saat.optimiser_settings import OptimiserSettings
from saat.training import Training
from tests import toy

# What keeps a run short; everything else is as published.
SHORT: dict[str, dict[str, Any]] = {
    "saat": {"steps": 2},
    "cgat": {"steps": 2},
    "atrdh": {"steps": 2, "lr": 1e-3},
    "crdat": {"steps": 2},
    "trades": {"steps": 2},
    "awp": {"steps": 2, "perturb_from": 0.0},
    "hm": {"steps": 2},
    "ca_tride": {"steps": 2},
    "comdefend": {"width": 1 / 16},
}
_OTHER_STATES = count()
MINIMAX = [name for name, row in DEFENSES.items() if issubclass(row.settings, MinimaxSettings)]


def settings_of(name: str, **changes: Any) -> OptimiserSettings:
    """Four short epochs unless changed."""
    return replace(DEFENSES[name].settings(), **{"epochs": 4, **SHORT.get(name, {}), **changes})


def training(
    name: str,
    network: HashingNetwork,
    data: RetrievalData,
    seed: int = 0,
    objective: str = "dph",
    **changes: Any,
) -> Any:
    """A defense on a copy of ``network``."""
    copy = toy.toy_network(seed=9)
    copy.load_state_dict(network.state_dict())
    losses = toy.toy_objective(data, objective)
    torch.manual_seed(next(_OTHER_STATES))  # whatever was drawn before plays no part
    return DEFENSES[name].training(copy, losses, data, settings_of(name, **changes), seed)


def state(run: Training) -> dict[str, Tensor]:
    """Every tensor that the rest of a run depends on, and what is deployed."""
    out = {f"defended.{key}": value for key, value in toy.snapshot(run.defended).items()}
    return out | {key: value.clone() for key, value in run.state({})[0].items()}
