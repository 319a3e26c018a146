"""Checkpoints of a stage when the disk fills up or the writer is killed half way."""

import errno
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from safetensors import SafetensorError

from saat import checkpoints
from saat.pretrain import Pretraining, PretrainSettings
from tests import toy

DATA = toy.toy_data()


def training() -> Pretraining:
    settings = PretrainSettings(epochs=4, lr=0.02)
    return Pretraining(toy.toy_network(), toy.toy_objective(DATA), DATA, settings, seed=0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def half_written(tensors: Any, file: Path, metadata: Any) -> None:
    Path(file).write_bytes(b"half")
    raise SafetensorError(f"Error while serializing: I/O error (os error {errno.ENOSPC})")


def test_a_full_disk_keeps_the_checkpoints_there_were_and_the_stage_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training()
    for _ in range(2):
        run.run_epoch()
        checkpoints.write(tmp_path, *run.state({"epochs": run.epoch}))
    run.run_epoch()
    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", half_written)
        with pytest.raises(OSError, match="No space left") as full:
            checkpoints.write(tmp_path, *run.state({}))
    assert full.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["epoch-00001.safetensors", "epoch-00002.safetensors"]
    again = training()
    assert checkpoints.restore_newest(again, tmp_path) == {
        "epochs": 2,
        "stage": "pretrain",
        "epoch": 2,
    }
    again.run_epoch()
    assert not toy.differences(toy.snapshot(again.network), toy.snapshot(run.network))
    checkpoints.write(tmp_path, *again.state({}))
    assert names(tmp_path) == ["epoch-00002.safetensors", "epoch-00003.safetensors"]


def test_half_a_checkpoint_of_a_killed_writer_is_neither_taken_nor_kept(tmp_path: Path) -> None:
    run = training()
    run.run_epoch()
    checkpoints.write(tmp_path, *run.state({}))
    whole = (tmp_path / "epoch-00001.safetensors").read_bytes()
    (tmp_path / ".4711.epoch-00002.safetensors").write_bytes(whole[:-9])
    (tmp_path / ".4712.epoch-00009.safetensors").write_bytes(whole)
    again = training()
    meta = checkpoints.restore_newest(again, tmp_path)
    assert meta is not None
    assert again.epoch == 1
    assert names(tmp_path) == ["epoch-00001.safetensors"]
    checkpoints.delete(tmp_path)
    assert not tmp_path.exists()


def test_a_damaged_newest_checkpoint_costs_its_epoch_and_all_damaged_the_stage(
    tmp_path: Path,
) -> None:
    run = training()
    for _ in range(2):
        run.run_epoch()
        checkpoints.write(tmp_path, *run.state({}))
    (tmp_path / "epoch-00002.safetensors").write_bytes(b"half")
    again = training()
    assert checkpoints.restore_newest(again, tmp_path) is not None
    assert again.epoch == 1
    (tmp_path / "epoch-00001.safetensors").write_bytes(b"")
    fresh = training()
    assert checkpoints.restore_newest(fresh, tmp_path) is None
    assert fresh.epoch == 0
    assert names(tmp_path) == []
    assert checkpoints.restore_newest(training(), tmp_path / "nothing") is None
