"""Weights from elsewhere: published files, the reference repositories' networks, bad files."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision.models
from torch import Tensor, nn

from saat.models import BACKBONES, build_network
from saat.models.reference_weights import convert
from saat.models.torchvision_backbones import HEADS
from tests.reference_networks import LAYOUTS, UNNORMALISED, NamedClassifier, ResNetTwice
from tests.saat.data.samples import input_error

BITS = 12
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def torchvision_net(name: str, meta: bool = False) -> nn.Module:
    torch.manual_seed(3)
    with torch.device("meta" if meta else "cpu"):
        net: nn.Module = getattr(torchvision.models, name)(weights=None)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d) and not meta:
            part.running_mean = torch.rand_like(part.weight)
    return net.eval()


def module_on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return BACKBONES[name].build(False)


def tiny(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same names and shapes; each tensor is one number of its own, repeated."""
    return {
        key: torch.tensor(float(i + 1)).expand(part.shape)
        for i, (key, part) in enumerate(state.items())
    }


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Large files do not stay."""
    path = tmp_path / "net.pth"
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def nets() -> dict[str, nn.Module]:
    return {}


def features_of(net: nn.Module, name: str) -> int:
    head = net.get_submodule(HEADS[name])
    assert isinstance(head, nn.Linear)
    return head.in_features


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    [pytest.param(n, marks=pytest.mark.lengthy) if "VGG" in n else n for n in LAYOUTS],
)
def test_a_reference_network_gives_its_own_codes(
    layout: str, nets: dict[str, nn.Module], file: Path
) -> None:
    name, arrange = LAYOUTS[layout]
    net = nets[name] if name in nets else nets.setdefault(name, torchvision_net(name))
    reference = arrange(net, nn.Linear(features_of(net, name), BITS)).eval()
    torch.save(reference.state_dict(), file)
    network = build_network(name, str(file), BITS, 224, seed=0).eval()
    assert network.hash_layer_imported
    images = torch.rand(1, 3, 224, 224)
    given = images if layout in UNNORMALISED else (images - MEAN) / STD
    with torch.no_grad():
        torch.testing.assert_close(network(images), reference(given), rtol=1e-3, atol=1e-4)
    assert all(part.requires_grad for part in network.parameters())
    weight = next(p for p in network.modules() if isinstance(p, nn.Conv2d)).weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_tensor_finds_its_place(layout: str) -> None:
    """By value, without the memory: every tensor of the file has a number of its own."""
    name, arrange = LAYOUTS[layout]
    net = torchvision_net(name, meta=True)
    with torch.device("meta"):
        layer = nn.Linear(features_of(net, name), BITS)
    whole = {**net.state_dict(keep_vars=True), "h.weight": layer.weight, "h.bias": layer.bias}
    number = {id(part): float(i + 1) for i, part in enumerate(whole.values())}
    state = arrange(net, layer).state_dict(keep_vars=True)
    file = {key: torch.tensor(number.get(id(p), -1.0)).expand(p.shape) for key, p in state.items()}
    ours = convert(file, module_on_meta(name))
    for i, key in enumerate(net.state_dict()):
        if not key.startswith(f"{HEADS[name]}."):
            assert float(ours.pop(f"backbone.net.{key}").flatten()[0]) == i + 1, key
    if layout in UNNORMALISED:
        assert ours.pop("mean").flatten().tolist() == [0, 0, 0]
        assert ours.pop("std").flatten().tolist() == [1, 1, 1]
    assert {key: float(part.flatten()[0]) for key, part in ours.items()} == {
        "hash_layer.weight": len(whole) - 1,
        "hash_layer.bias": len(whole),
    }


def test_a_hash_layer_of_another_length_names_both(file: Path) -> None:
    reference = NamedClassifier(torchvision_net("alexnet", meta=True), nn.Linear(4096, 48))
    torch.save(tiny(reference.state_dict()), file)
    message = input_error(lambda: build_network("alexnet", str(file), 32, 224, 0))
    assert message == f"model.weights {file}: its hash layer has 48 bits, model.bits is 32"
    assert build_network("alexnet", str(file), 48, 224, 0).hash_layer_imported


@pytest.mark.parametrize("name", HEADS)
def test_torchvisions_file_gives_the_backbone_and_a_new_hash_layer(name: str, file: Path) -> None:
    state = tiny(torchvision_net(name, meta=True).state_dict())
    torch.save(OrderedDict(state), file)
    network = build_network(name, str(file), BITS, 224, seed=0)
    assert not network.hash_layer_imported
    assert isinstance(network.code_norm, nn.Identity)
    for key, part in network.backbone.state_dict().items():
        assert bool((part == state[key.removeprefix("net.")]).all()), key
    again, other = (build_network(name, str(file), BITS, 224, seed=s).hash_layer for s in (0, 1))
    assert torch.equal(network.hash_layer.weight, again.weight)
    assert not torch.equal(network.hash_layer.weight, other.weight)
    torch.testing.assert_close(network.mean, MEAN)
    torch.testing.assert_close(network.std, STD)


def test_the_last_layer_before_classes_equals_torchvisions(file: Path) -> None:
    net = torchvision_net("alexnet")
    torch.save(net.state_dict(), file)
    network = build_network("alexnet", str(file), 8, 64, seed=0).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        hidden = torch.flatten(net.avgpool(net.features((images - MEAN) / STD)), 1)  # type: ignore[operator]
        for layer in list(net.classifier)[:-1]:  # type: ignore[arg-type]
            hidden = layer(hidden)
        assert float(hidden.max()) > 0
        torch.testing.assert_close(
            network(images), network.hash_layer(hidden), rtol=1e-4, atol=1e-5
        )


def resnet_file(**changes: Tensor) -> dict[str, Tensor]:
    return {**tiny(torchvision_net("resnet18", meta=True).state_dict()), **changes}


def test_normalisation_in_the_file_replaces_ours(file: Path) -> None:
    torch.save(resnet_file(mean=torch.zeros(3), std=torch.ones(3, 1, 1)), file)
    network = build_network("resnet18", str(file), BITS, 64, seed=0)
    assert torch.equal(network.mean, torch.zeros(1, 3, 1, 1))
    assert torch.equal(network.std, torch.ones(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("name", "around", "told"),
    [
        ("alexnet", lambda net: net, True),
        ("alexnet", nn.DataParallel, True),
        ("alexnet", nn.Sequential, False),  # HashNet's
        ("vgg11", lambda net: net, False),  # CgAT's VGGFc normalises inside
    ],
)
def test_only_an_alexnetfc_outside_a_sequential_tells_that_it_takes_images_as_they_are(
    name: str, around: Callable[[nn.Module], nn.Module], told: bool
) -> None:
    net = NamedClassifier(torchvision_net(name, meta=True), nn.Linear(4096, BITS))
    found = convert(tiny(around(net).state_dict()), module_on_meta(name))
    assert ("mean" in found, "std" in found) == (told, told)


def test_normalisation_in_the_file_counts_more_than_that_of_its_layout(file: Path) -> None:
    """HashNet's AlexNetFc taken out of its Sequential looks like CgAT's."""
    reference = NamedClassifier(torchvision_net("alexnet", meta=True), nn.Linear(4096, BITS))
    torch.save({**tiny(reference.state_dict()), "mean": MEAN, "std": STD}, file)
    network = build_network("alexnet", str(file), BITS, 224, seed=0)
    assert torch.equal(network.mean, MEAN)
    assert torch.equal(network.std, STD)


def test_cgats_resnetfc_gives_its_own_codes_with_mean_and_std_in_the_file(
    nets: dict[str, nn.Module], file: Path
) -> None:
    net = nets.setdefault("resnet18", torchvision_net("resnet18"))
    reference = ResNetTwice(net, nn.Linear(512, BITS)).eval()
    torch.save({**reference.state_dict(), "mean": torch.zeros(3), "std": torch.ones(3)}, file)
    network = build_network("resnet18", str(file), BITS, 64, seed=0).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images), reference(images), rtol=1e-3, atol=1e-4)


def test_old_files_without_counters_and_half_precision_load(file: Path) -> None:
    state = {k: v.half() for k, v in resnet_file().items() if not k.endswith("_tracked")}
    state["conv1.weight"] = nn.Parameter(state["conv1.weight"].clone())
    torch.save(state, file)
    network = build_network("resnet18", str(file), BITS, 64, seed=0)
    floats = [part for part in network.state_dict().values() if part.is_floating_point()]
    assert {part.dtype for part in floats} == {torch.float32}
    assert int(network.state_dict()["backbone.net.bn1.num_batches_tracked"]) == 0


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda s: {}, "not a state dict"),
        (lambda s: [1], "a list, not a state dict"),
        (lambda s: {"epoch": 3, **s}, "'epoch' holds a int, not a tensor"),
        (lambda s: {"state_dict": s}, "'state_dict' holds a dict"),
        (lambda s: {**s, "attention.weight": torch.ones(1)}, "it has attention.weight"),
        (lambda s: {k: v for k, v in s.items() if "layer4.1" not in k}, "layer4.1.conv1.weight"),
        (lambda s: {**s, "conv1.weight": torch.ones(64, 3, 3, 3)}, "(64, 3, 3, 3), not (64, 3, 7"),
        (lambda s: {**s, "module.conv1.weight": s["conv1.weight"]}, "there twice"),
        (lambda s: {**s, "mean": torch.ones(2)}, "mean is (1, 2, 1, 1), not (1, 3, 1, 1)"),
        (lambda s: {**s, "hash_layer.weight": torch.ones(8, 512)}, "it lacks hash_layer.bias"),
        (
            lambda s: {
                **s,
                "hash_layer.weight": torch.ones(8, 9),
                "hash_layer.bias": torch.ones(8),
            },
            "hash_layer.weight is (8, 9), not (8, 512)",
        ),
        (
            lambda s: {**s, "hash_layer.weight": torch.ones(()), "hash_layer.bias": torch.ones(())},
            "hash_layer.weight is ()",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused_in_one_line(
    change: Callable[[dict[str, Tensor]], object], wanted: str, file: Path
) -> None:
    torch.save(change(resnet_file()), file)
    message = input_error(lambda: build_network("resnet18", str(file), BITS, 64, 0))
    assert message.startswith(f"model.weights {file}: not a state dict of resnet18 (")
    assert wanted in message


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("resnet18", "resnet34"),
        ("resnet50", "resnet18"),
        ("vgg11", "vgg16"),
        ("vgg16", "vgg19"),
        ("vgg19", "vgg16"),
        ("vgg16", "vgg16_bn"),
        ("alexnet", "vgg11"),
        ("efficientnet_lite0", "resnet18"),
        ("squeezenet1_1", "squeezenet1_1"),  # torchvision's, without padding: another network
    ],
)
def test_another_architectures_file_is_refused(name: str, other: str, file: Path) -> None:
    """ResNet34 has everything ResNet18 has, and more: no part of a file may be left over."""
    torch.save(tiny(torchvision_net(other, meta=True).state_dict()), file)
    message = input_error(lambda: build_network(name, str(file), BITS, 224, 0))
    assert f"{file}: not a state dict of {name}" in message


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.file,)


def test_pickled_objects_are_refused_without_running_them(tmp_path: Path) -> None:
    torch.save({"evil": Evil(tmp_path / "touched")}, tmp_path / "evil.pth")
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "module.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for file in sorted(tmp_path.glob("*.pth")):
        message = input_error(lambda f=file: build_network("alexnet", str(f), 8, 224, 0))  # type: ignore[misc]
        assert message.startswith(f"model.weights {file}: a pickled module")
        assert "torch.save(module.state_dict(), FILE)" in message
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 broken", b"\x80\x02."])
def test_a_file_of_another_kind_is_refused(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    message = input_error(lambda: build_network("alexnet", str(file), 8, 224, 0))
    assert message.startswith(f"model.weights {file}: not a state dict of alexnet (")


def test_a_missing_weights_file_is_named() -> None:
    message = input_error(lambda: build_network("alexnet", "/nowhere/net.pth", 8, 224, 0))
    assert message == "model.weights /nowhere/net.pth: no such file; none, imagenet or a path"


@pytest.mark.parametrize("name", HEADS)
def test_a_failed_download_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published = torchvision.models.get_model_weights(name).IMAGENET1K_V1

    def offline(*_: object, **options: object) -> None:
        assert options["weights_only"] is True
        raise URLError("no route\nto host")

    monkeypatch.setattr(type(published), "get_state_dict", offline)
    message = input_error(lambda: build_network(name, "imagenet", 8, 224, 0))
    assert message.startswith("model.weights imagenet: the download of")
    assert "no route" in message
    assert published.url in message
    assert "give the path of that file, or none" in message


def test_a_download_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    published = torchvision.models.get_model_weights("resnet18").IMAGENET1K_V1
    monkeypatch.setattr(type(published), "get_state_dict", lambda *_, **__: resnet_file())
    network = build_network("resnet18", "imagenet", BITS, 64, seed=0)
    assert bool((network.state_dict()["backbone.net.conv1.weight"] == 1).all())
    assert not network.hash_layer_imported
