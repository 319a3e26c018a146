"""Trials that run out of memory: once more with split batches, on the record, then failed."""

import gc
import json
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from harness.executors.inline import InlineExecutor
from harness.executors.ray_errors import why_worker_lost
from harness.journal.state import TrialRecord, load_state
from harness.search.stopping import MAX_DEATHS, why_given_up
from harness.session.result_tables import write_tables
from harness.session.status import render, status_of
from harness.tracking.tracked_values import end_tags
from harness.trial.interface import EpochReport, FinalReport, trial_folder
from harness.trial.out_of_memory import failure
from harness.trial.stages import build_models
from harness.trial.trial import run_trial
from saat.models import HashingNetwork
from saat.training import Training, TrainingFailed
from tests.harness.fakes import open_search
from tests.harness.test_trial import count_epochs
from tests.harness.tiny import context_of, spec_of, tiny

pytestmark = pytest.mark.usefixtures("quick_collection")

# Batches of 200: 200 images pass the network in pretraining, 400 in a step of adversarial
# training; half of them are 100 at once.
EXPERIMENT = tiny(
    {
        "evaluation.attacks": ["mainstay"],
        "pretrain.batch_size": 200,
        "defense.batch_size": 200,
    }
)
SAAT = "saat: 100 of 200 images at once from epoch {} on"
PRETRAIN = "pretrain: 100 of 200 images at once from epoch 1 on, which changes batch norm"


