"""Every defense on the digits: harder to attack than the undefended model, and still useful."""

from typing import Any

import pytest
import torch

from saat.attacks import MainstayAttack
from saat.data import RetrievalData
from saat.defenses import DEFENSES
from saat.hashing import OBJECTIVES, HashingObjective
from saat.models import HashingNetwork, build_network
from saat.pretrain import Pretraining, PretrainSettings
from saat.protocol import Protocol, evaluate

pytestmark = pytest.mark.timeout(1800)

BITS = 32
# Small networks need higher rates than the papers'; flips turn digits into no digits; the codec of
# published width takes a CPU minutes an epoch. TRADES with its published β of 6 gives all images
# one code here.
ADEQUATE: dict[str, dict[str, Any]] = {
    "saat": {"epochs": 4},
    "cgat": {"epochs": 4, "augment": False},
    "atrdh": {"epochs": 4, "lr": 1e-3},
    "crdat": {"epochs": 4},
    "trades": {"epochs": 4, "lr": 0.1, "beta": 0.5},
    "awp": {"epochs": 4},
    "fgsm_rs": {"epochs": 4},
    "hm": {"epochs": 4},
    "ca_tride": {"epochs": 4},
    "comdefend": {"epochs": 8, "lr": 1e-3, "width": 1 / 8},
}
# Clean MAP may fall by so much, robust MAP must rise by so much.
COST, GAIN = 0.05, 0.25


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RetrievalData:
    cache = tmp_path_factory.mktemp("cache")
    return RetrievalData.named("digits", image_size=32, val_queries=300, cache_dir=cache)


@pytest.fixture(scope="module")
def pretrained(data: RetrievalData) -> tuple[dict[str, Any], dict[str, Any], tuple[float, float]]:
    """State of the network and of its objective, clean and robust MAP."""
    network, objective = fresh(data)
    settings = PretrainSettings(epochs=12, lr=0.3)
    run = Pretraining(network, objective, data, settings, seed=0)
    while not run.finished:
        run.run_epoch()
    return network.state_dict(), objective.state_dict(), measured(network, data)


def fresh(data: RetrievalData) -> tuple[HashingNetwork, HashingObjective]:
    objective = OBJECTIVES["dph"](data.label_tensor(data.train), BITS, 0)
    return build_network("small_cnn", "none", BITS, 32, 0), objective


def measured(model: torch.nn.Module, data: RetrievalData) -> tuple[float, float]:
    attack = MainstayAttack(steps=40, rescale=True)
    protocol = Protocol({"mainstay": attack}, eps=8 / 255, top_k=1000)
    metrics = evaluate(model, data, protocol, "validation", 0, limit=96).metrics()
    return metrics["clean_map"], metrics["robust_map"]


@pytest.mark.parametrize(
    "name",
    # ComDefend trains a codec beside the network; tests/contracts has it on toy images.
    [pytest.param(n, marks=pytest.mark.lengthy if n == "comdefend" else ()) for n in DEFENSES],
)
def test_robust_map_rises_at_comparable_clean_map(
    name: str, data: RetrievalData, pretrained: tuple[Any, Any, tuple[float, float]]
) -> None:
    network, objective = fresh(data)
    network.load_state_dict(pretrained[0])
    objective.load_state_dict(pretrained[1])
    entry = DEFENSES[name]
    run = entry.training(network, objective, data, entry.settings(**ADEQUATE[name]), 0)
    while not run.finished:
        run.run_epoch()
    clean, robust = measured(run.defended, data)
    assert clean > pretrained[2][0] - COST
    assert robust > pretrained[2][1] + GAIN
