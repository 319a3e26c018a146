"""P2P and DHTA: which database codes vote, and what they do with the vote."""

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.attacks import ATTACKS, DHTA, P2P, Knowledge, Queries
from saat.threat_model import ThreatModel
from tests import reference_attacks as plain
from tests.toy import linear_network

BITS = 6
RNG = np.random.default_rng(5)
CODES = RNG.choice([-1, 1], (40, BITS))
LABELS = (RNG.uniform(size=(40, 3)) < 0.4).astype(np.int64)
LABELS[LABELS[:, 2] == 1, 0] = 0  # so 1·1 is a label that no row has
EVERY_LABEL = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])


def anchor_codes(
    labels: Tensor, own: Tensor, codes: Tensor, code_labels: Tensor, count: int
) -> Tensor:
    knowledge = Knowledge.of(codes.float(), code_labels, (codes, code_labels))
    return P2P(anchors=count).representatives(knowledge, labels, own)


@pytest.mark.parametrize("count", [1, 2, 9, 100])
def test_the_first_codes_with_exactly_the_label_vote(count: int) -> None:
    own = RNG.choice([-1, 1], (len(EVERY_LABEL), BITS))
    found = anchor_codes(
        torch.from_numpy(EVERY_LABEL),
        torch.from_numpy(own),
        torch.from_numpy(CODES).to(torch.int8),
        torch.from_numpy(LABELS),
        count,
    )
    expected = [
        plain.anchor_code(y, c, CODES, LABELS, count) for y, c in zip(EVERY_LABEL, own, strict=True)
    ]
    assert found.dtype == torch.float32
    assert found.tolist() == np.array(expected).tolist()
    # Unlabelled rows exist in the database but are no anchors; one label has no row at all.
    assert (LABELS.sum(1) == 0).any()
    present = {tuple(row) for row in LABELS}
    absent = [row for row, y in enumerate(EVERY_LABEL) if tuple(y) not in present]
    assert absent
    for row in [0, *absent]:
        assert found[row].tolist() == own[row].tolist()


def test_a_subset_of_the_target_label_is_not_the_target_label() -> None:
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]])
    codes = torch.tensor([[1, 1], [1, -1], [-1, -1]])
    found = anchor_codes(labels, -codes, codes, labels, 9)
    assert found.tolist() == codes.tolist()
    # Where only the larger one exists there is no anchor.
    alone = anchor_codes(labels[::2], -codes[::2], codes[1:2], labels[1:2], 9)
    assert alone.tolist() == (-codes[::2]).tolist()


def test_ties_of_a_vote_are_positive() -> None:
    codes = torch.tensor([[1, -1], [-1, -1]])
    labels = torch.tensor([[1, 0], [1, 0]])
    assert anchor_codes(labels[:1], codes[1:], codes, labels, 9).tolist() == [[1.0, -1.0]]
    assert anchor_codes(labels[:0], codes[:0], codes, labels, 9).shape == (0, 2)


def test_anchors_come_from_the_database_and_not_from_the_training_set() -> None:
    database = torch.from_numpy(CODES).to(torch.int8), torch.from_numpy(LABELS)
    knowledge = Knowledge.of(-torch.from_numpy(CODES).float(), torch.from_numpy(LABELS), database)
    wanted = torch.from_numpy(LABELS[[4, 9]])
    own = torch.ones(2, BITS)
    for name, count in (("p2p", 1), ("dhta", 9)):
        attack = ATTACKS[name]()
        assert isinstance(attack, P2P)
        assert (attack.anchors, attack.steps, attack.targeted) == (count, 2000, True)
        found = attack.representatives(knowledge, wanted, own)
        expected = [
            plain.anchor_code(y, np.ones(BITS), CODES, LABELS, count) for y in LABELS[[4, 9]]
        ]
        assert found.tolist() == np.array(expected).tolist()
    assert DHTA(anchors=3).representatives(knowledge, wanted, own).shape == (2, BITS)


def test_steps_lead_to_the_anchor_from_the_image_itself() -> None:
    image = RNG.uniform(0.2, 0.8, (3, 2, 2))
    weight, anchor = RNG.normal(0, 3, (BITS, 12)), CODES[0].astype(np.float64)
    offset = RNG.normal(0, 3, BITS) - weight @ np.full(12, 0.5)
    goal = torch.from_numpy(anchor)[None]
    queries = Queries(torch.from_numpy(image)[None], torch.ones(1, 1), -goal, goal, [1])
    knowledge = Knowledge.of(torch.ones(1, BITS), torch.ones(1, 1))
    for step_size, expected_size in ((None, max(1 / 255, 2.5 * 0.03 / 20)), (0.005, 0.005)):
        result = P2P(steps=20, step_size=step_size).perturb(
            linear_network(weight, offset), queries, knowledge, ThreatModel(0.03)
        )
        expected = plain.momentum_descent(
            image,
            lambda x, g, step: (
                -plain.numerical_gradient(
                    plain.code_loss(weight, offset, anchor, plain.alpha(step, 20)), x
                )
            ),
            0.0,
            expected_size,
            0.03,
            20,
        )
        np.testing.assert_allclose(result.images[0].numpy(), expected, rtol=0, atol=1e-9)