class Scarce:
    """Memory for ``most`` images at once in training; the sizes of passes that did not fit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.refused: list[int] = []
        self.networks: list[weakref.ref[HashingNetwork]] = []
        self.alive = 0  # networks that did not fit and were held on to, when another ran

    def check(self, network: HashingNetwork, images: Tensor) -> None:
        others = [ref() for ref in self.networks]
        self.alive += any(other is not None and other is not network for other in others)
        del others
        if network.training and len(images) > self.most:
            self.refused.append(len(images))
            self.networks.append(weakref.ref(network))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@contextmanager
def scarce(most: int) -> Iterator[Scarce]:
    found = Scarce(most)
    original = HashingNetwork.forward

    def forward(self: HashingNetwork, images: Tensor) -> Tensor:
        found.check(self, images)
        return original(self, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HashingNetwork, "forward", forward)
        yield found


def epochs_of(reports: list[EpochReport | FinalReport]) -> list[EpochReport]:
    return [report for report in reports if isinstance(report, EpochReport)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[EpochReport | FinalReport]:
    context = context_of(EXPERIMENT, tmp_path_factory.mktemp("undisturbed"))
    return list(run_trial(spec_of(EXPERIMENT), context))


@pytest.mark.slow
def test_a_trial_that_runs_out_of_memory_goes_on_with_half_the_batch_at_once(
    tmp_path: Path, undisturbed: list[EpochReport | FinalReport]
) -> None:
    context, spec = context_of(EXPERIMENT, tmp_path), spec_of(EXPERIMENT)
    said: list[str] = []
    with scarce(399) as memory:
        *epochs, final = run_trial(spec, context, said.append)
    assert memory.refused == [400]
    assert memory.alive == 0  # what was too large is gone before it is tried again
    assert "out of memory; starting again with split batches" in said
    assert [report.epoch for report in epochs_of(epochs)] == [1, 2]
    for report in (*epochs, final):
        assert report.out_of_memory == [SAAT.format(1)]
    for ours, theirs in zip((*epochs, final), undisturbed, strict=True):
        assert theirs.out_of_memory == []
        assert ours.metrics == pytest.approx(theirs.metrics, abs=0.02)  # the same training
    folder = trial_folder(context, spec.trial_id)
    assert "2.00 GiB" in json.loads((folder / "out_of_memory.json").read_text())["error"]
    assert json.loads((folder / "result.json").read_text())["out_of_memory"] == [SAAT.format(1)]
    assert list(run_trial(spec, context)) == [*epochs, final]  # from the record


def test_finished_epochs_stay_and_the_record_says_from_when_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, spec = context_of(EXPERIMENT, tmp_path), spec_of(EXPERIMENT)
    reports: list[EpochReport | FinalReport] = []
    with scarce(1000) as memory:
        trained = count_epochs(monkeypatch)
        for report in run_trial(spec, context):
            reports.append(report)
            memory.most = 399  # a neighbour on the same GPU, say
    assert memory.refused == [400]
    assert trained == [("pretrain", 0), ("pretrain", 1), ("saat", 0), ("saat", 1), ("saat", 1)]
    assert [report.epoch for report in epochs_of(reports)] == [1, 2]
    notes = [report.out_of_memory for report in reports]
    assert notes == [[], [SAAT.format(2)], [SAAT.format(2)]]


def test_a_trial_that_is_started_again_does_not_run_out_of_memory_again(tmp_path: Path) -> None:
    context, spec = context_of(EXPERIMENT, tmp_path), spec_of(EXPERIMENT)
    with scarce(399) as memory:
        first = run_trial(spec, context)
        list(islice(first, 1))
        first.close()  # type: ignore[attr-defined]
        assert memory.refused == [400]
        reports = list(run_trial(spec, context))
    assert memory.refused == [400]
    assert [report.out_of_memory for report in reports] == 3 * [[SAAT.format(1)]]


def test_a_pretrained_model_of_split_batches_is_known_to_all_who_use_it(tmp_path: Path) -> None:
    context = context_of(EXPERIMENT, tmp_path)
    with scarce(199) as memory:
        *_, final = run_trial(spec_of(EXPERIMENT), context)
    assert memory.refused == [200]
    # The trial goes on as it had to begin.
    assert final.out_of_memory == [PRETRAIN, SAAT.format(1)]
    *_, other = run_trial(spec_of(EXPERIMENT, {"defense.lambda": 3.0}), context)
    assert other.out_of_memory == [PRETRAIN]
    *_, bare = run_trial(spec_of(EXPERIMENT, {"defense.method": "none"}), context)
    assert bare.out_of_memory == [PRETRAIN]


def test_a_pretraining_that_another_trial_finishes_keeps_its_note(tmp_path: Path) -> None:
    context = context_of(EXPERIMENT, tmp_path)

    def dies(text: str) -> None:
        if text.startswith("pretrain epoch 2/2"):
            raise KeyboardInterrupt

    with scarce(199), pytest.raises(KeyboardInterrupt):
        list(run_trial(spec_of(EXPERIMENT), context, dies))
    *_, final = run_trial(spec_of(EXPERIMENT, {"defense.lambda": 3.0}), context)
    assert final.out_of_memory == [PRETRAIN]


@pytest.mark.slow
def test_memory_that_runs_out_twice_fails_the_trial_alone(tmp_path: Path) -> None:
    experiment = tiny(
        {
            "name": "scarce",
            "evaluation.attacks": ["mainstay"],
            "pretrain.batch_size": 20,
            "defense.batch_size": 20,
            "defense.epochs": 1,
            "space": {"defense.batch_size": {"choice": [20, 200]}},
            "search.num_samples": 2,
            "search.sampler": "random",
            "confirm.max_configs": 0,
        }
    )
    context = context_of(experiment, tmp_path)
    search = open_search(tmp_path / "scarce", experiment)
    with scarce(60) as memory:
        InlineExecutor().run(search, context, lambda *_: None)
    search.journal.close()
    assert search.state.finished
    records = search.state.trials.values()
    assert {r.config.flat()["defense.batch_size"]: r.status for r in records} == {
        20: "completed",
        200: "failed",
    }
    assert memory.refused == [200, 100]  # of the inner maximisation
    (failed,) = [record for record in records if record.status == "failed"]
    assert failed.stop_reason == (
        "out of memory twice (saat: 100 of 200 images at once): lower defense.batch_size or "
        "data.image_size, take a smaller model.backbone, or lower search.max_concurrent (CUDA out "
        "of memory. Tried to allocate 2.00 GiB)"
    )


def test_memory_that_runs_out_while_the_models_are_made_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, spec = context_of(EXPERIMENT, tmp_path), spec_of(EXPERIMENT)
    full = 1

    def make(*given: Any) -> Any:
        nonlocal full
        full -= 1
        if full >= 0:  # of a neighbour on the same GPU, say
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return build_models(*given)

    monkeypatch.setattr("harness.trial.attempt.build_models", make)
    *_, final = run_trial(spec, context)
    assert isinstance(final, FinalReport)
    full = 2
    with pytest.raises(TrainingFailed, match=r"^out of memory twice: lower data\.image_size"):
        list(run_trial(spec_of(EXPERIMENT, seed=1), context))


def test_other_errors_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def broken(self: Training, progress: Any = None) -> dict[str, float]:
        tries.append(self.stage)
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Training, "run_epoch", broken)
    context = context_of(EXPERIMENT, tmp_path)
    with pytest.raises(RuntimeError, match="shapes"):
        list(run_trial(spec_of(EXPERIMENT), context))
    assert tries == ["pretrain"]


# What Ray 2.60 says when its memory monitor, and when the kernel, kills a worker.
MONITOR = """Failure # 1 (occurred at 2026-11-21_18-50-00)
1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.2, \
ID: 82dba973) was 22.59GB used / 23.54GB limit (0.96)
OOM kill reason: Memory usage 6003806208B exceeded threshold"""
KERNEL = """Failure # 1 (occurred at 2026-11-21_18-50-00)
The actor died unexpectedly before finishing this task.
	ip: 10.0.0.2
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes \
include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop"""


@pytest.mark.parametrize(
    ("error", "said"),
    [(MONITOR, "the node running low on memory. Memory on the node"), (KERNEL, "the OOM killer")],
)
def test_a_worker_that_was_killed_for_its_memory_is_a_dead_worker_that_says_so(
    error: str, said: str
) -> None:
    reason, node = why_worker_lost(error)
    assert said in reason
    assert not node
    record = TrialRecord(spec_of(EXPERIMENT), "hash", {}, {}, worker_deaths=MAX_DEATHS + 1)
    verdict = why_given_up(record, reason)
    assert said in verdict
    assert ("lower search.max_concurrent" in verdict) == (error == MONITOR)


@pytest.mark.parametrize(
    ("device", "shared", "end"),
    [
        ("cpu", False, "take a smaller model.backbone, or lower search.max_concurrent"),
        ("cuda", True, "take a smaller model.backbone, or raise resources.gpus_per_trial"),
        ("cuda", False, "take a smaller model.backbone"),
    ],
)
def test_what_to_lower_depends_on_where_it_ran(device: str, shared: bool, end: str) -> None:
    assert failure(None, device, shared) == f"out of memory twice: lower data.image_size, {end}"


def test_tables_and_status_tell_which_trials_were_split(tmp_path: Path, no_fsync: None) -> None:
    experiment = tiny({"confirm.max_configs": 0, "search.num_samples": 1})
    run_dir = tmp_path / "runs" / experiment.name
    search = open_search(run_dir, experiment)
    (run_dir / "experiment.yaml").write_text(json.dumps(experiment.dump()))
    values = {"val/clean_map": 0.5, "val/robust_map": 0.2}
    final = {"reattack/clean_map": 0.5, "reattack/robust_map": 0.2}
    names = []
    for notes in ([], [PRETRAIN, SAAT.format(2)]):
        spec: Any = search.next_trial()
        names.append(spec.trial_id)
        search.on_epoch(spec.trial_id, EpochReport(1, values, 1.0, 1.0, out_of_memory=notes[:1]))
        search.on_final(spec.trial_id, FinalReport(2, final, 2.0, out_of_memory=notes))
    search.journal.close()
    write_tables(run_dir, *load_state(run_dir))
    table = pd.read_parquet(run_dir / "trials.parquet").set_index("trial_id")["out_of_memory"]
    assert table[names[0]] == ""
    assert table[names[1]] == f"{PRETRAIN}. {SAAT.format(2)}."
    found = status_of(run_dir)
    assert found["out_of_memory"] == {names[1]: f"{PRETRAIN}; {SAAT.format(2)}"}
    assert f"  out of memory: {names[1]}: {PRETRAIN}; {SAAT.format(2)}" in render(found).split("\n")


def test_the_run_at_the_tracker_has_a_tag() -> None:
    record = TrialRecord(spec_of(EXPERIMENT), "hash", {}, {}, "stopped")
    assert "saat.out_of_memory" not in end_tags(record)
    tags = end_tags(replace(record, out_of_memory=[PRETRAIN, SAAT.format(2)]))
    assert tags["saat.out_of_memory"] == f"{PRETRAIN}; {SAAT.format(2)}"


def test_the_error_of_a_second_time_is_a_failed_training(tmp_path: Path) -> None:
    context, spec = context_of(EXPERIMENT, tmp_path), spec_of(EXPERIMENT)
    with scarce(50) as memory, pytest.raises(TrainingFailed, match="out of memory twice") as error:
        list(run_trial(spec, context))
    assert memory.refused == [200, 100]
    assert "\n" not in str(error.value)
    assert "lower pretrain.batch_size" in str(error.value)
    del error
    gc.collect()
    assert [ref() for ref in memory.networks] == [None, None]
    reports = list(run_trial(spec, context))  # given out again where there is room
    assert [report.out_of_memory for report in reports] == 3 * [[PRETRAIN, SAAT.format(1)]]
