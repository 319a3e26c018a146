"""SqueezeNet 1.1: the published network's numbers, and a file that is read without running it."""

import pickle
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from saat.models import build_network, squeezenet
from saat.models.squeezenet import read_arrays
from saat.rectifiers import has_rectifiers
from tests.saat.data.samples import input_error

BITS = 12
needs_package = pytest.mark.skipif(
    find_spec(squeezenet.WEIGHTS.module) is None, reason="extra squeezenet is not installed"
)


def bytes_of(side: int) -> Tensor:
    return torch.arange(3 * side * side).reshape(1, 3, side, side) * 7919 % 256


def plain_logits(arrays: dict[str, list[np.ndarray]], levels: Tensor) -> Tensor:
    """The 1000 classes of images in grey levels (B, 3, H, W), straight from the file's arrays."""

    def convolved(x: Tensor, name: str, **options: Any) -> Tensor:
        kernels, bias = (torch.from_numpy(part).double() for part in arrays[name])
        return F.conv2d(x, kernels.permute(3, 2, 0, 1), bias, **options)

    blue_green_red = levels.double()[:, [2, 1, 0]]
    x = blue_green_red - torch.tensor([104.006, 116.669, 122.679]).double().view(1, 3, 1, 1)
    odd = levels.shape[-1] % 2
    x = F.pad(x, (odd, 1, odd, 1))
    x = F.relu(convolved(x, "conv1", stride=2))
    for number in range(2, 10):
        if number in (2, 4, 6):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        small = F.relu(convolved(x, f"fire{number}/squeeze1x1"))
        parts = (convolved(small, f"fire{number}/expand{k}x{k}", padding=k // 2) for k in (1, 3))
        x = F.relu(torch.cat(list(parts), 1))
    return convolved(x, "conv10").mean((2, 3))


def our_logits(levels: Tensor) -> Tensor:
    """The same from our features; the published last layer is linear, so it may come last."""
    network = build_network("squeezenet1_1", "imagenet", BITS, levels.shape[-1], 0).eval().double()
    published = squeezenet.published_weights()
    kernels, bias = (published[f"conv10.{kind}"].double() for kind in ("weight", "bias"))
    with torch.no_grad():
        features = network.backbone((levels / 255 - network.mean) / network.std)
        logits: Tensor = features @ kernels.flatten(1).T + bias
    return logits


@needs_package
def test_it_computes_what_its_publisher_computes() -> None:
    """Numbers of the package ndf 0.1.4: its own model with ``include_softmax=False``, on this image
    as blue, green and red less (104.006, 116.669, 122.679).

    Its poolings drop the last row of an odd size, those of Caffe and ours do not; at 222 pixels no
    pooling has one.
    """
    logits = our_logits(bytes_of(222))[0]
    wanted = torch.tensor(
        [2.402603, 2.452737, 0.86449, 1.615407, 5.428558, 6.749762, 4.109706, -1.370586]
    ).double()
    torch.testing.assert_close(logits[:8], wanted, rtol=0, atol=1e-5)
    assert float(logits.sum()) == pytest.approx(2752.634503, abs=1e-3)
    assert float(logits.norm()) == pytest.approx(118.459945, abs=1e-5)
    assert int(logits.argmax()) == 904


@needs_package
@pytest.mark.parametrize("side", [16, 17, 33, 64, 96])
def test_it_computes_the_published_formula_at_every_size(side: int) -> None:
    levels = bytes_of(side)
    wanted = plain_logits(read_arrays(squeezenet.WEIGHTS.path("squeezenet1_1")), levels)
    torch.testing.assert_close(our_logits(levels), wanted, rtol=1e-5, atol=1e-5)


@needs_package
def test_its_weights_are_taken_over_and_can_be_trained() -> None:
    network = build_network("squeezenet1_1", "imagenet", BITS, 64, seed=0)
    assert not network.hash_layer_imported
    assert all(part.requires_grad for part in network.parameters())
    assert has_rectifiers(network)
    network(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(part.grad is not None for part in network.parameters())


@needs_package
def test_a_file_of_other_arrays_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.pkl"
    monkeypatch.setattr(type(squeezenet.WEIGHTS), "path", lambda *_: file)
    three = [np.zeros(2, np.float32)] * 3
    contents: list[Any] = [{"conv1": three}, {"conv2": three[:2]}, [], OrderedDict()]
    for content in contents:
        file.write_bytes(pickle.dumps(content))
        message = input_error(lambda: build_network("squeezenet1_1", "imagenet", BITS, 64, 0))
        assert message.startswith(f"model.weights imagenet: {file}: not the weights of squeezenet")


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_they_were_written(protocol: int, order: Any, tmp_path: Path) -> None:
    draws = np.random.RandomState(0)
    written: dict[str, list[Any]] = {
        "one": [draws.randn(2, 3, 4).astype(np.float32, order=order), draws.randn(5)],
        "none": [np.zeros((0, 2), np.float32)],
    }
    file = tmp_path / "arrays.pkl"
    file.write_bytes(pickle.dumps(written, protocol=protocol))
    found = read_arrays(file)
    assert found.keys() == written.keys()
    for name, arrays in written.items():
        for ours, theirs in zip(found[name], arrays, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("where", ["alone", "in a list", "as an array of objects", "as a key"])
def test_nothing_that_a_file_names_is_run(where: str, tmp_path: Path) -> None:
    evil = Evil(tmp_path / "touched")
    objects = np.empty(1, object)
    objects[0] = evil
    content = {
        "alone": evil,
        "in a list": {"conv1": [np.zeros(2), evil]},
        "as an array of objects": {"conv1": [objects]},
        "as a key": {evil: [np.zeros(2)]},
    }[where]
    file = tmp_path / "arrays.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="only arrays are read"):
        read_arrays(file)
    assert not (tmp_path / "touched").exists()


class Odd:
    """Its pickle is that of an array with a strange shape."""

    def __init__(self, shape: object) -> None:
        self.shape = shape

    def __reduce__(self) -> tuple[object, ...]:
        reduced: Any = np.zeros(1, np.float32).__reduce__()
        make, arguments, state = reduced
        return make, arguments, (state[0], self.shape, *state[2:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1]), "a list, not a dict of arrays"),
        (pickle.dumps({"a": [1]}), "'a' holds a list, not a list of arrays"),
        (pickle.dumps({"a": np.zeros(2)}), "'a' holds a _Pickled"),
        (pickle.dumps({"a": [np.zeros(2, np.int64)]}), "of another type than float32"),
        (pickle.dumps({"a": [np.zeros(2, ">f4")]}), "of another type than float32"),
        (pickle.dumps({"a": [np.zeros(2, "f4,f4")]}), "."),
        (pickle.dumps({"a": [np.zeros(2)]}).replace(b"\x10" + bytes(7), b"\x08" + bytes(7)), "."),
        (pickle.dumps({"a": [Odd(("a",))]}), "."),
        (pickle.dumps({"a": [Odd((10**30,))]}), "."),
        (pickle.dumps({"a": [Odd((2,))]}), "."),
        (pickle.dumps({"a": [np.zeros(2)]})[:40], "."),
        (b"}X\x01\0\0\0a]cnumpy\nndarray\n)Ras.", "of another type than float32"),  # no state
        (b"", "."),
        (b"no pickle", "."),
        (b"cbuiltins\neval\n.", "it names builtins.eval; only arrays are read"),
        (b"cnumpy\nload\n.", "it names numpy.load; only arrays are read"),
        (b"\x80\x02\x82\x01.", "."),  # an extension code
        (b"Pid\n.", "."),  # a persistent id
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "arrays.pkl"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_arrays(file)
