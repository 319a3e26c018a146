"""What is computed in blocks of queries equals the plain formula, however small the blocks are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import saat.blocks
from saat.attacks import DHTA, P2P, SDHA, Knowledge
from saat.attacks.multi_target import MultiTarget
from saat.blocks import rows_at_once
from saat.labels import draw_target_labels
from saat.mainstay import mainstay_codes
from saat.seeding import generator
from tests import reference_attacks as plain
from tests.reference_battery import farthest

BITS, CLASSES, ITEMS, QUERIES = 6, 4, 30, 11
# Blocks of one query, of some, of all.
ELEMENTS = (1, 40, 1000)


class Problem:
    """Random ±1 codes and 0/1 labels, of items and of queries."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.codes, self.own = (rng.choice([-1, 1], (n, BITS)) for n in (ITEMS, QUERIES))
        self.labels, self.wanted = (
            (rng.uniform(size=(n, CLASSES)) < 0.4).astype(np.int64) for n in (ITEMS, QUERIES)
        )

    @property
    def knowledge(self) -> Knowledge:
        """Training set and database are the same items."""
        codes, labels = torch.from_numpy(self.codes), torch.from_numpy(self.labels)
        return Knowledge.of(codes.float(), labels, (codes.to(torch.int8), labels))

    @property
    def queries(self) -> tuple[Tensor, Tensor]:
        """Labels and codes."""
        return torch.from_numpy(self.wanted), torch.from_numpy(self.own)


problems = st.integers(0, 2**32 - 1).map(Problem)


def test_a_block_has_a_row_and_no_more_elements_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saat.blocks, "ELEMENTS", 100)
    assert [rows_at_once(width) for width in (0, 1, 30, 100, 101)] == [100, 100, 3, 1, 1]


@pytest.mark.parametrize("size", ELEMENTS)
@given(problem=problems)
def test_codes_that_attacks_are_aimed_by(size: int, problem: Problem) -> None:
    knowledge, (labels, own) = problem.knowledge, problem.queries
    known = problem.codes, problem.labels
    rows = list(zip(problem.wanted, problem.own, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saat.blocks, "ELEMENTS", size)
        mean = SDHA().representatives(knowledge, labels, own)
        one, nine = (attack.representatives(knowledge, labels, own) for attack in (P2P(), DHTA()))
        far = MultiTarget(targets=3).farthest(knowledge, own)
    assert mean.tolist() == [plain.mean_relevant_code(y, c, *known).tolist() for y, c in rows]
    assert one.tolist() == [plain.anchor_code(y, c, *known, 1).tolist() for y, c in rows]
    assert nine.tolist() == [plain.anchor_code(y, c, *known, 9).tolist() for y, c in rows]
    distinct = torch.from_numpy(np.unique(problem.labels, axis=0))
    codes, code_labels = map(torch.from_numpy, known)
    candidates = list(mainstay_codes(distinct, codes, code_labels).numpy())
    expected = [farthest(code, candidates, 3) for code in problem.own]
    assert far.tolist() == np.array(expected).tolist()


@pytest.mark.parametrize("size", ELEMENTS)
@given(problem=problems)
def test_target_labels(size: int, problem: Problem) -> None:
    wanted, labels = torch.from_numpy(problem.wanted), torch.from_numpy(problem.labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saat.blocks, "ELEMENTS", size)
        found = draw_target_labels(wanted, labels, generator("targets", 0))
    draws, distinct = generator("targets", 0), np.unique(problem.labels, axis=0)
    for query, target in zip(problem.wanted, found.tolist(), strict=True):
        allowed = [d for d in distinct if d.any() and not d @ query]
        draw = float(torch.rand((), generator=draws, dtype=torch.float64))
        expected = allowed[int(draw * len(allowed))] if allowed else np.zeros(CLASSES, np.int64)
        assert target == expected.tolist()
