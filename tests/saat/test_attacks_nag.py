"""NAG: the loss at an image and at a noisy one, through the transformation and with momentum."""

import numpy as np
import pytest
import torch

from saat.attacks import NAG, Knowledge, Queries
from saat.attacks.input_diversity import input_diversity
from saat.protocol_options import Norm
from saat.seeding import derive_seed
from saat.threat_model import ThreatModel
from tests import reference_attacks as plain
from tests.toy import linear_network

SIDE, BITS, STEPS, SEED = 5, 6, 4, 7
RNG = np.random.default_rng(2)
IMAGE = RNG.uniform(0.2, 0.8, (3, SIDE, SIDE))
WEIGHT = RNG.normal(0, 0.6, (BITS, IMAGE.size))
OFFSET = RNG.normal(0, 0.5, BITS) - WEIGHT @ np.full(IMAGE.size, 0.5)
CODE = np.array([1.0, -1, 1, 1, -1, -1])
ANCHOR = torch.from_numpy(CODE)[None]
QUERIES = Queries(torch.from_numpy(IMAGE)[None], torch.ones(1, 1), -ANCHOR, ANCHOR, [SEED])
KNOWLEDGE = Knowledge.of(torch.ones(1, BITS), torch.ones(1, 1))


def transformed(x: np.ndarray, step: int, attack: NAG) -> np.ndarray:
    """A square image resized, as :func:`plain.resized_and_padded` does where it is."""
    seed, points = derive_seed("nag", step, SEED), torch.from_numpy(x)[None]
    rows, columns = input_diversity([seed], points, attack.probability, attack.resize)
    return (rows @ points @ columns.mT)[0].numpy()


def noise(step: int) -> np.ndarray:
    seed, nothing = derive_seed("nag", step, SEED), torch.zeros(1, *IMAGE.shape)
    drawn = ThreatModel(32 / 255).random_start(nothing, [seed])[0].double().numpy()
    assert 0.08 < np.abs(drawn).max() <= 32 / 255 + 1e-6
    return drawn


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.06), ("l2", 0.4)])
@pytest.mark.parametrize("options", [{}, {"decay": 1.0, "noise_weight": 0.3}, {"probability": 1.0}])
def test_it_descends_the_loss_at_the_image_and_at_a_noisy_one(
    options: dict[str, float], norm: Norm, eps: float
) -> None:
    attack = NAG(steps=STEPS, **options)  # type: ignore[arg-type]
    found = attack.perturb(
        linear_network(WEIGHT, OFFSET), QUERIES, KNOWLEDGE, ThreatModel(eps, norm)
    )

    def at(x: np.ndarray, g: np.ndarray, step: int) -> np.ndarray:
        def loss(point: np.ndarray) -> float:
            seen = transformed(point, step, attack)
            here, there = (
                plain.nag_loss(WEIGHT @ image.reshape(-1) + OFFSET, CODE)
                for image in (seen, seen + noise(step))
            )
            return here + attack.noise_weight * there

        return plain.numerical_gradient(loss, x)

    step_size = max(1 / 255, 2.5 * eps / STEPS)
    expected = plain.momentum_descent(IMAGE, at, attack.decay, step_size, eps, STEPS, norm)
    np.testing.assert_allclose(found.images[0].numpy(), expected, rtol=0, atol=1e-6)


def test_noise_is_another_in_every_step_and_the_constants_are_the_published_ones() -> None:
    assert not np.array_equal(noise(0), noise(1))
    attack = NAG()
    assert (attack.steps, attack.noise_weight, attack.anchors) == (32, 1.0, 1)
    assert (attack.decay, attack.probability, attack.targeted) == (0.0, 0.0, True)
