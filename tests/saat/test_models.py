from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, alexnet

from saat.errors import InputError
from saat.models import (
    BACKBONES,
    HashingNetwork,
    build_network,
    check_backbone,
    codes_of,
    device_of,
    encode,
    to_float,
)
from saat.models.alexnet import AlexNet
from saat.models.network import evaluating
from tests import toy
from tests.saat.data.samples import input_error

every_backbone = pytest.mark.parametrize("name", BACKBONES)


class Channels(nn.Module):
    """A backbone that hands its input on, so that normalisation shows."""

    features_out = 3
    mean = (0.1, 0.2, 0.3)
    std = (0.5, 0.25, 0.125)
    from_scratch = False

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def test_normalisation_is_inside_the_network() -> None:
    network = HashingNetwork(Channels(), bits=3)
    with torch.no_grad():
        network.hash_layer.weight.copy_(torch.eye(3))
        network.hash_layer.bias.zero_()
    pixel = torch.tensor([0.6, 0.7, 0.05]).view(1, 3, 1, 1)
    features = network(pixel.expand(2, 3, 4, 4))
    torch.testing.assert_close(features, torch.tensor([[1.0, 2.0, -2.0]] * 2))


def test_normalisation_statistics_travel_with_the_weights() -> None:
    assert {"mean", "std"} <= HashingNetwork(Channels(), bits=3).state_dict().keys()


@every_backbone
def test_a_backbone_works_at_its_smallest_image_and_refuses_smaller_ones(name: str) -> None:
    size = BACKBONES[name].min_image_size
    network = build_network(name, "none", 12, size, seed=0).eval()
    with torch.no_grad():
        features = network(torch.rand(2, 3, size, size))
    assert features.shape == (2, 12)
    assert features.isfinite().all()
    assert len(network.backbone.mean) == len(network.backbone.std) == 3  # type: ignore[arg-type]
    message = input_error(lambda: check_backbone(name, "none", size - 1))
    assert f"image_size {size - 1}" in message
    assert str(size) in message
    # Batch norm before the code, or the pairwise losses keep a network from scratch at u = 0.
    scratch = network.backbone.from_scratch
    assert isinstance(network.code_norm, nn.BatchNorm1d if scratch else nn.Identity)
    assert BACKBONES[name].description


@pytest.mark.parametrize("size", [16, 17, 32, 50])
def test_small_cnn_takes_any_image_from_16_pixels(size: int) -> None:
    network = build_network("small_cnn", "none", 7, size, seed=0)
    assert network(torch.rand(2, 3, size, size)).shape == (2, 7)


def test_equal_seeds_give_equal_weights_and_others_others() -> None:
    torch.manual_seed(1)
    first = toy.snapshot(toy.toy_network(seed=0))
    torch.manual_seed(2)
    assert not toy.differences(first, toy.snapshot(toy.toy_network(seed=0)))
    changed = toy.differences(first, toy.snapshot(toy.toy_network(seed=1)))
    assert {"hash_layer.weight", "backbone.body.0.weight"} <= set(changed)


def test_convolutions_are_channels_last() -> None:
    weight = toy.toy_network().backbone.body[3].weight  # type: ignore[union-attr, index]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_backbone_without_published_weights_refuses_them() -> None:
    for weights in ("imagenet", "/some/file"):
        message = input_error(lambda w=weights: build_network("small_cnn", w, 8, 32, 0))  # type: ignore[misc]
        assert "small_cnn has no published weights" in message


def test_a_missing_weights_file_is_named() -> None:
    message = input_error(lambda: build_network("alexnet", "/nowhere/net.pth", 8, 224, 0))
    assert "/nowhere/net.pth" in message
    assert "no such file" in message
    assert "/nowhere/net.pth" in input_error(lambda: AlexNet("/nowhere/net.pth"))


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route\nto host")

    monkeypatch.setattr(type(AlexNet_Weights.IMAGENET1K_V1), "get_state_dict", offline)
    message = input_error(lambda: build_network("alexnet", "imagenet", 8, 224, 0))
    assert "model.weights imagenet" in message
    assert "no route" in message
    assert AlexNet_Weights.IMAGENET1K_V1.url in message


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.file,)


