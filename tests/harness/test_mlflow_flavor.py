"""The flavour ``saat`` of MLflow's models: the network comes back, without pickle."""

from pathlib import Path

import mlflow
import mlflow.pyfunc
import pytest
import torch
import yaml
from mlflow.models import Model

import saat
from harness import mlflow_flavor
from harness.mlflow_flavor import load_model, save_model
from saat.errors import InputError
from tests.harness.test_tracking_pages import write_network
from tests.harness.tiny import tiny


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trial") / "model.safetensors"
    write_network(path, tiny().config)
    return path


@pytest.fixture
def folder(weights: Path, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", weights)
    return tmp_path / "model"


def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_network_is_that_of_the_trial_and_can_be_trained(folder: Path, weights: Path) -> None:
    network, expected = load_model(str(folder)), saat.load(weights)
    with torch.inference_mode():
        assert torch.equal(network(images()), expected(images()))
        assert torch.equal(network(images()).sign(), expected(images()).sign())
    assert not network.training
    network.train()(images()).square().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    other = load_model(str(folder))
    assert all(map(torch.equal, other.state_dict().values(), expected.state_dict().values()))


def test_a_model_has_signature_example_and_no_pickle(folder: Path) -> None:
    model = Model.load(str(folder))
    assert set(model.flavors) == {"saat", "python_function"}
    assert model.signature is not None
    assert model.signature.inputs.to_dict()[0]["tensor-spec"]["shape"] == (-1, 3, 16, 16)
    assert model.saved_input_example_info is not None
    files = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert files <= {"", ".safetensors", ".json", ".yaml", ".txt"}
    predicted = mlflow.pyfunc.load_model(str(folder)).predict({"images": images().numpy()})
    with torch.inference_mode():
        assert torch.equal(torch.from_numpy(predicted), load_model(str(folder))(images()))


def rewrite(folder: Path, flavors: dict[str, object]) -> None:
    file = folder / "MLmodel"
    content = yaml.safe_load(file.read_text())
    content["flavors"] = flavors
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    "flavors", [{"python_function": {"loader_module": "os"}}, {"saat": {}}, {"saat": {"data": 3}}]
)
def test_models_of_other_flavours_are_refused_in_a_line(
    folder: Path, flavors: dict[str, object]
) -> None:
    rewrite(folder, flavors)
    with pytest.raises(InputError, match="not a model of the flavour saat"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/hostname"])
def test_weights_outside_the_model_are_refused(folder: Path, weights: Path, name: str) -> None:
    (folder.parent / "model.safetensors").write_bytes(weights.read_bytes())
    rewrite(folder, {"saat": {"data": name}})
    with pytest.raises(InputError, match="not in its own folder"):
        load_model(str(folder))


def test_damaged_weights_are_refused(folder: Path) -> None:
    file = next(folder.rglob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        load_model(str(folder))


def test_what_a_model_says_about_itself_can_be_run() -> None:
    code = mlflow_flavor.usage("m-1").removeprefix("```python\n").removesuffix("\n```")
    compile(code, "usage", "exec")
    assert 'mlflow_flavor.load_model("models:/m-1")' in code
