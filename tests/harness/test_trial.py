"""One trial end to end on the tiny experiment: interrupted anywhere, it is the same trial."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from harness.experiment.config import Experiment
from harness.experiment.configs import config_at, undefended
from harness.experiment.protocols import full_protocol
from harness.experiment.sections import EvaluationSection
from harness.trial.interface import EpochReport, FinalReport, TrialContext, TrialSpec, trial_folder
from harness.trial.records import read_record, record_of
from harness.trial.stages import trial_data
from harness.trial.trial import run_trial
from saat import tensor_file
from saat.defenses import SaatTraining
from saat.errors import InputError
from saat.models import build_network, codes_of, encode
from saat.pretrain import Pretraining
from saat.protocol import evaluate
from saat.retrieval import average_precision
from tests.harness.tiny import context_of, spec_of, tiny

Reports = list[EpochReport | FinalReport]


def timeless(reports: Reports) -> list[dict[str, Any]]:
    """Reports without their clocks."""
    clocks = ("seconds", "cost_s", "stages")
    return [{k: v for k, v in asdict(report).items() if k not in clocks} for report in reports]


def take(reports: Iterator[EpochReport | FinalReport], count: int) -> Reports:
    """The first reports, and then the trial dies."""
    out = list(islice(reports, count))
    reports.close()  # type: ignore[attr-defined]
    return out


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return tiny({"defense.epochs": 3})


@pytest.fixture(scope="module")
def finished(
    experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrialContext, TrialSpec, Reports]:
    """An undisturbed trial, to be looked at only."""
    context = context_of(experiment, tmp_path_factory.mktemp("runs"))
    spec = spec_of(experiment)
    return context, spec, list(run_trial(spec, context))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_reports_are_every_epoch_and_the_end(finished: Any) -> None:
    context, spec, reports = finished
    *epochs, final = reports
    assert [report.epoch for report in epochs] == [1, 2, 3]
    assert isinstance(final, FinalReport)
    assert final.epochs == 3
    for report in epochs:
        assert {"train/loss", "val/clean_map", "val/robust_map", "val/zero_grad"} <= set(
            report.metrics
        )
        assert report.metrics["val/robust_map"] <= report.metrics["val/clean_map"]
    costs = [report.cost_s for report in reports]
    assert costs == sorted(costs)
    assert all(name.startswith("reattack/") for name in final.metrics)
    folder = trial_folder(context, spec.trial_id)
    assert json.loads((folder / "config.json").read_text()) == spec.dump()
    assert not (folder / "checkpoint").exists()
    history = json.loads((folder / "result.json").read_text())["history"]
    assert history == [asdict(report) for report in epochs]


def test_exploring_measures_validation_queries_and_keeps_no_images(finished: Any) -> None:
    context, spec, reports = finished
    folder = trial_folder(context, spec.trial_id)
    table = pd.read_parquet(folder / "per_query.parquet")
    data = trial_data(config_at(tiny(), {}), context.cache_dir)
    assert set(table.attack) == {"clean", "mainstay", "hag", "worst"}
    assert (table.groupby("attack").size() == len(data.validation)).all()
    means = table.groupby("attack")["ap"].mean()
    metrics = reports[-1].metrics
    assert means["clean"] == pytest.approx(metrics["reattack/clean_map"], abs=1e-12)
    assert means["worst"] == pytest.approx(metrics["reattack/robust_map"], abs=1e-12)
    assert not {"adversarial.npz", "histograms.npz", "examples.npz"} & files(folder)


def test_a_trial_that_dies_at_every_report_ends_the_same(
    finished: Any, tmp_path: Path, experiment: Experiment
) -> None:
    _, spec, expected = finished
    context = context_of(experiment, tmp_path)
    for count in range(1, len(expected) + 1):
        assert timeless(take(run_trial(spec, context), count)) == timeless(expected[:count])
    again = list(run_trial(spec, context))
    assert timeless(again) == timeless(expected)
    costs = [report.cost_s for report in again]
    assert costs == sorted(costs)


@pytest.mark.slow
def test_a_trial_with_averaged_weights_and_its_best_epoch_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it dies after its last epoch, before the best one is deployed."""
    robust = {1: 0.3, 2: 0.4, 3: 0.1}
    judge = SaatTraining.judge

    def told(run: SaatTraining, metrics: Mapping[str, float]) -> dict[str, float]:
        assert 0 < metrics["val/chance_map"] < 1
        known = {"val/clean_map": 0.5, "val/robust_map": robust[run.epoch], "val/chance_map": 0.0}
        return judge(run, known)

    monkeypatch.setattr(SaatTraining, "judge", told)
    experiment = tiny({"defense.epochs": 3, "defense.ema": 0.9, "defense.select": "best"})
    spec = spec_of(experiment)
    whole, killed = (context_of(experiment, tmp_path / name) for name in ("whole", "killed"))
    expected = list(run_trial(spec, whole))
    assert [report.metrics["train/best_epoch"] for report in expected[:3]] == [1, 2, 2]
    folder = trial_folder(killed, spec.trial_id)
    for count in (1, 3):
        take(run_trial(spec, killed), count)
    last, meta = tensor_file.load(folder / "checkpoint" / "epoch-00003.safetensors")
    assert meta["best"] == {"epoch": 2, "score": 0.2}
    assert timeless(list(run_trial(spec, killed))) == timeless(expected)
    models = [
        tensor_file.load(trial_folder(context, spec.trial_id) / "model.safetensors")[0]
        for context in (whole, killed)
    ]
    for stored in models:
        key = "hash_layer.weight"
        assert torch.equal(stored[f"network.{key}"], last[f"best.{key}"])
        assert not torch.equal(stored[f"network.{key}"], last[f"average.{key}"])
        assert not torch.equal(last[f"network.{key}"], last[f"average.{key}"])


