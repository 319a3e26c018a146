"""A data set small enough for contract suites: labels are colour channels that are lit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saat.data import RetrievalData
from saat.hashing import OBJECTIVES, HashingObjective
from saat.models import HashingNetwork, build_network, codes_of, encode, to_float
from saat.pretrain import Pretraining, PretrainSettings
from saat.settings import file_key, option_fields

SIZE = 16
BITS = 12  # no power of two, no multiple of eight
CLASSES = 3


def toy_data(seed: int = 0) -> RetrievalData:
    """96 train ⊂ 160 database, 32 validation within the rest of the database, 32 test.

    Most rows have one label, some two; every 16th has none and is dark.
    """
    rng = np.random.default_rng(seed)
    count = 192
    labels = np.eye(CLASSES, dtype=np.uint8)[np.arange(count) % CLASSES]
    labels[5::10, 0] = 1
    labels[7::16] = 0
    lit = np.where(labels == 1, 150, 90)[:, :, None, None]
    noise = rng.normal(0, 30, (count, CLASSES, SIZE, SIZE))
    images = (lit + noise).clip(0, 255).astype(np.uint8)
    images.setflags(write=False)
    return RetrievalData(
        name="toy",
        images=images,
        labels=labels,
        train=np.arange(96),
        database=np.arange(160),
        validation=np.arange(128, 160),
        test=np.arange(160, 192),
        fingerprint="toy",
        lists_sha256={},
    )


def toy_network(seed: int = 0, bits: int = BITS) -> HashingNetwork:
    return build_network("small_cnn", "none", bits, SIZE, seed)


def toy_objective(data: RetrievalData, name: str = "dph", seed: int = 0) -> HashingObjective:
    return OBJECTIVES[name](data.label_tensor(data.train), BITS, seed)


def pretrained(data: RetrievalData, epochs: int = 4) -> HashingNetwork:
    network = toy_network()
    settings = PretrainSettings(epochs=epochs, lr=0.02)
    training = Pretraining(network, toy_objective(data), data, settings, seed=0)
    while not training.finished:
        training.run_epoch()
    return network.eval()


def bare_network(data: RetrievalData, factor: float = 1.0) -> nn.Sequential:
    """A trained network without batch norm before the code, its last layer times ``factor``.

    At ``factor`` 1 most features lie between ±2 and ±8: tanh still passes gradients.
    """
    torch.manual_seed(0)
    last = nn.Linear(32, BITS, bias=False)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(128, 32), nn.Tanh(), last
    )
    images = to_float(data.batch(data.train), torch.device("cpu"))
    labels = data.label_tensor(data.train).float()
    objective = toy_objective(data)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9)
    for _ in range(100):
        loss = objective(network(images), labels, torch.arange(len(labels)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        last.weight.mul_(4 * factor)
    return network


def linear_network(weight: np.ndarray, offset: np.ndarray) -> nn.Sequential:
    """Images → features in float64: ``weight`` (K, pixels) times the image plus ``offset`` (K,)."""
    layer = nn.Linear(weight.shape[1], len(weight)).double()
    layer.weight.data, layer.bias.data = torch.from_numpy(weight), torch.from_numpy(offset)
    return nn.Sequential(nn.Flatten(), layer)


def codes(network: nn.Module, images: Tensor) -> Tensor:
    """Codes of uint8 images."""
    return codes_of(encode(network, images.__getitem__, len(images)))


def options(settings: Any) -> dict[str, Any]:
    """The options of settings by file key."""
    return {file_key(item): getattr(settings, item.name) for item in option_fields(settings)}


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def differences(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Names whose tensors are not equal bit for bit."""
    assert before.keys() == after.keys()
    return [name for name in before if not torch.equal(before[name], after[name])]


def raised(call: Callable[[], object], kind: type[Exception]) -> str:
    """The message of the ``kind`` that ``call`` raises."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")
