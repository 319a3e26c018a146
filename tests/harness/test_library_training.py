"""`saat.train` is what a trial does, and `saat.load` is what a trial leaves."""

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

import saat
from harness.trial.interface import trial_folder
from harness.trial.trial import run_trial
from saat import tensor_file
from tests.harness.tiny import context_of, shared_cache, spec_of, tiny
from tests.toy import differences, raised

DEFENSES: dict[str, dict[str, Any]] = {
    "saat": {"epochs": 2, "steps": 1, "batch_size": 40},
    "comdefend": {"epochs": 1, "batch_size": 100, "width": 0.05},
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    shared_cache(tmp_path_factory)


def trial(tmp_path: Path, method: str, reports: int | None = None) -> Path:
    """The folder of a tiny trial; of ``reports`` epochs alone where that is given."""
    space = {"defense.lr": {"float": [1e-4, 1e-2], "log": True}}
    experiment = tiny({"defense": {"method": method, **DEFENSES[method]}, "space": space})
    context, spec = context_of(experiment, tmp_path), spec_of(experiment, seed=3)
    for _ in islice(run_trial(spec, context), reports):
        pass
    return trial_folder(context, spec.trial_id)


@pytest.mark.slow
@pytest.mark.parametrize("method", DEFENSES)
def test_training_in_python_gives_the_weights_of_a_trial(tmp_path: Path, method: str) -> None:
    loaded = saat.load(trial(tmp_path, method))
    data = saat.RetrievalData.named("digits_mini", image_size=16, val_queries=40)
    options = dict(DEFENSES[method])
    network = saat.train(
        data,
        bits=16,
        defense=method,
        epochs=options.pop("epochs"),
        options=options,
        pretrain_epochs=2,
        pretrain_options={"lr": 0.3, "batch_size": 40},
        seed=3,
        device="cpu",
    )
    assert not differences(loaded.state_dict(), network.state_dict())


def test_a_loaded_network_is_ready_to_use_and_to_be_trained_further(tmp_path: Path) -> None:
    folder = trial(tmp_path, "saat")
    network = saat.load(folder)
    again = saat.load(str(folder / "model.safetensors"))
    assert not any(module.training for module in network.modules())
    assert not differences(network.state_dict(), again.state_dict())
    features = network.train()(torch.rand(4, 3, 16, 16))
    features.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("method", DEFENSES)
def test_an_unfinished_trial_has_a_network_of_its_newest_epoch(tmp_path: Path, method: str) -> None:
    folder = trial(tmp_path, method, reports=1)
    assert not (folder / "model.safetensors").exists()
    network = saat.load(folder)
    (newest,) = (folder / "checkpoint").glob("*.safetensors")
    stored, _ = tensor_file.load(newest)
    prefix = "" if method == "comdefend" else "network."
    for name, tensor in network.state_dict().items():
        assert torch.equal(stored[prefix + name], tensor)
    assert not differences(saat.load(newest).state_dict(), network.state_dict())


def test_what_is_no_trained_network_is_told_in_one_line(tmp_path: Path) -> None:
    folder = trial(tmp_path / "runs", "saat")
    model = folder / "model.safetensors"
    tensors, meta = tensor_file.load(model)

    def message(change: dict[str, Any]) -> str:
        tensor_file.save(tmp_path / "changed.safetensors", tensors, {**meta, **change})
        return raised(lambda: saat.load(tmp_path / "changed.safetensors"), saat.InputError)

    config = meta["setting"]
    assert "its setting has no section model" in message({"setting": {}})
    assert "its setting has no section model" in message({"setting": 3})
    for section, changes, expected in (
        ("model", {"bits": 17}, "not the network it says"),
        ("model", {"bits": "many"}, "not the network it says"),
        ("model", {"backbone": "smal_cnn"}, "did you mean small_cnn?"),
        ("defense", {"method": "magic"}, "setting.defense.method 'magic': one of none"),
        ("defense", {"method": None}, "setting.defense.method 'None': one of none"),
        ("data", {"image_size": 8}, "small_cnn needs at least 16"),
    ):
        told = message({"setting": {**config, section: {**config[section], **changes}}})
        assert told.startswith(f"{tmp_path / 'changed.safetensors'}: ")
        assert expected in told
        assert "\n" not in told
    (tmp_path / "half.safetensors").write_bytes(model.read_bytes()[:1000])
    told = raised(lambda: saat.load(tmp_path / "half.safetensors"), saat.InputError)
    assert "not a model that saat can trust" in told
    tensor_file.save(tmp_path / "other.safetensors", tensors, {})
    told = raised(lambda: saat.load(tmp_path / "other.safetensors"), saat.InputError)
    assert "a checkpoint of another kind" in told


def test_a_checkpoint_away_from_its_trial_is_told(tmp_path: Path) -> None:
    folder = trial(tmp_path / "runs", "saat", reports=1)
    (newest,) = (folder / "checkpoint").glob("*.safetensors")
    alone = shutil.copy(newest, tmp_path / "alone.safetensors")
    assert "another kind" in raised(lambda: saat.load(alone), saat.InputError)
    content = json.loads((folder / "config.json").read_text())
    assert content["setting"]["model"]["bits"] == 16
    (folder / "config.json").write_text("{")
    told = raised(lambda: saat.load(newest), saat.InputError)
    assert told.startswith(f"{folder / 'config.json'}: cannot be read")
