"""The battery on real digits: planted weaknesses are caught, honest models are not."""

from functools import cache

import pytest
import torch
from torch import nn

from saat.attacks import MainstayAttack
from saat.battery import BatteryResult, run_battery
from saat.data import HashingData, load
from saat.defenses import SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES
from saat.models import HashingNetwork, build_network
from saat.pretrain import Pretraining, PretrainSettings
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests import planted

pytestmark = [pytest.mark.trained, pytest.mark.timeout(1800)]

THREAT = ThreatModel(8 / 255)
BITS, TOP_K = 32, 1000


@cache
def digits() -> HashingData:
    return load(name="digits", image_size=32, val_queries=300)


@cache
def model(defense: str, seed: int) -> HashingNetwork:
    """As in the quickstart."""
    data = digits()
    network = build_network("small_cnn", "none", BITS, 32, seed)
    labels = data.label_tensor(data.train)
    settings = PretrainSettings(epochs=20, lr=0.3)
    training = Pretraining(network, OBJECTIVES["dph"](labels, BITS, seed), data, settings, seed)
    while not training.finished:
        training.run_epoch()
    if defense == "saat":
        inner = SaatSettings(epochs=8, step_size="auto")
        saat = SaatTraining(network, OBJECTIVES["dph"](labels, BITS, seed), data, inner, seed)
        while not saat.finished:
            saat.run_epoch()
    return network.eval()


def victim_of(network: nn.Module) -> Victim:
    return Victim(network, digits(), "test", TOP_K)


def core(network: nn.Module) -> BatteryResult:
    return run_battery(victim_of(network), THREAT, "core")


def failed(result: BatteryResult) -> set[str]:
    return {verdict.name for verdict in result.verdicts if not verdict.passed}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("defense", ["none", "saat"])
def test_honest_models_pass_every_gate(defense: str, seed: int) -> None:
    result = core(model(defense, seed))
    assert result.reliable, result.reasons
    low, high = {"none": (0.03, 0.2), "saat": (0.5, 0.7)}[defense]
    assert low < result.robust_map.mean < high


@pytest.mark.parametrize("defense", ["none", "saat"])
def test_a_large_last_layer_fools_the_published_attack_alone(defense: str) -> None:
    network = planted.LargeLastLayer(model(defense, 0))
    victim = victim_of(network)
    assert torch.equal(victim.query_codes, victim_of(model(defense, 0)).query_codes)
    published = victim.attack("mainstay", MainstayAttack(steps=100, rescale=False), THREAT)
    result = core(network)
    assert result.robust_map.mean < float(published.ap.mean()) - 0.03
    assert failed(result) == {"scale"}
    (reason,) = result.reasons
    assert reason.startswith("scale: ")


@pytest.mark.parametrize("defense", ["none", "saat"])
@pytest.mark.parametrize(
    ("plant", "gate"),
    [
        (planted.Rounded, "differentiable"),
        (planted.Detached, "differentiable"),
        (planted.Sawtooth, "direction"),
        (planted.Ripple, "smooth"),
        (planted.NoisyInput, "deterministic"),
        (planted.RandomResize, "deterministic"),
    ],
)
def test_planted_weaknesses_are_caught(
    plant: type[planted.Wrapped], gate: str, defense: str
) -> None:
    result = core(plant(model(defense, 0)))
    assert not result.reliable
    assert gate in failed(result)


def test_a_stand_in_makes_a_rounded_input_as_weak_as_it_is() -> None:
    honest = core(model("none", 0)).robust_map
    rounded = core(planted.RoundedWithSurrogate(model("none", 0)))
    assert rounded.robust_map.mean < honest.mean + 0.05