def test_a_file_that_is_no_state_dict_is_refused_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"evil": Evil(tmp_path / "touched")}, tmp_path / "evil.pth")
    torch.save({"features.0.weight": torch.ones(1)}, tmp_path / "other.pth")
    for file in sorted(tmp_path.glob("*.pth")):
        message = input_error(lambda f=file: build_network("alexnet", str(f), 8, 224, 0))  # type: ignore[misc]
        assert str(file) in message
        assert "not a state dict of torchvision's alexnet" in message
    assert not (tmp_path / "touched").exists()


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[nn.Module, Path]]:
    """torchvision's AlexNet and the file of its weights, which is large."""
    torch.manual_seed(3)
    net = alexnet(weights=None).eval()
    file = tmp_path / "alexnet.pth"
    torch.save(net.state_dict(), file)
    yield net, file
    file.unlink()


def test_alexnet_loads_a_file_and_equals_torchvisions_last_hidden_layer(
    published: tuple[nn.Module, Path],
) -> None:
    net, file = published
    network = build_network("alexnet", str(file), 8, 64, seed=0).eval()
    images = torch.rand(2, 3, 64, 64)
    normalised = (images - torch.tensor(AlexNet.mean).view(3, 1, 1)) / torch.tensor(
        AlexNet.std
    ).view(3, 1, 1)
    with torch.no_grad():
        hidden = torch.flatten(net.avgpool(net.features(normalised)), 1)  # type: ignore[operator]
        for layer in list(net.classifier)[:-1]:  # type: ignore[arg-type]
            hidden = layer(hidden)
        assert float(hidden.max()) > 0
        torch.testing.assert_close(
            network(images), network.hash_layer(hidden), rtol=1e-4, atol=1e-5
        )
    assert (AlexNet.mean, AlexNet.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_encoding_in_chunks_equals_encoding_at_once() -> None:
    network = toy.toy_network()
    images = torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8)
    network.eval()
    with torch.no_grad():
        whole = network(images.float() / 255)
    for batch_size in (1, 7, 50, 250):
        asked: list[slice] = []

        def part(rows: slice, asked: list[slice] = asked) -> Tensor:
            asked.append(rows)
            return images[rows]

        features = encode(network, part, 50, batch_size)
        torch.testing.assert_close(features, whole, rtol=1e-4, atol=1e-5)
        assert [rows.stop - rows.start for rows in asked[:-1]] == [batch_size] * (len(asked) - 1)
        assert asked[-1].stop == 50


def test_encoding_works_in_evaluation_mode_and_leaves_modes_and_statistics() -> None:
    network = toy.toy_network().train()
    network.code_norm.eval()
    modes = [module.training for module in network.modules()]
    before = toy.snapshot(network)
    images = torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8)
    features = encode(network, lambda rows: images[rows], 50)
    assert not features.requires_grad
    assert [module.training for module in network.modules()] == modes
    assert not toy.differences(before, toy.snapshot(network))


def test_modes_come_back_after_a_failure() -> None:
    network = toy.toy_network().train()

    def fails() -> None:
        with evaluating(network):
            assert not any(module.training for module in network.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert all(module.training for module in network.modules())


def test_bytes_become_fractions_in_channels_last() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    floats = to_float(images, torch.device("cpu"))
    torch.testing.assert_close(floats[0, :, 0, 0], torch.tensor([0.0, 0.2, 1.0]))
    assert floats.is_contiguous(memory_format=torch.channels_last)


def test_codes_are_signs_in_one_byte() -> None:
    codes = codes_of(torch.tensor([[-0.1, 0.0, 3.0]]))
    assert codes.tolist() == [[-1, 1, 1]]
    assert codes.dtype == torch.int8


def test_the_device_is_that_of_parameters_or_buffers_or_the_cpu() -> None:
    bare = nn.Module()
    assert device_of(bare) == torch.device("cpu")
    bare.register_buffer("b", torch.zeros(1, device="meta"))
    assert device_of(bare) == torch.device("meta")
    assert device_of(nn.Linear(1, 1)) == torch.device("cpu")


def test_input_errors_are_value_errors() -> None:
    assert issubclass(InputError, ValueError)
