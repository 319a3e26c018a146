"""TTA-GAN and the all-points generator: their losses, views and anchors, and what they learn."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attacks import ATTACKS, Knowledge
from saat.attacks import generator_training as training
from saat.attacks.all_points import AllPoints, contrast_loss
from saat.attacks.generator_attack import GeneratorAttack
from saat.attacks.generator_networks import Generator
from saat.attacks.generator_training import GeneratorTraining
from saat.attacks.input_diversity import input_diversity
from saat.attacks.prosgan import ProsGAN
from saat.attacks.tta_gan import TTAGAN, VIEWS, anchor_loss, turned, view
from saat.models import to_float
from saat.prototype import target_vectors
from saat.seeding import derive_seed
from saat.settings import option_fields
from tests import reference_learned as plain
from tests.learned import (
    CPU,
    DATA,
    DATABASE_LABELS,
    IMAGES,
    PAIRS,
    TRAIN,
    attacked,
    draw,
    fitted,
    guides,
    known,
    signs,
    target_map,
)
from tests.toy import codes, differences, pretrained, snapshot

# A tenth or less of the published weights on likeness: in 40 steps the code has to move.
FAST: dict[str, GeneratorAttack] = {
    "prosgan": ProsGAN(prototype_steps=2, prototype_batch=16, epochs=1, width=8),
    "tta_gan": TTAGAN(anchor_steps=50, epochs=10, width=8, reconstruction=1),
    "all_points": AllPoints(epochs=10, width=8, reconstruction=1),
}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return pretrained(DATA)


@pytest.fixture(scope="module")
def knowledge(network: nn.Module) -> Knowledge:
    return known(network)


# Losses beside plain formulas


@pytest.mark.parametrize("case", PAIRS)
def test_the_contrast_is_that_of_the_formula(case: str) -> None:
    goal, owned = (torch.tensor(labels).double() for labels in PAIRS[case])
    relaxed, against = draw(len(goal), 12), signs(len(owned), 12, seed=1)
    args = (relaxed, goal, against, owned)
    expected = plain.contrast_loss(*(tensor.numpy() for tensor in args))
    assert float(contrast_loss(*args)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", PAIRS)
def test_the_loss_of_anchors_and_its_slope_are_those_of_the_formula(case: str) -> None:
    wanted, owned = (torch.tensor(labels).double() for labels in PAIRS[case])
    anchors, against = draw(len(wanted), 12).requires_grad_(), signs(len(owned), 12, seed=1)
    found = anchor_loss(anchors, wanted, against, owned)
    (slope,) = torch.autograd.grad(found.sum(), anchors)
    for row, label in enumerate(wanted.numpy()):
        at = anchors[row].detach().numpy().copy()
        given = (label, against.numpy(), owned.numpy())
        assert float(found[row].detach()) == pytest.approx(plain.anchor_loss(at, *given), rel=1e-9)
        for bit in range(12):
            step = np.zeros(12)
            step[bit] = 1e-6
            up, down = (plain.anchor_loss(at + way * step, *given, at) for way in (1, -1))
            assert float(slope[row, bit]) == pytest.approx((up - down) / 2e-6, abs=1e-8)


def recorded_losses(
    game: GeneratorTraining, monkeypatch: pytest.MonkeyPatch, goal: Tensor, draws: torch.Generator
) -> list[float]:
    """What a step would descend, without a change of weights: discriminator, then generator."""
    found: list[float] = []
    monkeypatch.setattr(training, "update", lambda _, loss: found.append(float(loss.detach())))
    game.step(torch.arange(len(goal)), goal, True, draws)
    return found


@pytest.mark.parametrize("name", FAST)
def test_a_step_descends_the_published_sum(
    name: str, network: nn.Module, knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = fitted(replace(FAST[name], epochs=1), network, knowledge)
    network.eval()
    attack = replace(attack, reconstruction=7.0)
    game = GeneratorTraining(network, attack, TRAIN, knowledge, seed=0)
    goal = target_vectors(DATABASE_LABELS)[[0, 2, 3, 1]]
    images = 2 * to_float(TRAIN.images(torch.arange(4)), CPU) - 1
    with torch.no_grad():
        painted = game.generator(images, attack.describe(goal))
    critic = copy.deepcopy(game.discriminator)
    found = recorded_losses(game, monkeypatch, goal, torch.Generator().manual_seed(3))

    towards = attack.representatives(knowledge, goal, torch.zeros(4, 12)).numpy()
    outputs = [network((painted + 1) / 2).detach().numpy()]
    labels = TRAIN.labels[:4].float()
    expected: list[float] = []
    if name == "all_points":
        assert critic is None
        train = (knowledge.train_codes.numpy(), knowledge.train_labels.numpy())
        code = plain.contrast_loss(np.tanh(outputs[0]), goal.numpy(), *train)
        expected = [7 * plain.mean_square(painted.numpy(), images.numpy()) + code]
    else:
        assert critic is not None
        with torch.no_grad():
            # In this order: every look moves the estimate of the spectral norm.
            real, fake, judged = (critic(seen).numpy() for seen in (images, painted, painted))
        pair = (painted.numpy(), images.numpy())
        if name == "prosgan":
            lost = plain.discriminator_loss(real, labels.numpy(), fake, goal.numpy())
            whole = plain.generator_loss(*pair, outputs[0], towards, judged, goal.numpy(), 7.0)
        else:
            draws = torch.Generator().manual_seed(3)
            views = [view((painted + 1) / 2, draws) for _ in range(3)]
            features = [network(seen).detach().numpy() for seen in views]
            lost = (float((real**2).mean()) + float(((fake - 1) ** 2).mean())) / 2 / 38
            whole = 7 * plain.mean_square(*pair) + plain.views_loss(features, towards)
            whole += float((judged**2).mean()) / 38
            assert judged.shape == (4, 1)
        expected = [lost, whole]
    assert found == pytest.approx(expected, rel=1e-5)


# Views


@pytest.mark.parametrize("side", [9, 16])
def test_a_turned_image_has_the_nearest_pixels_of_the_original(side: int) -> None:
    images, degrees = draw(3, 3, side, side), torch.tensor([10.0, -7.3, 0.0]).double()
    found = turned(images, degrees)
    for image, angle, one in zip(images, degrees, found, strict=True):
        np.testing.assert_array_equal(one.numpy(), plain.turned(image.numpy(), float(angle)))
    assert torch.equal(found[2], images[2])


def test_views_are_resized_and_then_turned_by_draws_of_their_own() -> None:
    images = draw(64, 3, 16, 16) + 2
    found = view(images, torch.Generator().manual_seed(5))
    draws = torch.Generator().manual_seed(5)
    first = int(torch.randint(2**62, (), generator=draws))
    seeds = [derive_seed("view", first, place) for place in range(64)]
    rows, columns = input_diversity(seeds, images, 0.5, 1 / 1.15)
    angles = 10 * (2 * torch.rand(64, generator=draws, dtype=torch.float64) - 1)
    resized = rows @ images @ columns.mT
    for one, image, angle in zip(found, resized, angles, strict=True):
        np.testing.assert_array_equal(one.numpy(), plain.turned(image.numpy(), float(angle)))
    whole = (rows[:, 0] == torch.eye(16)).flatten(1).all(1)
    assert 20 < int(whole.sum()) < 44  # about half
    assert 8 < float(angles.abs().max()) <= 10
    assert not torch.equal(view(images, draws), found)


def test_what_is_seen_of_a_view_reaches_the_image() -> None:
    image = torch.zeros(1, 3, 16, 16).requires_grad_()
    view(image, torch.Generator().manual_seed(1)).sum().backward()
    assert image.grad is not None
    assert float((image.grad > 0).float().mean()) > 0.7


# What they learn


@pytest.mark.lengthy
@pytest.mark.parametrize("name", ["tta_gan", "all_points"])
def test_they_move_queries_to_their_targets(
    name: str, network: nn.Module, knowledge: Knowledge
) -> None:
    attack = fitted(FAST[name], network, knowledge)
    benign = target_map(codes(network, IMAGES), knowledge)
    moved = attacked(attack, network, knowledge, 64 / 255).images
    assert target_map(codes(network, moved), knowledge) > benign + 0.25
    brief = replace(FAST[name], epochs=1)
    painters = (fitted(brief, network, knowledge, seed).generator for seed in (0, 0, 1))
    first, again, other = (snapshot(one) for one in painters if one is not None)
    assert not differences(first, again)
    assert differences(first, other)


def test_anchor_codes_retrieve_their_targets(network: nn.Module, knowledge: Knowledge) -> None:
    attack = fitted(replace(FAST["tta_gan"], epochs=1), network, knowledge)
    assert target_map(guides(attack, knowledge), knowledge) > 0.9
    assert isinstance(attack, TTAGAN)
    few = replace(attack, anchor_steps=1).anchor_codes(
        target_vectors(DATABASE_LABELS), knowledge, seed=0
    )
    assert attack.anchors is not None
    assert not torch.equal(few, attack.anchors.codes)


def test_the_slope_of_the_contrast_is_almost_that_towards_the_pharos_code(
    knowledge: Knowledge,
) -> None:
    goal = target_vectors(DATABASE_LABELS)
    relaxed = torch.zeros(len(goal), 12).add(1e-3).requires_grad_()
    args = (goal, knowledge.train_codes.float(), knowledge.train_labels)
    (slope,) = torch.autograd.grad(contrast_loss(relaxed, *args), relaxed)
    pharos = AllPoints().representatives(knowledge, goal, relaxed)
    assert float((torch.sign(-slope) == pharos).float().mean()) > 0.85


# Constants and options


def test_the_constants_are_the_published_ones() -> None:
    assert (TTAGAN().batch_size, TTAGAN().epochs, TTAGAN().anchor_steps) == (24, 100, 1000)
    # 200 on pixels in [0, 1], whose differences are half of those in [−1, 1].
    assert TTAGAN().reconstruction * 4 == 200
    assert VIEWS == 3
    assert (AllPoints().batch_size, AllPoints().epochs, AllPoints().reconstruction) == (32, 100, 70)


@pytest.mark.parametrize("name", ["tta_gan", "all_points"])
def test_the_generator_gets_the_labels_themselves(name: str) -> None:
    labels = torch.tensor([[1.0, 0.0, 1.0]])
    assert torch.equal(FAST[name].describe(labels), labels)
    first = Generator(16, 8, 3).label_map[0]
    assert isinstance(first, nn.Linear)
    assert first.in_features == 3


@pytest.mark.parametrize(
    ("name", "own"), [("tta_gan", {"anchor_steps"}), ("all_points", {"weights"})]
)
def test_settings_without_meaning_are_no_options(name: str, own: set[str]) -> None:
    common = {"reconstruction", "epochs", "batch_size", "width"}
    assert {item.name for item in option_fields(ATTACKS[name])} == common | own
