"""PTA: which items of the database it draws, the loss on them, and its descent."""

import numpy as np
import torch
from torch import Tensor

from saat.attacks import PTA, Knowledge, Queries
from saat.attacks.objectives import Sample
from saat.threat_model import ThreatModel
from tests import reference_attacks as plain
from tests.toy import linear_network

BITS, CLASSES = 5, 3
RNG = np.random.default_rng(3)
CODES = RNG.choice([-1, 1], (60, BITS))
LABELS = (RNG.uniform(size=(60, CLASSES)) < 0.4).astype(np.int64)
LABELS[::7] = 0
KNOWLEDGE = Knowledge.of(
    torch.from_numpy(CODES).float(),
    torch.from_numpy(LABELS),
    (torch.from_numpy(CODES), torch.from_numpy(LABELS)),
)
# Target and own labels of four queries; the third has none of its own.
TARGETS = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
OWN = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]])


def queries_of(images: Tensor, rows: slice = slice(None), own: bool = True) -> Queries:
    targets, labels = (torch.from_numpy(values)[rows].float() for values in (TARGETS, OWN))
    codes = torch.ones(len(targets), BITS)
    seeds = range(100, 104)[rows]
    return Queries(images[rows], targets, codes, codes, seeds, labels if own else None)


def drawn(attack: PTA, queries: Queries) -> tuple[Sample, Sample]:
    objective = attack.smooth_ap(queries, KNOWLEDGE)
    return objective.relevant, objective.others


def members(sample: Sample, row: int) -> list[tuple[int, ...]]:
    """Codes of the items that count, in no order."""
    assert set(sample.weight[row].tolist()) <= {0.0, 1.0}
    return sorted(map(tuple, sample.codes[row][sample.weight[row] > 0].int().tolist()))


def test_positives_carry_the_target_and_negatives_a_label_of_the_query() -> None:
    # Codes that name their item: its position in binary.
    names = np.array([[1 if i >> bit & 1 else -1 for bit in range(6)] for i in range(60)])
    knowledge = Knowledge(
        KNOWLEDGE.train_codes,
        KNOWLEDGE.train_labels,
        torch.ones(6),
        torch.from_numpy(names),
        torch.from_numpy(LABELS),
    )
    for positives in (1, 2, 30):
        objective = PTA(positives=positives).smooth_ap(queries_of(torch.zeros(4)), knowledge)
        for row, (target, own) in enumerate(zip(TARGETS, OWN, strict=True)):
            wanted, others, count = plain.pta_items(target, own, LABELS, positives)
            for sample, allowed, most in (
                (objective.relevant, wanted, positives),
                (objective.others, others, count),
            ):
                found = members(sample, row)
                assert len(set(found)) == len(found) == min(most, len(allowed))
                assert set(found) <= {tuple(names[i]) for i in allowed}
    assert plain.pta_items(TARGETS[0], OWN[0], LABELS, 1)[2] == 4
    assert plain.pta_items(TARGETS[1], OWN[1], LABELS, 2)[2] == 16


def test_without_labels_of_the_query_negatives_are_all_that_lack_the_target() -> None:
    _, others = drawn(PTA(positives=30), queries_of(torch.zeros(4), own=False))
    for row, target in enumerate(TARGETS):
        lacking = plain.pta_items(target, np.zeros(CLASSES), LABELS, 30)[1]
        assert members(others, row) == sorted(tuple(CODES[i]) for i in lacking)


def test_a_query_draws_the_same_items_in_any_batch() -> None:
    together, alone = (
        drawn(PTA(positives=2), queries_of(torch.zeros(4), rows))
        for rows in (slice(None), slice(1, 2))
    )
    for whole, part in zip(together, alone, strict=True):
        assert torch.equal(whole.codes[1:2], part.codes)
        assert torch.equal(whole.weight[1:2], part.weight)


def test_the_loss_is_the_plain_formula() -> None:
    features = RNG.normal(0, 1, (4, BITS))
    for positives in (2, 100):
        attack = PTA(positives=positives)
        objective = attack.smooth_ap(queries_of(torch.zeros(4)), KNOWLEDGE)
        found = 1 - objective(torch.tanh(torch.from_numpy(features).float()))
        for row in range(4):
            wanted, others = (
                [np.array(code) for code in members(sample, row)]
                for sample in (objective.relevant, objective.others)
            )
            expected = plain.pta_loss(features[row], wanted, others)
            np.testing.assert_allclose(float(found[row]), expected, rtol=1e-3, atol=1e-5)


def test_steps_of_a_share_of_the_radius_descend_from_the_image_itself() -> None:
    image = RNG.uniform(0.2, 0.8, (3, 2, 2))
    weight = RNG.normal(0, 2, (BITS, 12))
    offset = RNG.normal(0, 0.5, BITS) - weight @ np.full(12, 0.5)
    attack, queries = PTA(steps=8), queries_of(torch.from_numpy(image)[None].repeat(4, 1, 1, 1))
    codes = [[np.array(code) for code in members(one, 0)] for one in drawn(attack, queries)]

    def loss(x: np.ndarray) -> float:
        return plain.pta_loss(weight @ x.reshape(-1) + offset, *codes)

    found = attack.perturb(
        linear_network(weight, offset).float(),
        queries._replace(images=queries.images.float()),
        KNOWLEDGE,
        ThreatModel(0.04),
    )
    expected = plain.momentum_descent(
        image, lambda x, g, step: plain.numerical_gradient(loss, x), 0.0, 0.04 / 8, 0.04, 8
    )
    np.testing.assert_allclose(found.images[0].numpy(), expected, rtol=0, atol=1e-5)


def test_the_constants_are_the_published_ones() -> None:
    attack = PTA()
    assert (attack.steps, attack.positives, attack.targeted) == (20, 75, True)
