"""RankOnly: the list it gets, the score of its ranks, and what it never looks at."""

import numpy as np
import pytest
import torch

from saat.attacks import Knowledge, Queries, RankOnly
from saat.attacks.rank_only import returned_items
from saat.models import encode
from saat.threat_model import ThreatModel
from tests import reference_attacks as plain
from tests import toy

BITS, ITEMS = 6, 50
RNG = np.random.default_rng(8)
CODES = RNG.choice([-1, 1], (ITEMS, BITS))
LABELS = (RNG.uniform(size=(ITEMS, 3)) < 0.4).astype(np.int64)
ASKED = RNG.choice([-1, 1], (7, BITS))
OWN = (RNG.uniform(size=(7, 3)) < 0.4).astype(np.int64)
OWN[2] = 0
KNOWLEDGE = Knowledge.of(
    torch.from_numpy(CODES).float(),
    torch.from_numpy(LABELS),
    (torch.from_numpy(CODES), torch.from_numpy(LABELS)),
)


def queries_of(own: np.ndarray, representatives: torch.Tensor) -> Queries:
    images = torch.zeros(len(own), 3, 4, 4)
    labels = torch.from_numpy(own).float()
    return Queries(images, labels, representatives, representatives, range(len(own)))


@pytest.mark.parametrize("length", [1, 9, ITEMS])
def test_the_list_is_by_distance_and_then_by_position(length: int) -> None:
    found = returned_items(torch.from_numpy(ASKED), torch.from_numpy(CODES), length)
    assert found.tolist() == [plain.returned_list(code, CODES)[:length] for code in ASKED]


@pytest.mark.parametrize("returned", [1, 9, 1000])
def test_the_score_is_minus_the_discounted_gain_of_the_list(returned: int) -> None:
    score = RankOnly(returned=returned).scoring(queries_of(OWN, torch.ones(7, BITS)), KNOWLEDGE)
    found = score(torch.from_numpy(ASKED))
    expected = [
        -plain.discounted_gain(plain.returned_list(code, CODES)[:returned], y, LABELS)
        for code, y in zip(ASKED, OWN, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert expected[2] == 0.0  # nothing is relevant to a query without labels


def test_it_sees_no_code_that_guides_it() -> None:
    """Whatever the representatives are, the images are the same."""
    data = toy.toy_data()
    network = toy.bare_network(data)
    rows = data.database
    features = encode(network, lambda part: data.batch(rows[part]), len(rows))
    knowledge = Knowledge.of(features, data.label_tensor(rows))
    images = torch.from_numpy(data.images[data.test[:6]]).float() / 255
    labels = data.label_tensor(data.test[:6]).float()
    codes = torch.ones(6, toy.BITS)
    found = [
        RankOnly(steps=150)
        .perturb(
            network,
            Queries(images, labels, way * codes, way * codes, range(6)),
            knowledge,
            ThreatModel(0.3),
        )
        .images
        for way in (1, -1)
    ]
    assert torch.equal(*found)
    # The list gets no better for the user from query to query.
    score = RankOnly().scoring(Queries(images, labels, codes, codes, range(6)), knowledge)
    before, after = (
        score(torch.where(network(seen) >= 0, 1.0, -1.0).detach()) for seen in (images, found[0])
    )
    assert bool((after >= before).all())
    assert bool((after > before).any())
