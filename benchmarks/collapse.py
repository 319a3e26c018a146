"""Whether SAAT with DPH earns more by collapsing than by making a pretrained network robust.

    python -m benchmarks.collapse --model MODEL --lists FOLDER --image-size 64

``MODEL`` is what ``saat.load`` takes, for example the folder of an undefended trial, and
``FOLDER`` has training images in list format. Prints the numbers and the table of
docs/results/photographs.md.

Where every code is t·c with one c in {−1, 1}^K, attacked or not, the loss of SAAT without its
quantisation is 1 + 2(1 − 2p)t² + t⁴ − λt, with the share p of similar pairs of training images. A
network that retrieves pays L_ori − λ·m, m being the mean of u'·b.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import saat
from saat.data import RetrievalData
from saat.defenses.saat import SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES
from saat.models import HashingNetwork, encode, evaluating, to_float

LAMBDAS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
_STRENGTHS = np.linspace(0, 1, 10_001)  # t


class Ends(NamedTuple):
    """What the two ends of a training are computed from.

    Attributes:
        similar: share p of similar pairs, of each training image with all.
        original: L_ori of the pretrained network, with relaxed codes on both sides.
        benign: m without an attack.
        attacked: m under the inner attack.
    """

    similar: float
    original: float
    benign: float
    attacked: float


def collapse(similar: float, weight: float) -> tuple[float, float]:
    """The least loss of a collapse at λ = ``weight``, and its t."""
    loss = 1 + 2 * (1 - 2 * similar) * _STRENGTHS**2 + _STRENGTHS**4 - weight * _STRENGTHS
    place = int(loss.argmin())
    return float(loss[place]), float(_STRENGTHS[place])


def least_robustness(ends: Ends, weight: float) -> float:
    """The m from which a network that retrieves as the pretrained one costs less; −1 if always."""
    return max(-1.0, (ends.original - collapse(ends.similar, weight)[0]) / weight)


def measured(network: HashingNetwork, data: RetrievalData, eps: float, attacked: int) -> Ends:
    """Ends of SAAT from ``network``; m under its seven steps is of the first ``attacked`` rows."""
    labels = data.label_tensor(data.train)
    objective = OBJECTIVES["dph"](labels, network.bits, 0)
    settings = SaatSettings(eps=eps, step_size="auto")
    training = SaatTraining(network, objective, data, settings, seed=0)
    training.prepare()
    every = torch.arange(len(labels))
    features = encode(network, lambda part: data.batch(data.train[part]), len(labels))
    mainstay = training.mainstay.of_rows(every)
    torch.manual_seed(0)  # of the start of the attack
    with evaluating(network):
        images = to_float(data.batch(data.train[:attacked]), torch.device("cpu"))
        driven = training.inner_maximisation(images, mainstay[:attacked])
        with torch.no_grad():
            after = agreement(network(driven), mainstay[:attacked])
    shared = labels.double() @ labels.double().T > 0
    original = objective(features, labels.float(), every)
    return Ends(float(shared.float().mean()), float(original), agreement(features, mainstay), after)


def agreement(features: Tensor, mainstay: Tensor) -> float:
    """The mean m of u·b over pre-tanh features (N, K) and mainstay codes (N, K)."""
    return float((torch.tanh(features) * mainstay).mean())


def lines(ends: Ends, eps: float, attacked: int) -> Iterator[str]:
    """The numbers and the table."""
    yield f"similar pairs {ends.similar:.2f}, L_ori {ends.original:.2f}"
    yield (
        f"m {ends.benign:.2f}; {ends.attacked:.2f} under seven steps at {255 * eps:g}/255, on "
        f"{attacked} images"
    )
    yield "\n| λ | loss of the best collapse, at t | m from which robustness costs less |"
    yield "|---|---|---|"
    for weight in LAMBDAS:
        loss, strength = collapse(ends.similar, weight)
        least = least_robustness(ends, weight)
        yield f"| {weight:g} | {loss:.3f}, {strength:.2f} | {least:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True, help="a pretrained network, as saat.load takes")
    parser.add_argument("--lists", required=True, help="a folder of images in list format")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--eps", type=float, default=4, help="radius of the attack, in 1/255")
    parser.add_argument("--attacked", type=int, default=512, help="images that are attacked")
    options = parser.parse_args()
    network = saat.load(options.model)
    if not isinstance(network, HashingNetwork):
        parser.error(f"--model {options.model}: no network of saat")
    data = RetrievalData.from_folder(options.lists, image_size=options.image_size, val_queries=300)
    eps = options.eps / 255
    print(*lines(measured(network, data, eps, options.attacked), eps, options.attacked), sep="\n")


if __name__ == "__main__":
    main()
