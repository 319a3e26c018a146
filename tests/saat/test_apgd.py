"""APGD, the battery's objectives, and the attacks made of them."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attacks import ATTACKS, ApgdSmoothAP, Attack, Knowledge, Queries, attack_queries
from saat.attacks import objectives as losses
from saat.attacks.apgd import apgd, checkpoints
from saat.attacks.multi_target import MultiTarget
from saat.attacks.noise import Noise
from saat.attacks.square import Square, square_side
from saat.codes import sign
from saat.labels import LabelGroups
from saat.mainstay import mainstay_codes
from saat.models import encode
from saat.protocol_options import Norm
from saat.retrieval import average_precision
from saat.seeding import numpy_generator
from saat.threat_model import ThreatModel
from tests import reference_battery as plain
from tests import toy

DATA = toy.toy_data()
IMAGES = DATA.batch(DATA.test)
LABELS = DATA.label_tensor(DATA.test)


def knowledge_of(network: nn.Module) -> Knowledge:
    train = DATA.batch(DATA.train)
    features = encode(network, lambda part: train[part], len(train))
    return Knowledge.of(features, DATA.label_tensor(DATA.train))


def queries_of(network: nn.Module, attack: Attack, knowledge: Knowledge) -> Queries:
    codes = toy.codes(network, IMAGES)
    representatives = attack.representatives(knowledge, LABELS, codes)
    return Queries(IMAGES, LABELS, codes, representatives, range(len(IMAGES)))


# APGD


def test_the_checkpoints_are_those_of_the_paper() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    for steps in (1, 2, 5, 15, 20, 33, 1000):
        assert checkpoints(steps) == plain.checkpoints(steps)


class Wavy(nn.Module):
    """Three features of two by two pixels, bent enough that steps fail and best points are lost."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(3)
        self.weight = torch.randn(12, 3, generator=drawn, dtype=torch.float64)

    def forward(self, images: Tensor) -> Tensor:
        inner: Tensor = images.flatten(1) @ self.weight
        return torch.sin(9 * inner) + 0.3 * inner


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_apgd_equals_the_plain_algorithm_query_by_query(norm: Norm, steps: int) -> None:
    network, threat = Wavy(), ThreatModel(0.2, norm)
    drawn = torch.Generator().manual_seed(steps)
    images = torch.rand(40, 3, 2, 2, generator=drawn, dtype=torch.float64)
    starts = images + 0.1 * torch.randn(images.shape, generator=drawn, dtype=torch.float64)
    goal = sign(torch.randn(40, 3, generator=drawn, dtype=torch.float64))
    half = max(1, steps // 2)

    def loss(features: Tensor, step: int, rows: slice = slice(None)) -> Tensor:
        return losses.agreement(features, goal[rows], 1.0 if step < half else 3.0)

    found = apgd(network, images, loss, threat, steps, starts, 0.4, changes={half}).images

    for row in range(len(images)):
        here = slice(row, row + 1)

        def at(point: np.ndarray, step: int, here: slice = here) -> tuple[float, np.ndarray]:
            tensor = torch.from_numpy(point)[None].requires_grad_(True)
            value = loss(network(tensor), step, here).sum()
            (gradient,) = torch.autograd.grad(value, tensor)
            return float(value.detach()), gradient[0].numpy()

        def project(point: np.ndarray, here: slice = here) -> np.ndarray:
            return threat.project(torch.from_numpy(point)[None], images[here])[0].numpy()

        def steepest(gradient: np.ndarray) -> np.ndarray:
            return threat.steepest(torch.from_numpy(gradient)[None])[0].numpy()

        expected = plain.apgd(starts[row].numpy(), at, project, steepest, steps, 0.4)
        np.testing.assert_allclose(
            found[row].numpy(), expected, atol=1e-3
        )  # rounding grows on the waves


def test_apgd_returns_the_best_point_it_has_seen() -> None:
    network, threat = Wavy(), ThreatModel(0.3)
    images = torch.rand(20, 3, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    goal = torch.ones(20, 3).double()
    seen: list[Tensor] = []

    def loss(features: Tensor, step: int) -> Tensor:
        seen.append(losses.agreement(features, goal, 1.0))
        return seen[-1]

    # The last checkpoint is at 99 % and leaves two iterations to go astray.
    best = apgd(network, images, loss, threat, 150, images, 0.6).images
    assert len(seen) == 151
    lowest = torch.stack([values.detach() for values in seen]).amin(0)
    assert torch.allclose(losses.agreement(network(best), goal, 1.0), lowest)
    assert float((seen[-1].detach() - lowest).max()) > 1e-3  # the last is not the best


# Objectives


def drawn_features(rows: int = 5, bits: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows + bits)
    features = 2 * torch.randn(rows, bits, generator=generator, dtype=torch.float64)
    return features, sign(torch.randn(rows, bits, generator=generator, dtype=torch.float64))


def test_agreement_and_margin_are_their_formulas() -> None:
    features, goal = drawn_features()
    rows = list(zip(features.numpy(), goal.numpy(), strict=True))
    for found, expected in (
        (losses.agreement(features, goal, 0.7), [plain.agreement(f, g, 0.7) for f, g in rows]),
        (losses.capped_margin(features, goal), [plain.capped_margin(f, g, 0.5) for f, g in rows]),
    ):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_the_masked_loss_is_the_published_untargeted_one_and_its_mirror() -> None:
    features, mainstay = drawn_features(rows=9)
    relaxed = torch.tanh(features)
    relaxed[0] = -0.9 * mainstay[0]  # nothing left to do: an empty mask
    found = losses.masked_agreement(relaxed, -mainstay)
    expected = [
        plain.masked_agreement_untargeted(u, b)
        for u, b in zip(relaxed.numpy(), mainstay.numpy(), strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert float(found[0]) == 0.0
    # The published targeted form has no gradient at s = −1, where it is needed most.
    wrong = (-torch.ones(1, 1)).requires_grad_(True)
    (slope,) = torch.autograd.grad(losses.masked_agreement(wrong, torch.ones(1, 1)).sum(), wrong)
    assert float(slope) < -1


def database(items: int, classes: int = 3, bits: int = 7) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(items)
    codes = torch.randint(0, 2, (items, bits), generator=drawn) * 2 - 1
    return codes.to(torch.int8), torch.randint(0, 2, (items, classes), generator=drawn)


def test_smooth_ap_is_exact_where_the_sample_is_everything() -> None:
    codes, labels = database(40)
    knowledge = Knowledge(codes, labels, torch.ones(7), codes, labels)
    relaxed = torch.tanh(drawn_features()[0]).float()
    wanted = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]]).float()
    found = losses.SmoothAP.estimated(wanted, knowledge, range(5))(relaxed)
    expected = [
        plain.smooth_average_precision(u, y, list(codes.numpy()), list(labels.numpy()), 0.1)
        for u, y in zip(relaxed.numpy(), wanted.numpy(), strict=True)
    ]
    assert expected[2] == 0.0  # no label, nothing is relevant
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(("name", "way"), [("apgd_smoothap", 1), ("apgd_smoothap_targeted", -1)])
def test_the_smoothed_metric_falls_and_rises_with_the_target(name: str, way: int) -> None:
    """Of codes relaxed at α = 4; the labels are the target's if the attack is targeted."""
    codes, labels = database(40)
    knowledge = Knowledge(codes, labels, torch.ones(7), codes, labels)
    features = drawn_features()[0].float()
    wanted = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]]).float()
    attack = ATTACKS[name]()
    assert isinstance(attack, ApgdSmoothAP)
    queries = Queries(features, wanted, features, features, range(5))
    found = attack.loss(queries, knowledge)(features, 0)
    expected = [
        way * plain.smooth_average_precision(u, y, list(codes.numpy()), list(labels.numpy()), 0.1)
        for u, y in zip(np.tanh(4 * features.numpy()), wanted.numpy(), strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_smooth_ap_of_a_sample_estimates_that_of_the_whole() -> None:
    codes, labels = database(1500)
    knowledge = Knowledge(codes, labels, torch.ones(7), codes, labels)
    relaxed = torch.tanh(drawn_features(rows=1)[0]).float()
    wanted = torch.tensor([[1.0, 0, 0]])
    exact = plain.smooth_average_precision(
        relaxed[0].numpy(), wanted[0].numpy(), list(codes.numpy()), list(labels.numpy()), 0.1
    )
    draws = [
        float(losses.SmoothAP.estimated(wanted, knowledge, [seed])(relaxed)) for seed in range(40)
    ]
    assert len(set(draws)) > 30
    assert np.mean(draws) == pytest.approx(exact, abs=0.02)
    assert draws[0] == float(losses.SmoothAP.estimated(wanted, knowledge, [0])(relaxed))


# Attacks


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "apgd_mainstay",
        "apgd_margin",
        "apgd_smoothap",
        "apgd_smoothap_targeted",
        "masked_mainstay",
        "multi_target",
    ],
)
def test_the_scale_of_the_last_layer_changes_no_pixel(name: str) -> None:
    # A power of two: not even a rounding differs.
    plain_network, scaled = toy.bare_network(DATA), toy.bare_network(DATA, factor=64)
    images = []
    for network in (plain_network, scaled):
        attack, knowledge = ATTACKS[name](steps=5), knowledge_of(network)
        queries = queries_of(network, attack, knowledge)
        images.append(attack_queries(attack, network, queries, knowledge, ThreatModel(8 / 255)))
    assert torch.equal(images[0].images, images[1].images)
    assert not torch.equal(images[0].images, IMAGES)


