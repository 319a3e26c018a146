"""BIM, DI, NI, SI-NI and VMI beside plain formulas, and the randomness of DI and VMI."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attacks import Knowledge, Queries
from saat.attacks.input_diversity import input_diversity, placement
from saat.attacks.interface import Perturbed
from saat.attacks.pgd import descend, pgd, published_step_size
from saat.attacks.pgd_variants import BIM, DI, NI, SINI, VMI, with_momentum
from saat.protocol_options import Norm
from saat.seeding import derive_seed
from saat.threat_model import ThreatModel
from tests import reference_attacks as plain
from tests.toy import linear_network

SIDE, BITS, STEPS, SEED = 5, 6, 3, 11
RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(0.2, 0.8, (3, SIDE, SIDE))
WEIGHT = RNG.normal(0, 0.8, (BITS, IMAGE.size))
OFFSET = RNG.normal(0, 1, BITS) - WEIGHT @ np.full(IMAGE.size, 0.5)
CODE = np.array([1.0, -1, 1, 1, -1, -1])
# α is 0.1, 0.1, 0.3 in the three steps: too straight a function to tell variants apart.
ALPHAS = [plain.alpha(step, STEPS) for step in range(STEPS)]
BALLS = pytest.mark.parametrize(("norm", "eps"), [("linf", 0.06), ("l2", 0.4)])

Attack = BIM  # the variants' common class


def network() -> nn.Module:
    return linear_network(8 * WEIGHT, 8 * OFFSET)


def loss_at(step: int) -> plain.Loss:
    return plain.code_loss(8 * WEIGHT, 8 * OFFSET, CODE, ALPHAS[step])


def gradient_at(x: np.ndarray, step: int) -> np.ndarray:
    return plain.numerical_gradient(loss_at(step), x)


CODES = torch.from_numpy(CODE)[None]
QUERIES = Queries(torch.from_numpy(IMAGE)[None], torch.ones(1, 1), CODES, CODES, [SEED])
KNOWLEDGE = Knowledge.of(torch.ones(1, BITS), torch.ones(1, 1))


def perturbed(attack: Attack, threat: ThreatModel) -> Perturbed:
    return attack.perturb(network(), QUERIES, KNOWLEDGE, threat)


def found(attack: Attack, eps: float, norm: Norm) -> np.ndarray:
    out: np.ndarray = perturbed(attack, ThreatModel(eps, norm)).images[0].numpy()
    return out


def expected(gradient: plain.Sight, attack: Attack, eps: float, norm: Norm) -> np.ndarray:
    step_size = max(1 / 255, 2.5 * eps / STEPS)
    return plain.momentum_descent(IMAGE, gradient, attack.decay, step_size, eps, STEPS, norm)


def agree(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@BALLS
@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_bim_descends_from_the_image_itself(decay: float, norm: Norm, eps: float) -> None:
    attack = BIM(steps=STEPS, decay=decay)
    agree(found(attack, eps, norm), expected(lambda x, g, s: gradient_at(x, s), attack, eps, norm))


@BALLS
@pytest.mark.parametrize("free", [False, True])
def test_ni_takes_the_gradient_where_the_momentum_leads(free: bool, norm: Norm, eps: float) -> None:
    attack = NI(steps=STEPS, decay=0.9, look_ahead="free" if free else "ball")
    step_size = max(1 / 255, 2.5 * eps / STEPS)
    inside: Callable[[np.ndarray], np.ndarray] = lambda x: plain.clip(x, IMAGE, eps, norm)  # noqa: E731
    ahead = plain.looking_ahead(
        gradient_at, 0.9, step_size, norm, (lambda x: x) if free else inside
    )
    agree(found(attack, eps, norm), expected(ahead, attack, eps, norm))


@BALLS
def test_si_ni_averages_the_loss_over_halved_images(norm: Norm, eps: float) -> None:
    attack = SINI(steps=STEPS, scales=4)
    step_size = max(1 / 255, 2.5 * eps / STEPS)
    ahead = plain.looking_ahead(
        lambda x, step: plain.scaled_gradient(loss_at(step), x, 4),
        1.0,
        step_size,
        norm,
        lambda x: plain.clip(x, IMAGE, eps, norm),
    )
    agree(found(attack, eps, norm), expected(ahead, attack, eps, norm))


@BALLS
def test_cumulative_scales_are_those_of_the_reference_implementation(
    norm: Norm, eps: float
) -> None:
    attack = SINI(steps=STEPS, scales=4, scaling="cumulative", look_ahead="free")
    ahead = plain.looking_ahead(
        lambda x, step: plain.cumulative_gradient(loss_at(step), x, 4),
        1.0,
        max(1 / 255, 2.5 * eps / STEPS),
        norm,
    )
    agree(found(attack, eps, norm), expected(ahead, attack, eps, norm))


def vmi_noise(step: int, number: int, eps: float, norm: Norm) -> np.ndarray:
    seed = derive_seed("vmi", step, number, SEED)
    nothing = torch.zeros(1, *IMAGE.shape)
    return ThreatModel(1.5 * eps, norm).random_start(nothing, [seed])[0].double().numpy()


@BALLS
def test_vmi_adds_the_variance_of_the_step_before(norm: Norm, eps: float) -> None:
    attack = VMI(steps=STEPS, neighbours=3)
    tuned = plain.variance_tuned(gradient_at, lambda s, n: vmi_noise(s, n, eps, norm), 3)
    agree(found(attack, eps, norm), expected(tuned, attack, eps, norm))


@BALLS
def test_di_differentiates_through_its_transformation(norm: Norm, eps: float) -> None:
    attack = DI(steps=STEPS, probability=0.8, resize=0.4)
    transformed = 0

    def gradient(x: np.ndarray, g: np.ndarray, step: int) -> np.ndarray:
        nonlocal transformed
        seed = derive_seed("di", step, SEED)
        rows, columns = input_diversity([seed], torch.from_numpy(x)[None], 0.8, 0.4)
        size, top = placed(rows[0, 0])
        _, left = placed(columns[0, 0])
        transformed += size < SIDE
        loss = loss_at(step)
        return plain.numerical_gradient(
            lambda p: loss(plain.resized_and_padded(p, size, top, left)), x
        )

    agree(found(attack, eps, norm), expected(gradient, attack, eps, norm))
    assert transformed


def placed(matrix: Tensor) -> tuple[int, int]:
    """(size, first) of a placement, read off its rows."""
    drawn = matrix.sum(1).nonzero().flatten()
    return len(drawn), int(drawn[0])


@pytest.mark.parametrize(("size", "first"), [(7, 0), (6, 1), (5, 0), (4, 2), (1, 6), (1, 0)])
def test_placements_resize_bilinearly_and_pad_with_zeros(size: int, first: int) -> None:
    image = np.random.default_rng(1).uniform(0, 1, (3, 7, 7))
    matrix = placement(7, torch.tensor([size]), torch.tensor([first]))[0].numpy()
    # Columns elsewhere than rows.
    left = 7 - size - first
    columns = placement(7, torch.tensor([size]), torch.tensor([left]))[0].numpy()
    agree(matrix @ image @ columns.T, plain.resized_and_padded(image, size, first, left))


def test_an_image_is_transformed_or_left_exactly_as_it_is() -> None:
    images = torch.rand(300, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    rows, columns = input_diversity(range(300), images, 0.5, 0.9)
    out = rows @ images @ columns.mT
    same = torch.tensor([torch.equal(a, b) for a, b in zip(out, images, strict=True)])
    assert 0.4 < float(same.double().mean()) < 0.6
    sizes = [placed(matrix[0])[0] for matrix in rows[~same]]
    assert set(sizes) == {18, 19}
    tops = {placed(matrix[0]) for matrix in rows[~same]}
    assert tops == {(18, 0), (18, 1), (19, 0)}
    for probability, expected_share in ((0.0, 1.0), (1.0, 0.0)):
        rows, _ = input_diversity(range(20), images[:20], probability, 0.9)
        unmoved = (rows[:, 0] == torch.eye(20)).flatten(1).all(1)
        assert float(unmoved.double().mean()) == expected_share


def test_the_height_of_an_image_shrinks_with_its_width() -> None:
    images = torch.zeros(50, 3, 12, 24)
    rows, columns = input_diversity(range(50), images, 1.0, 0.5)
    for row, column in zip(rows[:, 0], columns[:, 0], strict=True):
        assert placed(row)[0] == placed(column)[0] // 2
    assert len({placed(column)[0] for column in columns[:, 0]}) > 5
    assert len({placed(column)[1] for column in columns[:, 0]}) > 3


def test_input_diversity_draws_from_each_images_own_seed() -> None:
    images = torch.zeros(3, 3, 16, 16)
    rows, columns = input_diversity([4, 9, 4], images, 1.0, 0.3)
    alone, _ = input_diversity([9], images[:1], 1.0, 0.3)
    assert torch.equal(rows[0], rows[2])
    assert torch.equal(columns[0], columns[2])
    assert torch.equal(rows[1], alone[0])
    assert not torch.equal(rows[0], rows[1])


def test_di_and_vmi_draw_anew_in_every_step_and_neighbour() -> None:
    steps = {derive_seed("vmi", step, number, SEED) for step in range(4) for number in range(4)}
    assert len(steps) == 16
    assert not np.allclose(vmi_noise(0, 0, 0.1, "linf"), vmi_noise(0, 1, 0.1, "linf"))
    assert 0.1 < float(np.abs(vmi_noise(0, 0, 0.1, "linf")).max()) <= 0.15


def test_bim_is_pgd_without_a_random_start() -> None:
    attack, threat = BIM(steps=20), ThreatModel(0.05)
    loss = attack.loss(QUERIES, KNOWLEDGE)
    same = pgd(network(), QUERIES.images, loss, threat, 20, published_step_size(0.05, 20))
    result = perturbed(attack, threat)
    assert torch.equal(result.images, same.images)
    assert torch.equal(result.zero_gradient, same.zero_gradient)


def test_step_sizes() -> None:
    assert published_step_size(8 / 255, 100) == 1 / 255
    assert published_step_size(8 / 255, 2000) == 1 / 255
    assert published_step_size(8 / 255, 5) == pytest.approx(4 / 255)
    assert published_step_size(3.0, 100) == pytest.approx(0.075)
    assert BIM(step_size=0.3).resolved_step_size(ThreatModel(0.1)) == 0.3


def test_momentum_takes_gradients_of_every_size_and_none() -> None:
    small = torch.tensor([1e-20, -3e-20, 0.0]).view(1, 3, 1, 1).expand(2, 3, 1, 1).clone()
    small[1] = 0
    first = with_momentum(0.0, small, 0.5)
    torch.testing.assert_close(first[0].flatten(), torch.tensor([0.75, -2.25, 0.0]))
    assert first[1].flatten().tolist() == [0.0, 0.0, 0.0]
    second = with_momentum(first, small * 1e20, 0.5)
    torch.testing.assert_close(second[0].flatten(), torch.tensor([1.125, -3.375, 0.0]))


def test_the_zero_fraction_is_of_the_gradient_that_the_loop_saw() -> None:
    images = torch.full((1, 3, 2, 2), 0.5)

    def gradient(point: Tensor, step: int) -> Tensor:
        return torch.zeros_like(point) if step else torch.ones_like(point)

    result = descend(images, gradient, lambda x, g: x - 0.1, ThreatModel(0.15), 4)
    assert result.zero_gradient.tolist() == [0.75]
    torch.testing.assert_close(result.images, images - 0.15)
