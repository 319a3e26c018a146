"""HAG beside its plain formula."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saat.attacks import HAG, Knowledge, Queries
from saat.attacks.hag import LEARNING_RATE
from saat.threat_model import ThreatModel
from tests import reference_attacks as plain
from tests.toy import linear_network

KNOWLEDGE = Knowledge.of(torch.ones(1, 1), torch.ones(1, 1))


def attacked(images: np.ndarray, network: nn.Module, eps: float, attack: HAG) -> np.ndarray:
    batch = torch.from_numpy(images).view(len(images), 1, 1, -1)
    with torch.no_grad():
        codes = torch.where(network(batch) >= 0, 1.0, -1.0)
    queries = Queries(batch, torch.ones(len(images), 1), codes, codes, range(len(images)))
    found = attack.perturb(network, queries, KNOWLEDGE, ThreatModel(eps))
    return found.images.flatten(1).numpy()


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (B, pixels), weight (K, pixels), offset (K,); features of all magnitudes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels, bits = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 3, 8]))
    scale = draw(st.sampled_from([0.3, 2.0, 8.0]))
    images = rng.uniform(0, 1, (draw(st.sampled_from([1, 4])), pixels))
    weight = scale * rng.normal(size=(bits, pixels))
    return images, weight, -weight @ np.full(pixels, 0.5) + rng.normal(size=bits)


@given(problem=problems(), steps=st.sampled_from([1, 2, 10, 13]))
def test_steps_are_those_of_the_formula(
    problem: tuple[np.ndarray, np.ndarray, np.ndarray], steps: int
) -> None:
    images, weight, offset = problem
    rate = 0.5 * len(images)  # acts on the mean: every query moves by 0.5 of its own slope
    expected = plain.hag_descent(images, weight, offset, 0.25, steps, rate)
    found = attacked(images, linear_network(weight, offset), 0.25, HAG(steps=steps, step_size=0.5))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_query_moves_as_in_the_reference_implementations_full_batch() -> None:
    """There by 100 times the mean over 128; here the number attacked at once plays no part."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0.2, 0.8, (128, 3))
    weight, offset = rng.normal(0, 0.1, (6, 3)), rng.normal(size=6)
    expected = plain.hag_descent(images, weight, offset, 0.1, 10)
    network = linear_network(weight, offset)
    for rows in (slice(None), slice(0, 5)):
        found = attacked(images[rows], network, 0.1, HAG(steps=10))
        np.testing.assert_allclose(found, expected[rows], rtol=0, atol=1e-12)
    inside = np.abs(expected - images) < 0.099
    assert inside.mean() > 0.2  # where the ball does not hide the rate
    assert pytest.approx(100 / 128) == LEARNING_RATE


@given(problem=problems())
def test_the_plain_slope_is_the_derivative_of_the_plain_loss(
    problem: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    images, weight, offset = problem
    benign = np.tanh(images[0] @ weight.T + offset)
    relaxed = np.tanh(0.4 * (images[0] @ weight.T + offset)) - 0.05
    margins = np.abs(np.abs(relaxed - np.where(benign >= 0, 1, -1)) - 1.5)
    if margins.min() > 1e-3:  # no mask changes nearby
        found = plain.numerical_gradient(lambda u: plain.hag_loss(u, benign), relaxed)
        np.testing.assert_allclose(plain.hag_slope(relaxed, benign), found, rtol=0, atol=1e-8)