def test_multi_target_tries_the_farthest_codes_and_keeps_the_most_harmful() -> None:
    network = toy.pretrained(DATA).eval()
    knowledge = knowledge_of(network)
    attack = MultiTarget(steps=8, targets=4)
    queries = queries_of(network, attack, knowledge)
    vectors = LabelGroups.of(knowledge.train_labels).vectors
    candidates = mainstay_codes(vectors, knowledge.train_codes, knowledge.train_labels)
    found = attack.farthest(knowledge, queries.codes)
    for row, code in enumerate(queries.codes.numpy()):
        expected = plain.farthest(code, list(candidates.numpy()), 4)
        np.testing.assert_array_equal(found[row].numpy(), expected)
    assert torch.equal(attack.goal(queries.representatives), found[:, 0])

    def ap_after(tried: MultiTarget) -> Tensor:
        images = attack_queries(tried, network, queries, knowledge, ThreatModel(4 / 255)).images
        database = knowledge.database_codes, knowledge.database_labels
        return average_precision(toy.codes(network, images), LABELS, *database)

    one, many = ap_after(MultiTarget(steps=8, targets=1)), ap_after(attack)
    assert bool((many <= one).all())
    assert bool((many < one).any())


def test_square_sides_shrink_from_most_of_the_image_to_a_pixel() -> None:
    sides = [square_side(query, 5000, 32) for query in range(5000)]
    assert sides[0] == round(math.sqrt(0.8) * 32)
    assert sides[-1] == 1
    assert sides == sorted(sides, reverse=True)
    assert square_side(26, 5000, 32) == round(math.sqrt(0.8 / 4) * 32)  # 52 of 10,000: past 10, 50


