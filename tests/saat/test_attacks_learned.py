"""THA and ProS-GAN: their losses beside plain formulas, what they learn, and their manners."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attack_runner import AttackRunner
from saat.attacks import Attack, Knowledge, Queries
from saat.attacks.generator_networks import Discriminator, Generator
from saat.attacks.generator_training import (
    GeneratorTraining,
    discriminator_loss,
    fooling_loss,
    rate_at,
)
from saat.attacks.pgd import alpha_at
from saat.attacks.prosgan import ProsGAN, prosgan_code_loss, prototype_loss
from saat.attacks.tha import THA
from saat.errors import InputError
from saat.models import evaluating, to_float
from saat.protocol import named_attacks
from saat.prototype import (
    PrototypeNet,
    circle_loss,
    prototype_codes,
    quantisation_loss,
    target_vectors,
)
from saat.settings import option_fields
from saat.threat_model import ThreatModel
from saat.training import TrainingFailed
from saat.victim import Victim
from tests import reference_learned as plain
from tests import toy
from tests.learned import (
    CPU,
    DATA,
    DATABASE_LABELS,
    IMAGES,
    PAIRS,
    TARGETS,
    TRAIN,
    attacked,
    draw,
    fitted,
    guides,
    known,
    signs,
    target_map,
)
from tests.toy import codes, raised

FAST_THA = THA(steps=10, prototype_steps=30, prototype_batch=16)
# A tenth of the published weight on likeness: in 40 steps the code has to move.
FAST_GAN = ProsGAN(prototype_steps=30, prototype_batch=16, epochs=10, width=8, reconstruction=5)
TINY_GAN = replace(FAST_GAN, prototype_steps=2, epochs=1, batch_size=48)
TINY: list[Attack] = [replace(FAST_THA, prototype_steps=3), TINY_GAN]
BOTH = pytest.mark.parametrize("attack", TINY, ids=["tha", "prosgan"])


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return toy.pretrained(DATA)


@pytest.fixture(scope="module")
def knowledge(network: nn.Module) -> Knowledge:
    return known(network)


@pytest.fixture(scope="module")
def tha(network: nn.Module, knowledge: Knowledge) -> THA:
    return fitted(FAST_THA, network, knowledge)


@pytest.fixture(scope="module")
def gan(network: nn.Module, knowledge: Knowledge) -> ProsGAN:
    return fitted(FAST_GAN, network, knowledge)


# Losses beside plain formulas


@pytest.mark.parametrize("case", PAIRS)
def test_the_circle_loss_and_its_slope_are_those_of_the_formula(case: str) -> None:
    wanted, owned = (torch.tensor(labels).double() for labels in PAIRS[case])
    prototypes = draw(len(wanted), 12).requires_grad_()
    against = signs(len(owned), 12, seed=1)
    given = (wanted.numpy(), against.numpy(), owned.numpy())

    def formula(values: np.ndarray) -> float:
        return plain.circle_loss(values, *given, weighing=at)

    at = prototypes.detach().numpy().copy()
    loss = circle_loss(prototypes, wanted, against, owned)
    assert float(loss.detach()) == pytest.approx(plain.circle_loss(at, *given), rel=1e-12)

    (slope,) = torch.autograd.grad(loss, prototypes)
    for place in np.ndindex(*at.shape):
        step = np.zeros_like(at)
        step[place] = 1e-6
        difference = (formula(at + step) - formula(at - step)) / 2e-6
        assert float(slope[place]) == pytest.approx(difference, abs=1e-8)
    assert float(slope.abs().max()) > 1e-3


def test_quantisation_takes_zero_as_plus_one() -> None:
    prototypes = torch.tensor([[0.0, -0.5, 0.9], [1.0, -1.0, -0.1]]).double()
    expected = (1 + 0.25 + 0.01 + 0.81) / 2e4
    assert float(quantisation_loss(prototypes)) == pytest.approx(expected, rel=1e-9)
    assert plain.quantisation(prototypes.numpy()) == pytest.approx(expected, rel=1e-9)


def test_prosgans_prototype_loss_is_that_of_the_formula() -> None:
    wanted = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0]]).double()
    owned = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]).double()
    args = (draw(3, 12), draw(3, 3, seed=1).abs(), wanted, signs(4, 12, seed=2), owned)
    expected = plain.prototype_loss(*(tensor.numpy() for tensor in args))
    assert float(prototype_loss(*args)) == pytest.approx(expected, rel=1e-9)


def test_the_losses_of_the_game_are_those_of_the_formulas() -> None:
    painted, images = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)
    labels, goal = torch.tensor([[1, 0], [0, 0]]).double(), torch.tensor([[0, 1], [1, 1]]).double()
    real, fake = draw(2, 3, seed=2), draw(2, 3, seed=3)
    features, towards = 3 * draw(2, 12, seed=4), signs(2, 12, seed=5)
    args = (painted, images, features, towards, fake, goal)
    arrays: list[Any] = [*(tensor.numpy() for tensor in args), 50.0]
    found = 50 * (painted - images).square().mean() + prosgan_code_loss(features, towards)
    expected = plain.generator_loss(*arrays)
    assert float(found + fooling_loss(fake, goal)) == pytest.approx(expected, rel=1e-9)
    judged = (real, labels, fake, goal)
    expected = plain.discriminator_loss(*(tensor.numpy() for tensor in judged))
    assert float(discriminator_loss(*judged)) == pytest.approx(expected, rel=1e-9)


def test_the_generators_rate_falls_in_the_second_half_as_published() -> None:
    rates = [rate_at(epoch, 100) for epoch in range(100)]
    assert rates[:50] == [1.0] * 50
    assert rates[50:] == pytest.approx([1 - past / 51 for past in range(1, 51)])
    assert rate_at(0, 1) == 1.0


# Networks


@pytest.mark.parametrize("size", [16, 17, 31, 40, 63])
def test_generator_and_discriminator_take_any_size_from_16_pixels(size: int) -> None:
    torch.manual_seed(0)
    painter, critic = Generator(size, 8, 512), Discriminator(size, 5, 8)
    images, features = torch.rand(2, 3, size, size) * 2 - 1, torch.randn(2, 512)
    painter.requires_grad_(False)
    painted = painter(images, features)
    assert painted.shape == images.shape
    assert float(painted.abs().max()) < 1
    assert critic(painted).shape == (2, 6)
    assert not torch.allclose(painted, painter(images, -features), atol=1e-4)
    assert not torch.allclose(painted, painter(-images, features), atol=1e-4)


def test_at_224_pixels_the_networks_are_the_published_ones() -> None:
    with torch.device("meta"):
        painter, critic = Generator(224, 64, 512), Discriminator(224, 38, 64)
        map_ = painter.label_map(torch.zeros(1, 512))
        assert critic(torch.zeros(1, 3, 224, 224)).shape == (1, 39)
    assert map_.shape == (1, 3, 224, 224)
    assert painter.padding == 0
    first = painter.label_map[0]
    assert isinstance(first, nn.Linear)
    assert (first.in_features, first.out_features) == (512, 128 * 14 * 14)
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    widths = [m.out_channels for m in painter.label_map.modules() if isinstance(m, kinds)]
    assert widths == [64, 32, 16, 8, 3]
    encoder = [m.out_channels for m in painter.encoder.modules() if isinstance(m, kinds)]
    decoder = [m.out_channels for m in painter.decoder.modules() if isinstance(m, kinds)]
    assert encoder == [64, 128, 256] + [256] * 6
    assert decoder == [256] * 6 + [128, 64]
    layers = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in layers] == [64, 128, 256, 512, 1024, 39]
    assert layers[-1].kernel_size == (7, 7)
    assert [hasattr(m, "parametrizations") for m in layers] == [True] * 5 + [False]


@pytest.mark.lengthy
def test_the_discriminator_is_updated_in_every_third_step(
    network: nn.Module, knowledge: Knowledge, gan: ProsGAN
) -> None:
    # 96 images: 5 steps
    few = replace(TINY_GAN, batch_size=20, prototypes=gan.prototypes)
    game = GeneratorTraining(network, few, TRAIN, knowledge, seed=0)
    assert game.discriminator is not None
    looks: list[int] = []
    weights: list[Tensor] = []

    def look(module: nn.Module, *_: object) -> None:
        looks.append(1)
        weights.append(module[-2].weight.detach().clone())  # type: ignore[index]

    game.discriminator.register_forward_hook(look)
    with evaluating(network):
        game.run_epoch(0)
    # An update looks at real and painted images first; the generator looks once in every step.
    assert len(looks) == 3 + 1 + 1 + 3 + 1
    changed = [not torch.equal(a, b) for a, b in itertools.pairwise(weights)]
    assert changed == [False, True, False, False, False, False, True, False]


@pytest.mark.slow
def test_adam_moves_generator_and_discriminator_at_the_rate_of_the_epoch(
    network: nn.Module, knowledge: Knowledge, gan: ProsGAN
) -> None:
    for epochs, rate in ((100, 1e-4), (2, 0.5e-4)):
        one_step = replace(TINY_GAN, batch_size=96, epochs=epochs, prototypes=gan.prototypes)
        game = GeneratorTraining(network, one_step, TRAIN, knowledge, seed=0)
        assert game.discriminator is not None
        pair = (game.generator, game.discriminator)
        before = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in pair]
        with evaluating(network):
            game.run_epoch(1)
        for old, module in zip(before, pair, strict=True):
            new = torch.cat([p.detach().flatten() for p in module.parameters()])
            # Adam's first step is the rate itself wherever there is a gradient.
            assert float((new - old).abs().max()) == pytest.approx(rate, rel=0.01)


# What they learn


def test_fitted_prototypes_retrieve_their_targets(tha: THA, knowledge: Knowledge) -> None:
    random = torch.where(
        torch.rand(70, 12, generator=torch.Generator().manual_seed(0)) < 0.5, -1, 1
    )
    assert target_map(random, knowledge) < 0.6
    assert target_map(guides(tha, knowledge), knowledge) > 0.9
    untrained = replace(tha, prototypes=PrototypeNet(3, 12))
    assert target_map(guides(untrained, knowledge), knowledge) < 0.8


@pytest.mark.slow
def test_prosgans_prototypes_retrieve_their_targets_and_tell_their_labels(
    gan: ProsGAN, knowledge: Knowledge
) -> None:
    assert target_map(guides(gan, knowledge), knowledge) > 0.9
    assert gan.prototypes is not None
    vectors = target_vectors(DATABASE_LABELS)
    _, told = gan.prototypes.codes_and_labels(vectors)
    assert float((told - vectors).square().mean()) < 0.1


def test_tha_moves_queries_to_their_targets(
    tha: THA, network: nn.Module, knowledge: Knowledge
) -> None:
    benign = target_map(codes(network, IMAGES), knowledge)
    moved = attacked(tha, network, knowledge, 24 / 255)
    assert target_map(codes(network, moved.images), knowledge) > benign + 0.4
    assert float(moved.zero_gradient.mean()) < 0.5


def test_prosgan_moves_queries_to_their_targets_raw_and_in_a_ball(
    gan: ProsGAN, network: nn.Module, knowledge: Knowledge
) -> None:
    benign = target_map(codes(network, IMAGES), knowledge)
    raw = gan.generate(to_float(IMAGES, CPU), TARGETS.float())
    assert 0 <= float(raw.min()) < float(raw.max()) <= 1
    as_bytes = (raw * 255).round().to(torch.uint8)
    assert target_map(codes(network, as_bytes), knowledge) > benign + 0.4

    threat, levels = ThreatModel(64 / 255), 64
    moved = attacked(gan, network, knowledge, 64 / 255)
    noise = threat.random_start(to_float(IMAGES, CPU), range(70)).clamp(0, 1)
    noisy = codes(network, threat.to_uint8(noise, IMAGES))
    reached = target_map(codes(network, moved.images), knowledge)
    assert reached > target_map(noisy, knowledge) + 0.2
    assert reached > benign + 0.2
    change = (moved.images.int() - IMAGES.int()).abs()
    assert int(change.max()) == levels
    assert int((as_bytes.int() - IMAGES.int()).abs().max()) > levels  # raw images know no ball
    inside = (as_bytes.int() - IMAGES.int()).abs() < levels
    assert torch.equal(moved.images[inside], as_bytes[inside])
    assert moved.zero_gradient.tolist() == [[0.0] * 70]


def test_the_reconstruction_option_weighs_its_term(
    gan: ProsGAN, network: nn.Module, knowledge: Knowledge
) -> None:
    def loss(weight: float) -> float:
        one_step = replace(
            TINY_GAN, batch_size=96, reconstruction=weight, prototypes=gan.prototypes
        )
        game = GeneratorTraining(network, one_step, TRAIN, knowledge, seed=0)
        with evaluating(network):
            return game.run_epoch(0)

    none, some, more = (loss(weight) for weight in (0.0, 10.0, 20.0))
    assert some > none + 0.1
    assert more - some == pytest.approx(some - none, rel=1e-3)


@pytest.mark.parametrize(
    ("attack", "total"), [(FAST_THA, 30), (replace(FAST_GAN, epochs=2, batch_size=50), 34)]
)
def test_a_victim_is_attacked_by_what_was_fitted_to_it(
    attack: Attack, total: int, network: nn.Module
) -> None:
    updates: list[tuple[int, int]] = []
    victim = Victim(network, DATA, top_k=40)
    runner = AttackRunner(
        ThreatModel(24 / 255), batch_size=32, progress=lambda _, *update: updates.append(update)
    )
    result = runner.attack(victim, "learned", attack)
    assert result.target is not None
    if isinstance(attack, THA):
        assert float(result.target.ap.mean()) > float(result.target.clean_ap.mean()) + 0.4
    assert float(result.target.theory_ap.mean()) > 0.9
    fits = [update for update in updates if update[1] != len(victim.rows)]
    assert fits[-1] == (total, total)
    assert fits == sorted(fits)
    assert updates[-1] == (32, 32)


# THA's descent


def test_tha_descends_the_scheduled_relaxation_from_the_benign_image() -> None:
    slope, offset, code = (2.0, 1.0), (3.0, -0.5), (-1.0, 1.0)

    def descend(alphas: list[float], step_size: float, eps: float) -> float:
        pixel = 0.5
        for alpha in alphas:
            gradient = 0.0
            for w, c, bit in zip(slope, offset, code, strict=True):
                relaxed = math.tanh(alpha * (w * pixel + c))
                gradient -= bit * (1 - relaxed**2) * alpha * w
            move = -math.copysign(step_size, gradient)
            pixel = min(max(pixel + move, 0.5 - eps), 0.5 + eps)
        return pixel

    victim = toy.linear_network(np.array(slope)[:, None], np.array(offset))
    image, goal = torch.full((1, 1, 1, 1), 0.5).double(), torch.tensor([code])
    knowledge = Knowledge.of(torch.ones(1, 2), torch.ones(1, 1))

    def found(attack: THA, eps: float) -> float:
        queries = Queries(image, torch.ones(1, 1), goal, goal, [0])
        return float(attack.perturb(victim, queries, knowledge, ThreatModel(eps)).images)

    scheduled = descend([alpha_at(step, 20) for step in range(20)], 0.01, 0.2)
    assert abs(scheduled - descend([1.0] * 20, 0.01, 0.2)) > 0.05  # the schedule shows
    assert found(THA(steps=20, step_size=0.01), 0.2) == pytest.approx(scheduled, abs=1e-5)

    published = descend([alpha_at(step, 100) for step in range(100)], 1 / 255, 8 / 255)
    assert found(THA(), 8 / 255) == pytest.approx(published, abs=1e-5)
    assert abs(found(THA(steps=1), 0.1) - 0.5) == pytest.approx(0.1, abs=1e-6)  # the rim


# Manners


@BOTH
def test_fits_repeat_under_their_seed_and_differ_under_another(
    attack: Attack, network: nn.Module, knowledge: Knowledge
) -> None:
    torch.manual_seed(1)
    first = networks(fitted(attack, network, knowledge))
    torch.manual_seed(2)
    again = networks(fitted(attack, network, knowledge))
    other = networks(fitted(attack, network, knowledge, seed=1))
    for one, same, another in zip(first, again, other, strict=True):
        assert not toy.differences(toy.snapshot(one), toy.snapshot(same))
        # In the weights they start from, not only in what the few steps changed.
        starts = zip(one.parameters(), another.parameters(), strict=True)
        assert max(float((a - b).abs().max()) for a, b in starts) > 0.02
        assert not one.training
        assert not any(parameter.requires_grad for parameter in one.parameters())


def networks(attack: Attack) -> list[nn.Module]:
    fields = (getattr(attack, name, None) for name in ("prototypes", "generator"))
    return [module for module in fields if isinstance(module, nn.Module)]


@BOTH
def test_the_network_and_the_unfitted_attack_are_left_as_they_were(attack: Attack) -> None:
    network = toy.toy_network(seed=5)
    before = toy.snapshot(network)
    fitted(attack, network, known(network))
    assert not toy.differences(before, toy.snapshot(network))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not networks(attack)


@pytest.mark.parametrize("name", ["tha", "gan"])
def test_a_target_alone_has_the_prototype_it_has_among_others(
    name: str, knowledge: Knowledge, request: pytest.FixtureRequest
) -> None:
    attack: Attack = request.getfixturevalue(name)
    whole = guides(attack, knowledge)
    assert set(whole.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(attack.goal(whole), whole)
    for row in (0, 1, 69):
        alone = attack.representatives(knowledge, TARGETS[row : row + 1], torch.zeros(1))
        assert torch.equal(alone, whole[row : row + 1])


def test_a_prototype_at_zero_is_plus_one() -> None:
    net = PrototypeNet(2, 3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert prototype_codes(net, torch.tensor([[1, 0]])).tolist() == [[1.0, 1.0, 1.0]]


def test_the_generator_sees_and_paints_between_minus_one_and_one(gan: ProsGAN) -> None:
    """And only its projection is an attack within the ball, before any rounding."""
    images, labels = to_float(IMAGES[:8], CPU), TARGETS[:8].float()
    assert gan.generator is not None
    assert gan.prototypes is not None
    painted = gan.generator(2 * images - 1, gan.prototypes.features(labels))
    raw = gan.generate(images, labels)
    assert torch.equal(raw, (painted + 1) / 2)
    queries = Queries(images, labels, labels, labels, range(8))
    knowledge = Knowledge.of(torch.ones(1, 2), torch.ones(1, 1))
    found = gan.perturb(nn.Identity(), queries, knowledge, ThreatModel(0.05)).images
    assert torch.equal(found, raw.clamp(images - 0.05, images + 0.05).clamp(0, 1))


def test_settings_without_meaning_to_a_generator_are_no_options() -> None:
    options = {item.name for item in option_fields(ProsGAN)}
    assert options == {
        "reconstruction",
        "epochs",
        "batch_size",
        "width",
        "prototype_steps",
        "prototype_batch",
    }
    assert {item.name for item in option_fields(THA)} >= {"steps", "step_size", "prototype_steps"}
    assert "prototypes" not in {item.name for item in option_fields(THA)}
    protocol = named_attacks(["tha", "prosgan"], 7, {"tha": {"prototype_steps": 5}})
    assert protocol["tha"] == THA(steps=7, prototype_steps=5)
    assert isinstance(protocol["prosgan"], ProsGAN)


@BOTH
def test_an_attack_before_its_fit_is_refused(attack: Attack, knowledge: Knowledge) -> None:
    message = raised(lambda: guides(attack, knowledge), RuntimeError)
    assert "fit comes before the attack" in message


def test_targets_are_the_distinct_label_vectors_with_a_label() -> None:
    labels = torch.tensor([[0, 1], [0, 0], [1, 1], [0, 1]])
    assert target_vectors(labels).tolist() == [[0.0, 1.0], [1.0, 1.0]]


@BOTH
def test_a_database_without_labels_is_refused_in_one_line(
    attack: Attack, network: nn.Module, knowledge: Knowledge
) -> None:
    dark = replace(knowledge, database_labels=torch.zeros_like(DATABASE_LABELS))
    message = raised(lambda: fitted(attack, network, dark), InputError)
    assert "no row of the database has a label" in message
    assert "\n" not in message


def test_a_loss_that_is_not_finite_stops_the_fit(knowledge: Knowledge) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((2, 3)).repeat(1, 4) * float("nan")

    message = raised(lambda: fitted(TINY_GAN, Broken(), knowledge), TrainingFailed)
    assert message == "prosgan: the loss is nan in epoch 1"
