"""The battery on real digits catches what is planted; its gates do not know what was."""

import pytest
import torch

from saat.attacks import MainstayAttack
from tests import planted
from tests.saat.trained_digits import THREAT, core, failed, model, victim_of

pytestmark = [pytest.mark.trained, pytest.mark.timeout(1800)]

FEW = 128  # queries, for gates that ask each of them; adaptive attacks take minutes on all


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


@pytest.mark.parametrize(
    ("plant", "gate", "defense"),
    [
        (planted.Rounded, "differentiable", "saat"),
        (planted.Detached, "differentiable", "none"),
        (planted.Sawtooth, "direction", "none"),
        (planted.Sawtooth, "direction", "saat"),
        (planted.Ripple, "smooth", "none"),
        (planted.Ripple, "smooth", "saat"),
        (planted.NoisyInput, "deterministic", "saat"),
        (planted.RandomResize, "deterministic", "none"),
    ],
)
def test_planted_weaknesses_are_caught(
    plant: type[planted.Wrapped], gate: str, defense: str
) -> None:
    result = core(plant(model(defense, 0)), FEW)
    assert not result.reliable
    assert gate in failed(result)


def test_a_stand_in_makes_a_rounded_input_as_weak_as_it_is() -> None:
    honest = core(model("none", 0)).robust_map
    rounded = core(planted.RoundedWithSurrogate(model("none", 0)))
    assert rounded.robust_map.mean < honest.mean + 0.05
