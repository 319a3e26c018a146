"""Folded networks against the plain ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saat.models import HashingNetwork, build_network, folded
from saat.models.strided_conv import StridedConv, is_strided

SIDES = dict.fromkeys(("small_cnn", "resnet18", "efficientnet_lite0", "squeezenet1_1", "vgg11"), 32)


def parts(found: HashingNetwork) -> Any:
    return found.backbone


def network(name: str, side: int) -> HashingNetwork:
    """With batch statistics that are far from those of a fresh network."""
    found = build_network(name, "none", 12, side, 0).eval()
    draws = torch.Generator().manual_seed(1)
    for module in found.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2, generator=draws)
            module.running_var.uniform_(0.5, 2, generator=draws)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=draws)
            nn.init.normal_(module.bias, 0, 0.2, generator=draws)
    return found.requires_grad_(False).double()


def drawn(side: int) -> Tensor:
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(2))
    return images.double().contiguous(memory_format=torch.channels_last)


def gradient(net: nn.Module, images: Tensor) -> Tensor:
    point = images.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(net(point).square().sum(), point)
    return found


@pytest.mark.lengthy
@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("more", [0, 5])
def test_features_and_input_gradients_are_those_of_the_plain_network(name: str, more: int) -> None:
    side = SIDES[name] + more
    plain, images = network(name, side), drawn(side)
    fast = folded(plain)
    left = [m for m in fast.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert not left
    torch.testing.assert_close(fast(images), plain(images))
    torch.testing.assert_close(gradient(fast, images), gradient(plain, images))


def test_the_plain_network_is_left_as_it_was_and_the_folded_one_keeps_its_weights() -> None:
    plain, images = network("small_cnn", 32), drawn(32)
    before, features = {k: v.clone() for k, v in plain.state_dict().items()}, plain(images)
    fast = folded(plain)
    after = plain.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    plain.requires_grad_(True)
    assert torch.equal(plain(images), features)
    plain.hash_layer.weight.data.mul_(2)
    parts(plain).body[1].running_mean.add_(1)
    torch.testing.assert_close(fast(images), features)


def test_batch_norm_in_training_mode_stays() -> None:
    plain, images = network("resnet18", 32).train(), drawn(32)
    plain.backbone.eval()
    fast = folded(plain)
    assert isinstance(fast.code_norm, nn.BatchNorm1d)
    assert fast.code_norm.training
    torch.testing.assert_close(fast(images), plain(images))


class Own(HashingNetwork):
    """A user's own forward pass."""


def test_networks_of_a_user_are_left_as_they_are() -> None:
    backbone = parts(network("small_cnn", 32))
    for own in (nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).eval(), Own(backbone, 4)):
        assert folded(own) is own
    backbone.folds = False
    unmarked = HashingNetwork(backbone, 4)
    assert folded(unmarked) is unmarked


@pytest.mark.parametrize("side", [16, 18, 32, 35])
def test_a_patch_convolution_is_a_convolution(side: int) -> None:
    layer = parts(network("small_cnn", 32)).body[0].requires_grad_(True)
    images = drawn(side)

    def of(function: Callable[[Tensor], Tensor]) -> list[Tensor]:
        point = images.clone().requires_grad_(True)
        out = function(point)
        return [out, *torch.autograd.grad(out.square().sum(), [point, layer.weight])]

    found = of(layer)
    expected = of(lambda x: F.conv2d(x, layer.weight, stride=4))
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("kernel", [1, 3, 4, 7, 11])
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("sides", [(24, 24), (25, 31)])
def test_a_strided_convolution_has_the_features_and_the_input_gradient_of_its_layer(
    kernel: int, stride: int, padding: int, sides: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, kernel, stride, padding, bias=kernel != 4).double()
    images = torch.rand(2, 3, *sides, dtype=torch.float64)
    images = images.contiguous(memory_format=torch.channels_last)
    fast = StridedConv(layer)
    assert torch.equal(fast(images), layer(images))
    torch.testing.assert_close(gradient(fast, images), gradient(layer, images))


def test_only_plain_strided_convolutions_are_replaced() -> None:
    others = (
        nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3, 2, groups=3), nn.Conv2d(3, 6, 3, 2, dilation=2),
        nn.Conv2d(3, 6, 3, (1, 2)), nn.Conv2d(3, 6, (3, 2), 2), nn.Conv2d(3, 6, 3, 2, (0, 1)),
        nn.Conv2d(3, 6, 3, 2, 1, padding_mode="reflect"), nn.Conv2d(3, 6, 3, 2, "valid"),
        nn.Linear(3, 6), nn.Conv2d(3, 6, 3, 2, device="meta"),
    )  # fmt: skip
    assert not any(map(is_strided, others))
    assert is_strided(nn.Conv2d(3, 6, 3, 2, 1))
    strided = {"resnet18": 1, "squeezenet1_1": 1, "efficientnet_lite0": 0, "small_cnn": 0}
    for name, replaced in strided.items():
        fast = folded(network(name, SIDES[name]))
        assert sum(isinstance(module, StridedConv) for module in fast.modules()) == replaced


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_in_another_precision_the_gradient_is_as_near_as_that_of_the_plain_network(
    name: str,
) -> None:
    plain = network(name, 32).float()
    images = drawn(32).float()
    exact = gradient(plain, images)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = (gradient(net, images) for net in (folded(plain), plain))
    assert found.dtype == torch.float32
    assert (found - exact).norm() < 1.5 * (expected - exact).norm()
