"""What single attacks promise beyond the contract: schedules, starts, the sight of gradients."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attacks import (
    Knowledge,
    MainstayAttack,
    PgA,
    Queries,
    TargetedMainstayAttack,
    attack_queries,
)
from saat.attacks.interface import Perturbed
from saat.attacks.pgd import alpha_at, default_step_size, pgd
from saat.attacks.query_batches import AttackedQueries
from saat.mainstay import MAINSTAY_WEIGHTS, mainstay_codes
from saat.models import encode
from saat.retrieval import average_precision
from saat.threat_model import ThreatModel
from tests import reference, toy
from tests.toy import codes, linear_network

DATA = toy.toy_data()
IMAGES = DATA.batch(DATA.test)
LABELS = DATA.label_tensor(DATA.test)
TRAIN, TRAIN_LABELS = DATA.batch(DATA.train), DATA.label_tensor(DATA.train)


def attacked(network: nn.Module, attack: MainstayAttack) -> AttackedQueries:
    features = encode(network, lambda part: TRAIN[part], len(TRAIN))
    knowledge = Knowledge.of(features, TRAIN_LABELS)
    benign = codes(network, IMAGES)
    representatives = attack.representatives(knowledge, LABELS, benign)
    queries = Queries(IMAGES, LABELS, benign, representatives, range(len(IMAGES)))
    return attack_queries(attack, network, queries, knowledge, ThreatModel(24 / 255))


def one_query(image: Tensor, code: Sequence[float], seed: int = 0) -> Queries:
    """A batch of one whose benign code is also its representative."""
    codes = torch.tensor([code])
    return Queries(image, torch.ones(1, 1), codes, codes, [seed])


def test_a_scaled_last_layer_blinds_the_attack_and_rescaling_opens_its_eyes() -> None:
    plain, scaled = toy.bare_network(DATA), toy.bare_network(DATA, factor=60)
    assert torch.equal(codes(plain, IMAGES), codes(scaled, IMAGES))
    blind, seeing = MainstayAttack(steps=20), MainstayAttack(steps=20, rescale=True)

    assert float(attacked(plain, blind).zero_gradient.mean()) < 0.05
    hidden = attacked(scaled, blind)
    assert float(hidden.zero_gradient.mean()) > 0.5
    found, expected = attacked(scaled, seeing), attacked(plain, seeing)
    assert float(found.zero_gradient.mean()) < 0.05

    differing = (codes(plain, found.images) != codes(plain, expected.images)).sum(1)
    assert float(differing.float().mean()) < 0.1
    moved = (codes(plain, IMAGES) != codes(plain, expected.images)).float().mean()
    unmoved = (codes(plain, IMAGES) != codes(plain, hidden.images)).float().mean()
    assert float(moved) > float(unmoved) + 0.1  # blindness costs the attack something


def test_feature_scale_is_the_median_magnitude_and_never_zero() -> None:
    features = torch.tensor([[-1.0, 0.0, 4.0], [2.0, 0.0, -4.0], [3.0, 0.0, 8.0]])
    knowledge = Knowledge.of(features, torch.eye(3))
    assert knowledge.feature_scale.tolist() == [2.0, 1.0, 4.0]
    assert knowledge.train_codes.tolist() == [[-1, 1, 1], [1, 1, -1], [1, 1, 1]]


def test_alpha_rises_in_tenths_of_the_iterations() -> None:
    schedule = [0.1] * 5 + [0.2, 0.3, 0.5, 0.7, 1.0]
    assert [alpha_at(step, 10) for step in range(10)] == schedule
    assert [alpha_at(step, 100) for step in range(100)] == [a for a in schedule for _ in range(10)]
    assert alpha_at(0, 1) == 0.1


def test_the_default_step_reaches_every_point_of_the_ball() -> None:
    for steps in (1, 2, 7, 10, 100):
        step = default_step_size(8 / 255, steps)
        assert step * steps >= 2.5 * 8 / 255 - 1e-12
        assert step >= 2 / 255
    assert default_step_size(8 / 255, 100) == 2 / 255


def test_random_starts_fill_the_ball_and_depend_on_their_own_seed_alone() -> None:
    images = torch.zeros(3, 3, 16, 16)
    start = ThreatModel(0.1).random_start(images, [1, 2, 1])
    assert torch.equal(start[0], start[2])
    assert not torch.equal(start[0], start[1])
    assert torch.equal(ThreatModel(0.1).random_start(images[:1], [2])[0], start[1])
    assert 0.09 < float(start.max()) <= 0.1
    assert -0.1 <= float(start.min()) < -0.09


def test_pgd_descends_by_steps_of_the_sign() -> None:
    images = torch.full((1, 1, 1, 2), 0.5)
    result = pgd(
        nn.Flatten(),
        images,
        lambda features, _: features[:, 0] - 2 * features[:, 1],
        ThreatModel(0.25),
        steps=2,
        step_size=0.1,
    )
    torch.testing.assert_close(result.images.flatten(), torch.tensor([0.3, 0.7]))
    assert result.zero_gradient.tolist() == [0.0]


def test_the_zero_gradient_fraction_counts_pixels_and_steps() -> None:
    result = pgd(
        nn.Flatten(),
        torch.full((2, 1, 2, 2), 0.5),
        # Two of four pixels matter, and only in the first of two steps.
        lambda features, step: features[:, :2].sum(1) * (1 - step),
        ThreatModel(0.25),
        steps=2,
        step_size=0.1,
    )
    assert result.zero_gradient.tolist() == [0.75, 0.75]


def test_uncounted_zeros_are_no_number_and_the_images_the_same() -> None:
    images = torch.rand(2, 3, 4, 4)
    before = images.clone()

    def run(count: bool) -> Perturbed:
        threat = ThreatModel(0.1)
        loss = lambda f, _: f.square().sum(1)  # noqa: E731
        return pgd(nn.Flatten(), images, loss, threat, 3, 0.03, count_zeros=count)

    assert run(False).zero_gradient.isnan().all()
    assert torch.equal(run(False).images, run(True).images)
    assert torch.equal(images, before)


def test_no_steps_return_the_projected_start() -> None:
    images = torch.full((1, 1, 1, 2), 0.5)
    start = torch.tensor([0.9, 0.5]).view(1, 1, 1, 2)
    result = pgd(nn.Flatten(), images, lambda f, _: f.sum(1), ThreatModel(0.25), 0, 0.1, start)
    assert result.images.flatten().tolist() == [0.75, 0.5]


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
def test_mainstay_attacks_are_guided_by_mainstay_codes_of_their_weighting(weights: str) -> None:
    features = torch.randn(len(TRAIN), 12, generator=torch.Generator().manual_seed(0))
    knowledge = Knowledge.of(features, TRAIN_LABELS)
    expected = mainstay_codes(LABELS, knowledge.train_codes, TRAIN_LABELS, weights)  # type: ignore[arg-type]
    for attack in (MainstayAttack, TargetedMainstayAttack):
        found = attack(weights=weights).representatives(knowledge, LABELS, torch.zeros(1))  # type: ignore[arg-type]
        assert torch.equal(found, expected)


def test_pga_is_the_mainstay_attack_with_equal_weights() -> None:
    # Weights differ where labels overlap in part.
    drawn = np.random.default_rng(4)
    labels, train_codes = drawn.integers(0, 2, (40, 5)), drawn.choice([-1, 1], (40, 12))
    known = Knowledge.of(torch.from_numpy(train_codes).float(), torch.from_numpy(labels))
    found, other = (
        attack.representatives(known, torch.from_numpy(labels), torch.zeros(1))
        for attack in (PgA(), MainstayAttack())
    )
    expected = [reference.mainstay_code(y, train_codes, labels, "cgat") for y in labels]
    assert found.tolist() == np.array(expected).tolist()
    assert not torch.equal(found, other)

    network = toy.bare_network(DATA)
    published = MainstayAttack(steps=5, weights="cgat")
    images = [attacked(network, attack).images for attack in (PgA(steps=5), published)]
    assert torch.equal(*images)


@pytest.mark.parametrize("rescale", [False, True])
def test_the_mainstay_attack_descends_the_scheduled_relaxation(rescale: bool) -> None:
    """One pixel, two bits: the steep saturated one rules at small α, the flat one at α near 1."""
    slope, offset, code, scales = (2.0, 1.0), (3.0, -0.5), (1.0, -1.0), (0.8, 1.0)
    attack = MainstayAttack(steps=20, step_size=0.01, rescale=rescale)
    threat = ThreatModel(0.2)

    def descend(alphas: list[float]) -> float:
        image = torch.full((1, 1, 1, 1), 0.5)
        pixel = float(threat.random_start(image, [7]))
        for alpha in alphas:
            gradient = 0.0
            for w, c, bit, scale in zip(slope, offset, code, scales, strict=True):
                by = scale if rescale else 1.0
                relaxed = math.tanh(alpha * (w * pixel + c) / by)
                gradient += bit * (1 - relaxed**2) * alpha * w / by
            pixel = min(max(pixel - math.copysign(0.01, gradient), 0.3), 0.7)
        return pixel

    found = attack.perturb(
        linear_network(np.array(slope)[:, None], np.array(offset)),
        one_query(torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), code, seed=7),
        Knowledge.of(torch.tensor([scales]), torch.ones(1, 1)),
        threat,
    )
    scheduled = descend([alpha_at(step, 20) for step in range(20)])
    assert abs(scheduled - descend([1.0] * 20)) > 0.05  # the schedule shows
    assert float(found.images) == pytest.approx(scheduled, abs=1e-5)


class Counted(nn.Module):
    """Counts the images that pass it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.images = 0

    def forward(self, images: Tensor) -> Tensor:
        self.images += len(images)
        features: Tensor = self.network(images)
        return features


