"""SS-TUAA: its loss and descent, its anchors, and one perturbation for all queries of a target."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.attack_runner import AttackRunner
from saat.attacks import SSTUAA, Knowledge, Queries, TrainingImages
from saat.attacks.ss_tuaa import anchor_codes, convolutions, layer_distance, masked_distance
from saat.models import evaluating
from saat.protocol_options import Norm
from saat.prototype import target_vectors
from saat.settings import option_fields
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests import reference_learned as plain
from tests.learned import (
    DATA,
    DATABASE_LABELS,
    IMAGES,
    TARGETS,
    TRAIN,
    attacked,
    draw,
    guides,
    known,
    signs,
    target_map,
)
from tests.reference_attacks import numerical_gradient
from tests.toy import codes, pretrained, raised

EPS = 24 / 255


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return pretrained(DATA)


@pytest.fixture(scope="module")
def knowledge(network: nn.Module) -> Knowledge:
    return known(network)


def learned(
    network: nn.Module, knowledge: Knowledge, train: TrainingImages = TRAIN, updates: int = 60
) -> SSTUAA:
    with evaluating(network):
        return SSTUAA(updates=updates).fit(network, train, knowledge, ThreatModel(EPS), seed=0)


@pytest.fixture(scope="module")
def attack(network: nn.Module, knowledge: Knowledge) -> SSTUAA:
    return learned(network, knowledge)


# Losses beside plain formulas


def test_bits_that_have_arrived_drop_out_of_the_distance() -> None:
    relaxed, anchor = draw(5, 12), signs(1, 12, seed=1)[0]
    relaxed[1] = 0.9 * anchor  # all of them
    relaxed[2] = 0.6 * anchor  # none of them
    expected = plain.masked_distance(relaxed.numpy(), anchor.numpy())
    assert float(masked_distance(relaxed, anchor)) == pytest.approx(expected, rel=1e-9)


def test_layers_are_compared_with_what_they_make_of_the_perturbation_alone() -> None:
    layers = [draw(4, 2, 3, 3, seed=seed) for seed in (1, 2)]
    flat = [layer.flatten(1).numpy() for layer in layers]
    expected = plain.layer_distance([one[1:] for one in flat], [one[0] for one in flat])
    assert float(layer_distance(layers)) == pytest.approx(expected, rel=1e-9)


def test_the_anchor_is_the_code_that_ranks_the_training_set_best(knowledge: Knowledge) -> None:
    vectors = target_vectors(DATABASE_LABELS)
    found = anchor_codes(vectors, knowledge)
    sets = (
        knowledge.database_codes, knowledge.database_labels,
        knowledge.train_codes, knowledge.train_labels,
    )  # fmt: skip
    for label, code in zip(vectors, found, strict=True):
        best = plain.best_code(label.numpy(), *(one.numpy() for one in sets))
        assert [int(bit) for bit in code] in best


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.06)])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_adam_descends_the_loss_over_batches_of_training_images(
    norm: Norm, eps: float, weight: float
) -> None:
    """A convolution and a linear layer; two images a batch, from a perturbation of zero."""
    side, bits, updates = 3, 4, 5
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(8, bits)).double()
    drawn = torch.randint(40, 215, (4, 3, side, side), dtype=torch.uint8)
    drawn[:, 0], drawn[:, 1] = 1, 254  # the perturbation leads them out of the image range
    labels, train_codes = torch.tensor([[1, 0]] * 4), signs(4, bits).float()
    train_codes[:] = train_codes[:1]
    knowledge = Knowledge(train_codes, labels, torch.ones(bits), train_codes, labels)
    seen: list[Tensor] = []

    def images(index: Tensor) -> Tensor:
        if len(index) > 1:
            seen.append(drawn[index])
        return drawn[index]

    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, given: Tensor) -> Tensor:
            features: Tensor = self.inner(given.double())
            return features

    attack = SSTUAA(updates=updates, batch_size=2, layers=weight)
    threat = ThreatModel(eps, norm)
    fitted = attack.fit(Doubled(), TrainingImages(labels, images), knowledge, threat, seed=0)
    assert len(seen) == updates
    anchor = train_codes[0].double().numpy()

    def outputs(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        layer = network[0](torch.from_numpy(points))
        return layer.flatten(1).detach().numpy(), network[1:](layer).detach().numpy()

    change = np.zeros((1, 3, side, side))
    mean, square = np.zeros_like(change), np.zeros_like(change)
    for number, batch in enumerate(seen):
        pixels = batch.double().numpy() / 255

        def loss(moved: np.ndarray, pixels: np.ndarray = pixels) -> float:
            layers, features = outputs(np.clip(pixels + moved, 0, 1))
            alone, _ = outputs(moved)
            total = plain.masked_distance(np.tanh(features), anchor)
            return total + weight * plain.layer_distance([layers], [alone[0]])

        slope = numerical_gradient(loss, change)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        first, second = mean / (1 - 0.9 ** (number + 1)), square / (1 - 0.999 ** (number + 1))
        change = change - 0.01 * first / (np.sqrt(second) + 1e-8)
        if norm == "linf":
            change = np.clip(change, -eps, eps)
        else:
            change = change * min(1.0, eps / float(np.sqrt((change**2).sum())))
    assert fitted.perturbations is not None
    np.testing.assert_allclose(fitted.perturbations.numpy(), change, rtol=0, atol=2e-5)
    assert float(np.abs(change).max()) > 0.01


# One perturbation for all queries of a target


def test_queries_of_one_target_get_one_perturbation(
    attack: SSTUAA, network: nn.Module, knowledge: Knowledge
) -> None:
    grey = torch.full_like(IMAGES, 128)
    queries = Queries(grey, TARGETS, codes(network, IMAGES), guides(attack, knowledge), range(70))
    batch = queries.batch(torch.arange(70), torch.device("cpu"))
    found = attack.perturb(network, batch, knowledge, ThreatModel(EPS))
    change = found.images - batch.images
    assert float(change.abs().max()) == pytest.approx(EPS, abs=1e-6)
    for label in target_vectors(TARGETS):
        of_label = change[(label == TARGETS).all(1)]
        assert torch.equal(of_label, of_label[:1].expand_as(of_label))
    assert len({one.numpy().tobytes() for one in change}) == len(target_vectors(TARGETS))
    assert found.zero_gradient.tolist() == [0.0] * 70


def test_it_moves_queries_that_it_never_saw_to_their_targets(
    attack: SSTUAA, network: nn.Module, knowledge: Knowledge
) -> None:
    benign = target_map(codes(network, IMAGES), knowledge)
    moved = codes(network, attacked(attack, network, knowledge, EPS).images)
    assert target_map(moved, knowledge) > benign + 0.4
    assert target_map(guides(attack, knowledge), knowledge) > 0.9


def test_only_targets_that_will_be_asked_for_are_learned_and_each_is_the_same_alone(
    attack: SSTUAA, network: nn.Module, knowledge: Knowledge
) -> None:
    one = TARGETS[TARGETS.sum(1) > 0][:1]
    asked = torch.cat([torch.zeros_like(one), one, one])
    alone = learned(network, knowledge, TRAIN._replace(targets=asked))
    assert alone.perturbations is not None
    assert attack.perturbations is not None
    vectors = target_vectors(DATABASE_LABELS)
    row = int((vectors == one.float()).all(1).nonzero())
    assert torch.equal(alone.perturbations, attack.perturbations[row : row + 1])


def test_a_runner_says_which_targets_will_be_asked_for(network: nn.Module) -> None:
    told: list[TrainingImages] = []

    class Listening(SSTUAA):
        def fit(self, network: nn.Module, train: TrainingImages, *rest: Any) -> "Listening":
            told.append(train)
            return SSTUAA.fit(self, network, train, *rest)

    victim = Victim(network, DATA, top_k=40)
    updates: list[tuple[int, int]] = []
    runner = AttackRunner(ThreatModel(EPS), progress=lambda _, *update: updates.append(update))
    result = runner.attack(victim, "ss_tuaa", Listening(updates=20))
    assert result.target is not None
    assert told[0].targets is not None
    assert torch.equal(told[0].targets, victim.target_labels(0))
    total = 20 * len(target_vectors(victim.target_labels(0)))
    assert (total, total) in updates


def test_a_target_without_a_label_leaves_its_query_as_it_is(
    attack: SSTUAA, network: nn.Module, knowledge: Knowledge
) -> None:
    labels = torch.zeros(2, 3)
    labels[1] = target_vectors(DATABASE_LABELS)[0]
    images = IMAGES[:2].float() / 255
    found = attack.generate(images, labels)
    assert torch.equal(found[0], images[0])
    assert not torch.equal(found[1], images[1])
    own = codes(network, IMAGES[:2])
    aims = attack.representatives(knowledge, labels, own)
    assert torch.equal(aims[0], own[0].float())


def test_targets_that_no_item_of_the_database_shares_are_not_learned(
    network: nn.Module, knowledge: Knowledge
) -> None:
    known_labels = knowledge.database_labels.clone()
    known_labels[:, 2] = 0
    without = replace(knowledge, database_labels=known_labels)
    asked = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 0, 0]])
    found = learned(network, without, TRAIN._replace(targets=asked), updates=1)
    assert found.anchors is not None
    assert found.anchors.vectors.tolist() == [[1.0, 0.0, 0.0]]
    nothing = TRAIN._replace(targets=asked[:1])
    assert len(learned(network, without, nothing, updates=1).representatives(
        without, asked, torch.ones(3, 12)
    )) == 3  # fmt: skip


# Manners


def test_hooks_are_removed_and_a_network_without_convolutions_has_none() -> None:
    layer = nn.Conv2d(3, 2, 2)
    network = nn.Sequential(layer, nn.ReLU(), nn.Conv2d(2, 2, 2))
    with convolutions(network) as outputs:
        network(torch.zeros(1, 3, 4, 4))
    assert [tuple(one.shape) for one in outputs.values()] == [(1, 2, 3, 3), (1, 2, 2, 2)]
    assert not layer._forward_hooks  # noqa: SLF001 - PyTorch has no public name for it
    with convolutions(nn.Linear(2, 2)) as nothing:
        assert nothing == {}


def test_an_attack_before_its_fit_is_refused() -> None:
    assert "fit comes before the attack" in raised(
        lambda: SSTUAA().generate(IMAGES[:1].float(), TARGETS[:1]), RuntimeError
    )


def test_constants_are_the_published_ones_and_t_has_no_meaning() -> None:
    attack = SSTUAA()
    # 10 passes over the 5,000 training images of FLICKR-25K in batches of 24.
    assert attack.updates == 10 * -(-5000 // 24)
    assert (attack.batch_size, attack.layers, attack.targeted) == (24, 1.0, True)
    assert {item.name for item in option_fields(SSTUAA)} == {"updates", "batch_size", "layers"}
    assert replace(attack, steps=7).restart_passes(ThreatModel(EPS)) == 0.0
