"""The battery on real digits finds nothing wrong with six honest models."""

import pytest

from tests.saat.trained_digits import core, model

pytestmark = [pytest.mark.trained, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("defense", ["none", "saat"])
def test_honest_models_pass_every_gate(defense: str, seed: int) -> None:
    result = core(model(defense, seed))
    assert result.reliable, result.reasons
    low, high = {"none": (0.03, 0.2), "saat": (0.5, 0.7)}[defense]
    assert low < result.robust_map.mean < high
