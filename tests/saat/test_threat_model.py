import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from saat.protocol_options import Norm
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


NORMS = {"l2": 2, "l1": 1}
every_norm = pytest.mark.parametrize("norm", NORMS)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def length(change: torch.Tensor, norm: str) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(change.flatten(1).double(), NORMS[norm], dim=1)
    return norms


@every_norm
def test_projection_is_the_nearest_point_of_the_ball(norm: str) -> None:
    """No point of the ball found by chance is nearer; points inside stay."""
    images = torch.full((4, 1, 2, 3), 0.5)
    outside = images + 0.2 * noise(0, 4, 1, 2, 3)
    threat = ThreatModel(0.15, norm)  # type: ignore[arg-type]
    found = threat.project(outside, images)
    assert (length(found - images, norm) <= 0.15 * (1 + 1e-5)).all()
    best = length(found - outside, "l2")
    for seed in range(300):
        drawn = noise(seed + 1, 4, 1, 2, 3)
        radius = torch.rand(4, generator=torch.Generator().manual_seed(seed)).double()
        scale = 0.15 * radius / length(drawn, norm)
        other = images + drawn * scale.view(-1, 1, 1, 1).float()
        assert (length(other - outside, "l2") >= best - 1e-6).all()
    inside = images + 0.01 * noise(9, 4, 1, 2, 3).clamp(-1, 1)
    torch.testing.assert_close(threat.project(inside, images), inside)


@every_norm
def test_steps_have_unit_length_and_lead_uphill(norm: str) -> None:
    gradient = noise(3, 5, 3, 8, 8)
    step = ThreatModel(1.0, norm).steepest(gradient)  # type: ignore[arg-type]
    torch.testing.assert_close(length(step, norm), torch.ones(5, dtype=torch.float64))
    assert ((step * gradient).flatten(1).sum(1) > 0).all()
    assert not ThreatModel(1.0, norm).steepest(torch.zeros(1, 3, 2, 2)).isnan().any()  # type: ignore[arg-type]


def test_a_step_in_l1_moves_the_largest_hundredth_of_the_coordinates() -> None:
    gradient = noise(3, 1, 3, 10, 10)
    step = ThreatModel(1.0, "l1").steepest(gradient).flatten()
    moved = step.nonzero().flatten()
    assert set(moved.tolist()) == set(gradient.flatten().abs().topk(3).indices.tolist())


@every_norm
def test_random_starts_lie_in_the_ball_and_depend_on_their_own_seed(norm: str) -> None:
    images = torch.full((6, 3, 8, 8), 0.5)
    start = ThreatModel(0.5, norm).random_start(images, [1, 2, 3, 4, 5, 1])  # type: ignore[arg-type]
    sizes = length(start - images, norm)
    assert (sizes <= 0.5 * (1 + 1e-5)).all()
    assert float(sizes.max() - sizes.min()) > 0.05
    assert torch.equal(start[0], start[5])
    assert not torch.equal(start[0], start[1])


@every_norm
@pytest.mark.parametrize("eps", [0.02, 0.3, 2.0])
def test_rounding_stays_in_the_ball(norm: str, eps: float) -> None:
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8, generator=drawn)
    floats = images.float() / 255
    threat = ThreatModel(eps, norm)  # type: ignore[arg-type]
    moved = threat.project(floats + noise(1, 8, 3, 6, 6), floats)
    found = threat.to_uint8(moved, images)
    assert (threat.size(found, images) <= eps * (1 + 1e-5)).all()
    assert torch.equal(threat.to_uint8(floats, images), images)
    # Rounding costs at most a level a pixel, so most of a large ball is used.
    if eps == 2.0:
        assert (threat.size(found, images) > 0.5 * length(moved - floats, norm)).all()


def test_size_is_the_norm_of_all_values_in_fractions() -> None:
    images = torch.zeros(1, 3, 1, 2, dtype=torch.uint8)
    moved = images.clone()
    moved[0, 0, 0, 0], moved[0, 2, 0, 1] = 51, 255
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")
    sizes = {norm: float(ThreatModel(1.0, norm).size(moved, images)) for norm in norms}
    assert sizes["linf"] == 1.0
    assert sizes["l1"] == pytest.approx(1.2)
    assert sizes["l2"] == pytest.approx((1 + 0.04) ** 0.5)


