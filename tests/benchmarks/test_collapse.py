import pytest
import torch

from benchmarks.collapse import Ends, agreement, collapse, least_robustness
from saat.hashing import OBJECTIVES


@pytest.mark.parametrize("weight", [0.1, 1.0, 2.0])
def test_the_best_collapse_where_half_the_pairs_are_similar(weight: float) -> None:
    """1 + t⁴ − λt is least at t = (λ/4)^(1/3)."""
    loss, strength = collapse(0.5, weight)
    assert strength == pytest.approx((weight / 4) ** (1 / 3), abs=1e-3)
    assert loss == pytest.approx(1 - 3 * (weight / 4) ** (4 / 3), abs=1e-6)


def test_a_collapse_costs_what_the_losses_say() -> None:
    labels = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 1]], dtype=torch.uint8)
    similar = float((labels.double() @ labels.double().T > 0).double().mean())
    loss, strength = collapse(similar, 1.5)
    code = torch.tensor([1.0, -1, -1, 1, 1, -1, 1, 1])
    features = torch.atanh(strength * code).expand(4, 8).clone()
    objective = OBJECTIVES["dph"](labels, 8, 0)
    objective.start_from(features)
    original = objective(features, labels.float(), torch.arange(4))
    attacked = agreement(features, code.expand(4, 8))
    assert loss == pytest.approx(float(original) - 1.5 * attacked, abs=1e-5)


def test_robustness_costs_less_from_the_m_on_at_which_both_cost_the_same() -> None:
    ends = Ends(similar=0.23, original=0.8, benign=0.4, attacked=-0.7)
    least = least_robustness(ends, 1.0)
    assert ends.original - least == pytest.approx(collapse(0.23, 1.0)[0])
    assert least_robustness(ends, 0.01) == -1
