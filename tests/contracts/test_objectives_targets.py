"""Target codes of CSQ and DPN: centres of classes, codes of label sets."""

import math

import pytest
import torch
from torch import Tensor

from saat.codes import hamming_distance
from saat.hashing import CSQ, OBJECTIVES
from saat.hashing.targets import TargetObjective, balanced_codes, class_centres


def positive_bits(codes: Tensor) -> list[int]:
    assert set(codes.unique().tolist()) <= {-1.0, 1.0}
    return sorted(set((codes > 0).sum(1).tolist()))


@pytest.mark.parametrize("bits", [1, 2, 4, 16, 32, 64])
def test_hadamard_centres_differ_in_half_of_the_bits_or_in_all(bits: int) -> None:
    for classes in {1, bits, bits + 1, 2 * bits}:
        centres = class_centres(classes, bits, seed=0)
        assert centres.shape == (classes, bits)
        assert centres.dtype == torch.float32
        assert set(centres.unique().tolist()) <= {-1.0, 1.0}
        distances = hamming_distance(centres, centres)
        assert torch.equal(distances.diagonal(), torch.zeros(classes, dtype=torch.int64))
        apart = distances[~torch.eye(classes, dtype=torch.bool)].tolist()
        assert set(apart) <= {bits / 2, bits}
        # As published: the rows of H first, and K apart only where a class meets its negative.
        assert torch.equal(centres[0], torch.ones(bits))
        assert apart.count(bits) == 2 * max(classes - bits, 0)
        assert torch.equal(centres, class_centres(classes, bits, seed=1))


@pytest.mark.parametrize(
    ("classes", "bits"), [(10, 48), (10, 12), (7, 9), (33, 16), (80, 16), (129, 64), (3, 1)]
)
@pytest.mark.parametrize("name", ["csq", "dpn"])
def test_elsewhere_centres_are_random_and_balanced(name: str, classes: int, bits: int) -> None:
    check_balanced(name, classes, bits)


@pytest.mark.parametrize(("classes", "bits"), [(10, 32), (3, 4), (64, 32)])
def test_centres_of_dpn_are_random_and_balanced_for_any_length(classes: int, bits: int) -> None:
    check_balanced("dpn", classes, bits)


def check_balanced(name: str, classes: int, bits: int) -> None:
    labels = torch.eye(classes)
    centres = [OBJECTIVES[name](labels, bits, seed).centres for seed in (0, 0, 1)]
    assert isinstance(centres[0], Tensor)
    assert centres[0].shape == (classes, bits)
    assert set(positive_bits(centres[0])) <= {bits // 2, (bits + 1) // 2}
    assert torch.equal(centres[0], centres[1])  # type: ignore[arg-type]
    if bits > 1:
        assert not torch.equal(centres[0], centres[2])  # type: ignore[arg-type]
        # Every bit tells some classes from others.
        assert int((centres[0].std(0) > 0).sum()) > bits // 2


@pytest.mark.parametrize(("count", "bits"), [(80, 16), (200, 12), (70, 8), (10, 5), (6, 4)])
def test_no_two_classes_share_a_centre_while_there_are_others(count: int, bits: int) -> None:
    assert count <= math.comb(bits, bits // 2)
    for seed in range(20):
        assert len(balanced_codes(count, bits, seed).unique(dim=0)) == count


def test_more_classes_than_balanced_codes_share_them() -> None:
    codes = balanced_codes(9, 4, 0)
    assert positive_bits(codes) == [2]
    assert len(codes.unique(dim=0)) == 6


def test_balanced_codes_favour_no_bit() -> None:
    share = (balanced_codes(4000, 15, 0) > 0).float().mean(0)
    assert float((share - 8 / 15).abs().max()) < 0.04  # five standard deviations


def test_a_label_takes_the_centre_of_its_class_and_a_set_the_majority() -> None:
    objective = CSQ(torch.eye(3), 4, 0)
    objective.centres = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1]])
    objective.ties = torch.tensor([1.0, -1, 1, -1])
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 1, 0], [0, 1, 1]])
    expected = [[1, 1, -1, -1], [1, -1, 1, -1], [1, 1, 1, -1], [1, -1, 1, -1], [1, -1, 1, -1]]
    assert objective.targets(labels).tolist() == expected


def test_ties_fall_to_one_fixed_code_for_all_images() -> None:
    centres = class_centres(64, 32, seed=0)  # [H; −H]: classes c and c + 32 cancel
    for name in ("csq", "dpn"):
        objective, other = (OBJECTIVES[name](torch.eye(64), 32, seed) for seed in (5, 6))
        assert isinstance(objective, TargetObjective)
        objective.centres = centres
        assert "ties" in objective.state_dict()
        labels = torch.eye(64)[:32] + torch.eye(64)[32:]
        assert torch.equal(objective.targets(labels), objective.ties.expand(32, 32))
        assert set(objective.ties.tolist()) == {-1.0, 1.0}
        assert not torch.equal(objective.ties, other.ties)  # type: ignore[arg-type]
        # It is a code of its own, not a centre that would draw sets to one class.
        apart = hamming_distance(objective.ties[None], centres)
        assert int(apart.min()) > 4


def test_csq_draws_back_bits_saturated_on_the_wrong_side() -> None:
    objective = CSQ(torch.eye(3), 12, 0)
    target = objective.centres[[0, 1]]
    f = (-50 * target).requires_grad_(True)  # tanh is ±1 in float32
    loss = objective(f, torch.eye(3)[[0, 1]], torch.tensor([0, 1]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(100.0)  # −log σ(−2·50), and |u| = 1
    torch.testing.assert_close(f.grad, -2 * target / target.numel())