@every_norm
def test_rounding_wastes_little_of_a_small_ball(norm: str) -> None:
    """Cut off instead of shrunk, a change of less than a level a pixel would be no change."""
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8, generator=drawn)
    floats = images.float() / 255
    eps = {"l2": 0.2, "l1": 10.0}[norm]
    threat = ThreatModel(eps, norm)  # type: ignore[arg-type]
    moved = threat.project(floats + 0.02 * noise(1, 4, 3, 48, 48), floats)
    found = threat.to_uint8(moved, images)
    sizes = threat.size(found, images)
    assert (sizes <= eps * (1 + 1e-6)).all()
    assert (sizes > 0.97 * eps).all()
    change = (found.double() - images.double()).flatten(1) / 255
    wanted = (moved - floats).flatten(1).double()
    assert ((change * wanted).sum(1) > 0.5 * wanted.square().sum(1)).all()


@every_norm
def test_rounding_stays_in_the_ball_just_below_a_level(norm: str) -> None:
    """Every pixel moves 0.9995 levels: a whole level is out of the ball."""
    images = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    moved = (100 + 0.9995) / 255 * torch.ones(1, 3, 8, 8)
    eps = float(length(moved - images.float() / 255, norm))
    threat = ThreatModel(eps, norm)  # type: ignore[arg-type]
    assert float(threat.size(threat.to_uint8(moved, images), images)) <= eps * (1 + 1e-6)


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that was made."""

    seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and not func.is_view:
            self.seen = max(self.seen, out.numel() * out.element_size())
        return out


@pytest.mark.parametrize("norm", ["linf", *NORMS])
def test_size_takes_no_memory_for_all_images_at_once(norm: str) -> None:
    drawn = torch.Generator().manual_seed(0)
    shape = 3000, 3, 4, 4
    images, moved = (
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=drawn) for _ in range(2)
    )
    with Largest() as largest:  # type: ignore[no-untyped-call]
        sizes = ThreatModel(1.0, norm).size(moved, images)  # type: ignore[arg-type]
    assert largest.seen < images.numel()
    change = (moved.double() - images.double()) / 255
    order = {"linf": torch.inf, **NORMS}[norm]
    expected = torch.linalg.vector_norm(change.flatten(1), order, dim=1)
    torch.testing.assert_close(sizes, expected)


@pytest.mark.parametrize("eps", [0.0, 8 / 255, 0.7])
def test_bounds_computed_once_give_the_bits_of_two_clamps(eps: float) -> None:
    images = noise(1, 4, 3, 5, 5).mul(0.3).add(0.5).clamp(0, 1)
    moved = images + noise(2, 4, 3, 5, 5)
    found = ThreatModel(eps).projection(images)(moved)
    assert torch.equal(found, moved.clamp(images - eps, images + eps).clamp(0, 1))


@pytest.mark.parametrize("norm", ["linf", *NORMS])
def test_a_random_start_is_the_same_in_every_batch_and_memory_format(norm: str) -> None:
    images = torch.rand(5, 3, 7, 9)
    threat = ThreatModel(0.3, norm)  # type: ignore[arg-type]
    whole = threat.random_start(images, range(5))
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(threat.random_start(last, range(5)), whole)
    for row in range(5):
        assert torch.equal(threat.random_start(images[row : row + 1], [row])[0], whole[row])
    assert threat.random_start(images[:0], []).shape == (0, 3, 7, 9)


def test_random_starts_are_uniform() -> None:
    images = torch.zeros(4, 3, 64, 64)
    values = ThreatModel(0.5).random_start(images, range(4)).flatten().double()
    assert float(values.mean().abs()) < 0.01
    counts = values.histc(8, -0.5, 0.5) / len(values)
    assert float((counts - 1 / 8).abs().max()) < 0.01