@pytest.mark.parametrize("kind", [MainstayAttack, TargetedMainstayAttack])
def test_every_restart_costs_its_passes_and_the_worst_counts(kind: type[MainstayAttack]) -> None:
    counted = Counted(toy.toy_network())
    features = encode(counted, lambda part: TRAIN[part], len(TRAIN))
    knowledge = Knowledge.of(features, TRAIN_LABELS)
    labels, benign = LABELS.roll(1, 1), codes(counted, IMAGES)

    def left(images: Tensor) -> Tensor:
        database = knowledge.database_codes, knowledge.database_labels
        ap = average_precision(codes(counted, images), labels, *database)
        return -ap if kind.targeted else ap

    found, passed = [], []
    for restarts in (1, 3):
        attack, counted.images = kind(steps=2, restarts=restarts), 0
        target_codes = attack.representatives(knowledge, labels, benign)
        queries = Queries(IMAGES, labels, benign, target_codes, range(100, 100 + len(IMAGES)))
        found.append(attack_queries(attack, counted, queries, knowledge, ThreatModel(8 / 255)))
        passed.append(counted.images)
    one, three = found
    assert passed[1] == 3 * passed[0] + 3 * len(IMAGES)  # to compare them, their codes are needed
    assert set(three.restart.tolist()) == {0, 1, 2}
    assert one.zero_gradient.shape == (1, 32)
    assert three.zero_gradient.shape == (3, 32)
    first = three.restart == 0
    assert torch.equal(three.images[first], one.images[first])
    assert (left(three.images) <= left(one.images)).all()
    assert (left(three.images) < left(one.images)).any()
