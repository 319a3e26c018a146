import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saat.threat_model import ThreatModel


@given(
    original=st.integers(0, 255),
    adversarial=st.floats(-0.5, 1.5),
    eps=st.sampled_from([0.0, 0.4 / 255, 1 / 255, 2.5 / 255, 2.7 / 255, 8 / 255, 0.031372549, 1.0]),
)
def test_bytes_are_the_nearest_ones_within_the_ball(
    original: int, adversarial: float, eps: float
) -> None:
    images = torch.full((1, 3, 1, 1), original, dtype=torch.uint8)
    found = ThreatModel(eps).to_uint8(torch.full((1, 3, 1, 1), adversarial), images)
    allowed = [b for b in range(256) if abs(b - original) <= 255 * eps + 1e-5]
    distances = [abs(b - 255 * adversarial) for b in allowed]
    assert found.dtype == torch.uint8
    # Halves round either way.
    assert abs(int(found[0, 0]) - 255 * adversarial) <= min(distances) + 1e-3
    assert int(found[0, 0]) in allowed


@pytest.mark.parametrize("levels", range(0, 33))
def test_a_radius_on_the_grid_is_not_lost_to_rounding(levels: int) -> None:
    images = torch.full((1, 3, 2, 2), 100, dtype=torch.uint8)
    for eps in (levels / 255, float(torch.tensor(levels / 255)), float(f"{levels / 255:.9f}")):
        changed = ThreatModel(eps).to_uint8(torch.ones(1, 3, 2, 2), images)
        assert int(changed[0, 0, 0, 0]) == 100 + levels


def test_projection_keeps_the_ball_and_the_range() -> None:
    images = torch.tensor([0.0, 0.5, 0.98])
    low = ThreatModel(0.1).project(torch.full((3,), -1.0), images)
    high = ThreatModel(0.1).project(torch.full((3,), 2.0), images)
    torch.testing.assert_close(low, torch.tensor([0.0, 0.4, 0.88]))
    torch.testing.assert_close(high, torch.tensor([0.1, 0.6, 1.0]))
    inside = torch.tensor([0.05, 0.55, 0.95])
    assert torch.equal(ThreatModel(0.1).project(inside, images), inside)
