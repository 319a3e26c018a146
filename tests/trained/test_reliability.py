"""On real digits the battery passes six honest models and catches what is planted.

Its gates do not know what was. One file, so that one process trains each model once.
"""

import pytest
import torch

from saat.attacks import MainstayAttack
from tests import planted
from tests.trained.digits import RUNNER, core, failed, model, victim_of

pytestmark = pytest.mark.timeout(1800)

# Queries, for gates that ask each of them; adaptive attacks take minutes on all of them, and those
# that attack a random network through many draws take minutes on these.
FEW, FEWEST = 64, 16


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.lengthy) for n in (1, 2))])
@pytest.mark.parametrize("defense", ["none", "saat"])
def test_honest_models_pass_every_gate(defense: str, seed: int) -> None:
    result = core(model(defense, seed))
    assert not result.unreliable
    low, high = {"none": (0.03, 0.2), "saat": (0.5, 0.7)}[defense]
    assert low < float(result.worst_ap.mean()) < high


@pytest.mark.parametrize("defense", ["none", "saat"])
def test_a_large_last_layer_fools_the_published_attack_alone(defense: str) -> None:
    network = planted.LargeLastLayer(model(defense, 0))
    victim = victim_of(network)
    assert torch.equal(victim.query_codes, victim_of(model(defense, 0)).query_codes)
    published = RUNNER.attack(victim, "mainstay", MainstayAttack(steps=100, rescale=False))
    result = core(network)
    assert float(result.worst_ap.mean()) < float(published.ap.mean()) - 0.03
    assert failed(result) == {"scale"}
    (reason,) = result.unreliable
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
    result = core(plant(model(defense, 0)), FEWEST if gate == "deterministic" else FEW)
    assert result.unreliable
    assert gate in failed(result)


def test_a_stand_in_makes_a_rounded_input_as_weak_as_it_is() -> None:
    honest = core(model("none", 0)).worst_ap
    rounded = core(planted.RoundedWithSurrogate(model("none", 0)))
    assert float(rounded.worst_ap.mean()) < float(honest.mean()) + 0.05
