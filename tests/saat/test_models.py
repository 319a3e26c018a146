import pytest
import torch
from torch import Tensor, nn

from saat.errors import InputError
from saat.models import (
    HashingNetwork,
    build_network,
    codes_of,
    device_of,
    encode,
    to_float,
)
from saat.models.network import evaluating
from tests import toy
from tests.saat.data.samples import input_error


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


@pytest.mark.parametrize("size", [16, 17, 32, 50])
def test_small_cnn_takes_any_image_from_16_pixels(size: int) -> None:
    network = build_network("small_cnn", "none", 7, size, seed=0)
    assert network(torch.rand(2, 3, size, size)).shape == (2, 7)


def test_a_backbone_without_published_weights_refuses_them() -> None:
    for weights in ("imagenet", "/some/file"):
        message = input_error(lambda w=weights: build_network("small_cnn", w, 8, 32, 0))  # type: ignore[misc]
        assert "small_cnn has no published weights" in message


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
