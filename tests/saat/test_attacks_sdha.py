"""SDHA beside its plain formula, code by code and bit by bit."""

import numpy as np
import pytest
import torch
from torch import nn

from saat.attacks import Knowledge, Queries
from saat.attacks.sdha import SDHA, Adam, TargetedSDHA
from saat.threat_model import ThreatModel
from tests import reference_attacks as plain
from tests.toy import linear_network

SIDE, BITS = 3, 5  # K no power of two
RNG = np.random.default_rng(3)
IMAGES = RNG.uniform(0.3, 0.7, (4, 3, SIDE, SIDE))
WEIGHT = RNG.normal(0, 0.7, (BITS, IMAGES[0].size))
OFFSET = -WEIGHT @ np.full(IMAGES[0].size, 0.5)
CODES = RNG.choice([-1, 1], (12, BITS))
LABELS = np.eye(4, dtype=np.int64)[np.arange(12) % 3]
LABELS[3, 1] = LABELS[7, 2] = 1
LABELS[5] = LABELS[11] = 0
# One label, two, one that no train row has, and none at all.
WANTED = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
BOTH = pytest.mark.parametrize("attack", [SDHA(steps=3), TargetedSDHA(steps=3)])


def known() -> Knowledge:
    # Features of magnitude 1, so train codes are their signs.
    return Knowledge.of(torch.from_numpy(CODES).double(), torch.from_numpy(LABELS))


def query_codes() -> np.ndarray:
    features = IMAGES.reshape(4, -1) @ WEIGHT.T + OFFSET
    return np.where(features >= 0, 1.0, -1.0)


def queries() -> Queries:
    codes = torch.from_numpy(query_codes())
    labels = torch.from_numpy(WANTED).double()
    return Queries(torch.from_numpy(IMAGES), labels, codes, codes, range(4))


def relevant(label: np.ndarray) -> list[np.ndarray]:
    return [c for c, y in zip(CODES, LABELS, strict=True) if (label * y).sum() > 0]


@BOTH
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_surrogate_runs_over_all_relevant_codes(attack: SDHA, scale: float) -> None:
    features = RNG.normal(0, scale, (4, BITS))
    features[0] = scale * CODES[0]  # a relevant code at distance 0 weighs 1e4
    features[1, 2] = 0.0  # whose sign is +1
    found = attack.loss(queries(), known())(torch.from_numpy(features), 2)
    for row in range(4):
        relaxed = np.tanh(plain.alpha(2, 3) * features[row])
        expected = plain.sdha_loss(
            IMAGES[row],
            IMAGES[row],
            relaxed,
            query_codes()[row],
            relevant(WANTED[row]),
            np.where(features[row] >= 0, 1, -1),
            attack.targeted,
        )
        assert float(found[row]) == pytest.approx(expected, rel=1e-9)


@BOTH
def test_steps_are_those_of_adam_on_error_and_surrogate(attack: SDHA) -> None:
    network = linear_network(WEIGHT, OFFSET)
    result = attack.perturb(network, queries(), known(), ThreatModel(0.025))
    for row, image in enumerate(IMAGES):

        def gradient(x: np.ndarray, step: int, row: int = row) -> np.ndarray:
            def relaxed(p: np.ndarray) -> np.ndarray:
                found: np.ndarray = np.tanh(
                    plain.alpha(step, 3) * (WEIGHT @ p.reshape(-1) + OFFSET)
                )
                return found

            signs = np.where(relaxed(x) >= 0, 1, -1)
            code, codes = query_codes()[row], relevant(WANTED[row])
            return plain.numerical_gradient(
                lambda p: (
                    plain.sdha_loss(p, IMAGES[row], relaxed(p), code, codes, signs, attack.targeted)
                    / 128  # the mean over a batch of the reference implementation
                ),
                x,
            )

        expected = plain.adam_descent(image, gradient, 0.01, 0.025, 3)
        np.testing.assert_allclose(result.images[row].numpy(), expected, rtol=0, atol=1e-7)
    assert torch.isfinite(result.images).all()


@BOTH
def test_the_error_of_the_pixels_hides_no_blindness(attack: SDHA) -> None:
    """A network without gradients is blind, whatever Adam does with the pixels' own error."""

    class Flat(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 0 * images.flatten(1)[:, :BITS] + 1

    result = attack.perturb(Flat(), queries(), known(), ThreatModel(0.1))
    assert result.zero_gradient.tolist() == [1.0] * 4
    assert torch.equal(result.images, queries().images)


def test_adam_is_adam() -> None:
    point = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theirs = point.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([theirs], lr=0.01)
    adam = Adam(0.01)
    for _ in range(5):
        optimiser.zero_grad()
        (theirs**4).sum().backward()
        optimiser.step()
        point = point - adam.step(4 * point**3)
    torch.testing.assert_close(point, theirs.detach(), rtol=0, atol=1e-12)


@BOTH
def test_representatives_are_the_mean_relevant_code(attack: SDHA) -> None:
    labels = torch.from_numpy(WANTED)
    codes = torch.from_numpy(query_codes())
    found = attack.representatives(known(), labels, codes)
    expected = [
        plain.mean_relevant_code(y, c, CODES, LABELS)
        for y, c in zip(WANTED, query_codes(), strict=True)
    ]
    assert found.tolist() == np.array(expected).tolist()
    sums = np.array([np.sum(relevant(y), axis=0) for y in WANTED[:2]])
    assert (sums == 0).any()  # a tie, which is +1
    assert torch.equal(attack.goal(found), found if attack.targeted else -found)