@pytest.mark.slow
def test_a_truncated_newest_checkpoint_costs_one_epoch(
    finished: Any, tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, spec, expected = finished
    context = context_of(experiment, tmp_path)
    take(run_trial(spec, context), 2)
    newest = trial_folder(context, spec.trial_id) / "checkpoint" / "epoch-00002.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    trained = count_epochs(monkeypatch)
    assert timeless(list(run_trial(spec, context))) == timeless(expected)
    assert trained == [("saat", 1), ("saat", 2)]


def count_epochs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(stage, epoch) of every epoch that is trained from now on."""
    from saat.training import Training

    original = Training.run_epoch
    seen: list[tuple[str, int]] = []

    def counting(self: Any, progress: Any = None) -> dict[str, float]:
        seen.append((self.stage, self.epoch))
        return original(self, progress)

    monkeypatch.setattr(Training, "run_epoch", counting)
    return seen


def test_restored_epochs_are_not_trained_again(
    finished: Any, tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, spec, _ = finished
    context = context_of(experiment, tmp_path)
    trained = count_epochs(monkeypatch)
    take(run_trial(spec, context), 2)
    assert trained == [("pretrain", 0), ("pretrain", 1), ("saat", 0), ("saat", 1)]
    trained.clear()
    take(run_trial(spec, context), 3)
    assert trained == [("saat", 2)]


def test_a_trial_that_dies_between_checkpoints_repeats_epochs_to_the_same_bits(
    finished: Any, tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, spec, expected = finished
    rarely = experiment.resources.model_copy(update={"checkpoint_seconds": 3600})
    context = replace(context_of(experiment, tmp_path), resources=rarely)
    trained = count_epochs(monkeypatch)
    for count in (1, 3):
        assert timeless(take(run_trial(spec, context), count)) == timeless(expected[:count])
    repeated = [("saat", 0), ("saat", 1), ("saat", 2)]
    assert trained == [("pretrain", 0), ("pretrain", 1), ("saat", 0), *repeated]
    trained.clear()
    assert timeless(list(run_trial(spec, context))) == timeless(expected)
    assert trained == [], "the last epoch of a stage is durable before it is reported"


def test_seconds_by_stage_cover_a_trial_and_are_those_of_its_kept_epochs(
    finished: Any, tmp_path: Path, experiment: Experiment
) -> None:
    context, spec, reports = finished
    *epochs, final = reports
    assert epochs[0].stages.keys() == {
        "decode",
        "waiting_for_model",
        "pretraining",
        "checkpoint",
        "encode",
        "outer_step",
        "inner_pgd",
        "validation",
    }
    assert "pretraining" not in epochs[1].stages
    for report in epochs:
        work = sum(report.stages[s] for s in ("outer_step", "inner_pgd", "validation"))
        assert 0 < work <= report.seconds
    laps = [report.stages.get("outer_step", 0.0) for report in epochs]
    assert final.stages["outer_step"] == pytest.approx(sum(laps))
    assert {"reattack", "files"} <= final.stages.keys()
    assert sum(final.stages.values()) > 0.7 * final.cost_s
    folder = trial_folder(context, spec.trial_id)
    assert json.loads((folder / "result.json").read_text())["stages"] == final.stages
    context = context_of(experiment, tmp_path)
    take(run_trial(spec, context), 1)
    *again, ended = run_trial(spec, context)
    assert "pretraining" not in again[1].stages, "another attempt's pretraining counts once"
    assert ended.stages["pretraining"] == again[0].stages["pretraining"]


def test_pretraining_that_dies_continues_from_its_last_epoch(
    finished: Any, tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, spec, expected = finished
    context = context_of(experiment, tmp_path)
    original = Pretraining.run_epoch

    def dies(self: Any, progress: Any = None) -> dict[str, float]:
        if self.epoch == 1:
            raise KeyboardInterrupt
        return original(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "run_epoch", dies)
        with pytest.raises(KeyboardInterrupt):
            list(run_trial(spec, context))
    trained = count_epochs(monkeypatch)
    assert timeless(list(run_trial(spec, context))) == timeless(expected)
    assert trained[0] == ("pretrain", 1)


def test_a_disk_that_is_full_when_the_pretrained_model_is_written_costs_no_epoch_of_it(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, spec = context_of(experiment, tmp_path), spec_of(experiment)

    save = tensor_file.save

    def full(path: Path, *rest: Any) -> None:
        if path.name == "model.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(path, *rest)

    trained = count_epochs(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(tensor_file, "save", full)
        with pytest.raises(OSError, match="No space left"):
            take(run_trial(spec, context), 1)
    assert trained == [("pretrain", 0), ("pretrain", 1)]
    take(run_trial(spec, context), 1)
    assert trained[2:] == [("saat", 0)]
    (model,) = (tmp_path / "pretrained").glob("*/model.safetensors")
    assert not list(model.parent.glob("epoch-*")), "what is safe elsewhere is not kept"


def test_a_builder_that_was_taken_for_dead_writes_no_further_checkpoint(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, spec = context_of(experiment, tmp_path), spec_of(experiment)

    class Ended(BaseException):
        """Instead of the process."""

    def end(folder: Path) -> None:
        raise Ended(folder)

    def overtake(text: str) -> None:
        if text.startswith("pretrain epoch 2"):
            (claims,) = (tmp_path / "pretrained").glob("*/.lease")
            (claims / "9.lock").touch()

    monkeypatch.setattr("harness.trial.lease.end_process", end)
    monkeypatch.setattr("harness.trial.lease.BEAT_S", 60.0)  # only the look before a write is left
    with pytest.raises(Ended):
        list(run_trial(spec, context, overtake))
    written = [path.name for path in (tmp_path / "pretrained").glob("*/*.safetensors")]
    assert written == ["epoch-00001.safetensors"]


def test_a_finished_trial_is_told_from_its_result_without_any_work(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, spec, expected = finished

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("worked again")

    monkeypatch.setattr("harness.trial.trial.TrialAttempt", never)
    assert list(run_trial(spec, context)) == expected


def test_a_worker_with_other_data_than_the_driver_trains_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    context = replace(context_of(experiment, tmp_path), data_fingerprint="the driver's")
    spec = spec_of(experiment)
    with pytest.raises(InputError, match="are not the driver's; the same files"):
        next(run_trial(spec, context))
    assert not (tmp_path / "pretrained").exists()


def test_other_weights_of_the_loss_share_the_pretrained_model(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(experiment, tmp_path)
    trained = count_epochs(monkeypatch)
    first = take(run_trial(spec_of(experiment), context), 1)
    trained.clear()
    second = spec_of(experiment, {"defense.lambda": 5.0, "defense.eps": 0.01})
    reports = take(run_trial(second, context), 1)
    assert trained == [("saat", 0)]
    assert reports[0].cost_s == pytest.approx(reports[0].seconds)  # type: ignore[union-attr]
    assert first[0].cost_s > first[0].seconds  # type: ignore[union-attr]
    assert timeless(reports) != timeless(first)
    other_seed = spec_of(experiment, seed=1)
    trained.clear()
    take(run_trial(other_seed, context), 1)
    assert trained == [("pretrain", 0), ("pretrain", 1), ("saat", 0)]


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_pretrained_model_is_trained_again(
    finished: Any,
    tmp_path: Path,
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    _, spec, expected = finished
    context = context_of(experiment, tmp_path)
    take(run_trial(spec, context), 1)
    (model,) = (tmp_path / "pretrained").glob("*/model.safetensors")
    content = model.read_bytes()
    damaged = {
        "truncated": content[:-20],
        "flipped": content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
    }
    model.write_bytes(damaged[damage])
    shutil.rmtree(trial_folder(context, spec.trial_id))
    trained = count_epochs(monkeypatch)
    assert timeless(take(run_trial(spec, context), 1)) == timeless(expected[:1])
    assert trained == [("pretrain", 0), ("pretrain", 1), ("saat", 0)]
    mended, _ = tensor_file.load(model)
    model.write_bytes(content)
    original, _ = tensor_file.load(model)
    assert all(torch.equal(mended[name], original[name]) for name in original)


def test_the_undefended_model_is_attacked_without_training(
    finished: Any, tmp_path: Path, experiment: Experiment
) -> None:
    context = context_of(experiment, tmp_path)
    config = undefended(config_at(experiment, {}))
    (report,) = run_trial(spec_of(experiment, config=config), context)
    assert isinstance(report, FinalReport)
    assert report.epochs == 0
    assert report.metrics != finished[2][-1].metrics
    assert "reattack/robust_map" in report.metrics


@pytest.fixture(scope="module")
def confirmed(
    experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrialSpec, FinalReport, TrialContext]:
    context = context_of(experiment, tmp_path_factory.mktemp("runs"))
    spec = spec_of(experiment, phase="confirm", seed=1)
    *_, final = run_trial(spec, context)
    assert isinstance(final, FinalReport)
    return trial_folder(context, spec.trial_id), spec, final, context


def network_of(folder: Path) -> torch.nn.Module:
    tensors, meta = tensor_file.load(folder / "model.safetensors")
    network = build_network("small_cnn", "none", meta["setting"]["model"]["bits"], 16, 99)
    network.load_state_dict(tensor_file.tensors_under("network", tensors))
    return network.eval()


def test_every_confirmed_number_can_be_recomputed_from_the_stored_images(confirmed: Any) -> None:
    folder, _, final, context = confirmed
    network = network_of(folder)
    data = trial_data(config_at(tiny(), {}), context.cache_dir)
    stored = np.load(folder / "adversarial.npz")
    assert set(stored) == {"mainstay", "hag", "rows"}
    assert (stored["rows"] == data.test).all()
    database = codes_of(encode(network, lambda p: data.batch(data.database[p]), 800))
    labels = data.label_tensor(data.database)

    def ap(images: torch.Tensor) -> torch.Tensor:
        codes = codes_of(encode(network, lambda part: images[part], len(images)))
        queries = data.label_tensor(data.test)
        return average_precision(codes, queries, database, labels, top_k=100)

    clean_images = data.batch(data.test)
    worst = clean = ap(clean_images)
    for name in ("mainstay", "hag"):
        images = torch.from_numpy(stored[name])
        assert images.dtype == torch.uint8
        change = (images.int() - clean_images.int()).abs().max()
        assert 0 < change <= 8
        attacked = ap(images)
        assert float(attacked.mean()) == final.metrics[f"test/map.{name}"]
        worst = torch.minimum(worst, attacked)
    assert float(clean.mean()) == final.metrics["test/clean_map"]
    assert float(worst.mean()) == final.metrics["test/robust_map"]
    assert json.loads((folder / "result.json").read_text())["metrics"] == final.metrics


def test_the_stored_model_under_its_own_protocol_gives_its_own_numbers(confirmed: Any) -> None:
    folder, spec, final, context = confirmed
    data = trial_data(config_at(tiny(), {}), context.cache_dir)
    meta = tensor_file.load(folder / "model.safetensors")[1]
    again = evaluate(
        network_of(folder),
        data,
        full_protocol(EvaluationSection.model_validate(meta["evaluation"])),
        "test",
        spec.seed,
    ).metrics()
    assert {f"test/{name}": value for name, value in again.items()} == final.metrics


def test_confirmed_histograms_and_examples_fit_the_data(confirmed: Any) -> None:
    folder, _, _, context = confirmed
    data = trial_data(config_at(tiny(), {}), context.cache_dir)
    histograms = np.load(folder / "histograms.npz")
    names = {f"{n}_{part}" for n in ("clean", "mainstay", "hag") for part in ("total", "relevant")}
    assert set(histograms) == names
    for name in names:
        assert histograms[name].shape == (100, 17)
        assert histograms[name].dtype == np.int32
    assert (histograms["clean_total"].sum(1) == 800).all()
    assert (histograms["hag_relevant"] <= histograms["hag_total"]).all()
    examples = np.load(folder / "examples.npz")
    adversarial = np.load(folder / "adversarial.npz")
    assert (examples["query"] == data.batch(data.test[:6]).numpy()).all()
    assert (examples["adversarial"] == adversarial[str(examples["attack"])][:6]).all()
    assert examples["clean_top"].shape == examples["attacked_top"].shape == (6, 5, 3, 16, 16)
    assert examples["clean_relevant"].shape == (6, 5)


@pytest.mark.parametrize("damage", ["digit", "half", "type"])
def test_a_damaged_result_is_not_believed_and_done_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = tiny({"pretrain.epochs": 1, "defense.epochs": 1})
    context = context_of(experiment, tmp_path)
    spec = spec_of(experiment)
    first = list(run_trial(spec, context))
    path = trial_folder(context, spec.trial_id) / "result.json"
    text = path.read_text()
    value = str(first[-1].metrics["reattack/robust_map"])
    digit = str((int(value[2]) + 1) % 10)
    path.write_text(
        {
            "digit": text.replace(value, f"0.{digit}{value[3:]}"),
            "half": text[: len(text) // 2],
            "type": json.dumps({**json.loads(text), "metrics": "", "checksum": None}),
        }[damage]
    )
    again = list(run_trial(spec, context))
    assert "damaged result skipped" in caplog.text
    assert [report.metrics for report in again] == [report.metrics for report in first]
    assert read_record(path, record_of(FinalReport))["metrics"] == first[-1].metrics
