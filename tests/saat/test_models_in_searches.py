"""Weights from elsewhere in a search: refused or announced before it starts, evaluated after it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import alexnet, resnet18

from harness.session.checks import open_data
from saat.models import blank_network, build_network
from saat.tensor_file import prefixed, tensors_under
from tests import toy
from tests.harness.tiny import tiny
from tests.reference_networks import ResNetTwice
from tests.saat.data.samples import input_error, splits, write_images, write_pairs

BITS = 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    reference = ResNetTwice(resnet18(weights=None), nn.Linear(512, BITS))
    torch.save(reference.state_dict(), tmp_path / "saat.pth")
    return tmp_path / "saat.pth"


def test_what_the_file_gave_is_said(file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    model = {"model.backbone": "resnet18", "model.weights": str(file), "model.bits": BITS}
    open_data(tiny(model), str(tmp_path), said.append)
    assert said[0] == f"model.weights {file}: backbone and hash layer; images are normalised"
    plain = {"mean": torch.zeros(3), "std": torch.ones(3)}
    torch.save({**torch.load(file), **plain}, file)
    open_data(tiny(model), str(tmp_path), said.append)
    assert f"model.weights {file}: backbone and hash layer; images as they are" in said
    torch.save(resnet18(weights=None).state_dict(), file)
    open_data(tiny(model), str(tmp_path), said.append)
    assert (
        f"model.weights {file}: backbone only; the hash layer is new; images are normalised" in said
    )


def test_every_searched_code_length_has_to_fit(file: Path, tmp_path: Path) -> None:
    changes = {
        "model.backbone": "resnet18",
        "model.weights": str(file),
        "model.bits": BITS,
        "space": {"model.bits": {"choice": [BITS, 32]}},
    }
    message = input_error(lambda: open_data(tiny(changes), str(tmp_path), print))
    assert "its hash layer has 16 bits, model.bits is 32" in message


ONE = {"pretrain.batch_size": 1}
CHOICE = {"pretrain.batch_size": {"choice": [1, 32]}}
# Of these two only one has batch norm, in torchvision's structure.
BACKBONES = {
    **ONE,
    "data.image_size": 64,
    "model.backbone": "alexnet",
    "model.weights": "imagenet",
    "space": {"model.backbone": {"choice": ["alexnet", "resnet18"]}},
}


@pytest.mark.parametrize(
    "changes",
    [ONE, {"space": CHOICE}, {"compare": {"a": ONE, "b": {}}}, BACKBONES],
    ids=["given", "searched", "compared", "searched backbone"],
)
def test_batches_of_one_image_are_refused_by_their_key_before_anything_starts(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    fresh = toy.toy_network()  # nothing is downloaded
    monkeypatch.setattr("harness.session.checks.build_network", lambda *_, **__: fresh)
    message = input_error(lambda: open_data(tiny(changes), str(cache), print))
    backbone = "resnet18" if changes is BACKBONES else "small_cnn"
    assert message == f"pretrain.batch_size: 1: {backbone} has batch norm, which needs at least 2"
    assert not cache.exists()


def test_batches_of_one_image_are_fine_where_nothing_is_pretrained_or_normalised(
    tmp_path: Path,
) -> None:
    open_data(tiny({**ONE, "pretrain.epochs": 0}), str(tmp_path), print)
    torch.manual_seed(0)
    torch.save(alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    weights = {"model.backbone": "alexnet", "model.weights": str(tmp_path / "alexnet.pth")}
    open_data(tiny({**ONE, **weights, "data.image_size": 64}), str(tmp_path), print)


def test_a_single_training_image_is_refused(tmp_path: Path) -> None:
    content = splits()
    content["train"] = content["database"][:1]
    write_images(tmp_path / "set", content)
    write_pairs(tmp_path / "set", content)
    data = {"path": str(tmp_path / "set"), "image_size": 16, "val_queries": 4}
    changes = {"data": data, "evaluation.top_k": 5, "validation.queries": 4}
    message = input_error(lambda: open_data(tiny(changes), str(tmp_path / "cache"), print))
    assert "has 1 training image; at least 2" in message


@pytest.mark.parametrize("given", [True, False])
def test_a_checkpoint_finds_the_structure_its_weights_gave(given: bool, file: Path) -> None:
    """Batch norm before the code is there only where the network began from scratch."""
    weights = str(file) if given else "none"
    trained = build_network("resnet18", weights, BITS, 16, seed=0).eval()
    tensors = prefixed("network", trained.state_dict())
    file.unlink()
    images = torch.rand(3, 3, 16, 16)
    rebuilt = blank_network("resnet18", weights, BITS, 16)
    rebuilt.load_state_dict(tensors_under("network", tensors))
    with torch.no_grad():
        torch.testing.assert_close(rebuilt.eval()(images), trained(images))