class Watched(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen: list[tuple[Tensor, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append((images.detach().clone(), torch.is_grad_enabled()))
        features: Tensor = self.network(images)
        return features


def test_square_asks_for_codes_alone_and_its_best_never_gets_worse() -> None:
    network = Watched(toy.bare_network(DATA))
    knowledge = knowledge_of(network.network)
    attack, threat = Square(steps=60), ThreatModel(16 / 255)
    queries = queries_of(network.network, attack, knowledge).batch(
        torch.arange(len(IMAGES)), torch.device("cpu")
    )
    best = attack.perturb(network, queries, knowledge, threat).images
    assert len(network.seen) == 60
    assert not any(enabled for _, enabled in network.seen)
    goal = attack.goal(queries.representatives)

    def reached(images: Tensor) -> Tensor:
        with torch.no_grad():
            return (sign(network.network(images)) * goal).sum(1)

    scores = torch.stack([reached(images) for images, _ in network.seen])
    assert torch.equal(reached(best), scores.amax(0))
    # Every value is x ± ε, cut at the image range.
    corners = torch.stack([queries.images + way * threat.eps for way in (1, -1)]).clamp(0, 1)
    assert float((corners - best).abs().amin(0).max()) < 1e-6


def test_noise_is_the_random_start_and_asks_nothing() -> None:
    network = Watched(toy.bare_network(DATA))
    knowledge = knowledge_of(network.network)
    queries = queries_of(network.network, Noise(), knowledge)
    threat = ThreatModel(8 / 255)
    noisy = attack_queries(Noise(), network, queries, knowledge, threat).images
    assert not network.seen
    start = threat.random_start(IMAGES / 255, queries.seeds)
    assert torch.equal(noisy, threat.to_uint8(threat.project(start, IMAGES / 255), IMAGES))


def test_targeted_forms_go_towards_the_code_of_the_target() -> None:
    network = toy.bare_network(DATA)
    knowledge = knowledge_of(network)
    for name in ("apgd_mainstay", "apgd_margin", "apgd_smoothap"):
        towards = ATTACKS[f"{name}_targeted"](steps=10)
        queries = queries_of(network, towards, knowledge)
        shares = []
        for attack in (towards, ATTACKS[name](steps=10)):
            images = attack_queries(attack, network, queries, knowledge, ThreatModel(0.1)).images
            codes = toy.codes(network, images)
            shares.append(float((codes == queries.representatives).float().mean()))
        # The untargeted SmoothAP has no code to go away from.
        assert shares[0] > shares[1] + (0.1 if name == "apgd_smoothap" else 0.3)


def test_samples_of_smooth_ap_are_distinct_allowed_and_uniform() -> None:
    """A query's own sample, whatever batch it is in; a row with too few stands for fewer."""
    allowed = torch.zeros(3, 40, dtype=torch.bool)
    allowed[0, 5:25], allowed[1, 7] = True, True
    names = torch.arange(40)[:, None]
    times = torch.zeros(40)
    for seed in range(300):
        draws = [numpy_generator(seed + row) for row in range(3)]
        items, weight = losses.draw_sample(allowed, names, 8, draws)
        first = items[0, :, 0].long()
        assert len(first.unique()) == 8
        assert allowed[0, first].all()
        times[first] += 1
        assert weight[0].tolist() == [20 / 8] * 8
        assert (weight.sum(1) == torch.tensor([20.0, 1.0, 0.0])).all()
        assert items[1, 0, 0] == 7
        alone, _ = losses.draw_sample(allowed[:1], names, 8, [numpy_generator(seed)])
        assert torch.equal(alone[0], items[0])
    assert times[:5].sum() + times[25:].sum() == 0
    assert (times[5:25] - 120).abs().max() < 45  # five standard deviations
