"""``gpus_per_trial: auto``: what weighs most is measured, and as many trials as fit share a GPU."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from harness.__main__ import main
from harness.executors import footprint as measuring
from harness.executors import packing
from harness.executors.footprint import (
    Footprint,
    GpuMemory,
    GpuNode,
    measure_footprint,
)
from harness.executors.packing import resolve_gpu_share, settings_to_measure, trials_per_gpu
from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.protocols import full_protocol
from harness.journal.journal import read
from harness.options import Options
from harness.session import session
from saat.errors import InputError
from saat.training import Training
from tests.harness.tiny import tiny, tiny_raw
from tests.toy import raised

GIB = 2**30
AUTO = {"resources.gpus_per_trial": "auto"}
FOUND = Footprint(5 * GIB, GIB // 2, "adversarial training", "small_cnn, 16 bits, saat")


def silent(line: str) -> None:
    del line


@pytest.mark.parametrize(
    ("need", "gpus", "cpus_per_trial", "trials"),
    [
        (5.5, [(64, (80,))], 1, 12),  # 5.5 GiB and a fifth: 6.6
        (5.5, [(64, (80,)), (64, (80, 24))], 1, 3),  # the smallest GPU of all
        (5.5, [(8, (80, 80, 80, 80))], 1, 2),  # eight CPUs, four GPUs
        (5.5, [(9, (80, 80, 80, 80))], 1, 3),  # the ninth CPU is not left idle
        (5.5, [(8, (80,))], 4, 2),
        (5.5, [(4, (80,)), (16, (80,))], 2, 8),  # the node with most CPUs
        (5.5, [(0, (80,))], 1, 1),
        (0.5, [(64, (80,))], 1, 16),
        (20, [(64, (23,))], 1, 1),  # it fits, without the margin
        (1, [(64, (2.4,))], 1, 2),
        (1, [(64, (2.39,))], 1, 1),
    ],
)
def test_as_many_trials_as_fit_the_smallest_gpu_and_the_cpus(
    need: float, gpus: list[tuple[int, tuple[float, ...]]], cpus_per_trial: int, trials: int
) -> None:
    nodes = [GpuNode(cpus, tuple(round(gib * GIB) for gib in memory)) for cpus, memory in gpus]
    found = Footprint(round((need - 0.25) * GIB), GIB // 4, "evaluation", "")
    assert trials_per_gpu(found, nodes, cpus_per_trial) == trials


def test_a_setting_that_fits_no_gpu_is_refused() -> None:
    line = raised(lambda: trials_per_gpu(FOUND, [GpuNode(8, (5 * GIB,))], 1), InputError)
    assert line == (
        "resources.gpus_per_trial: auto: 5.5 GiB in adversarial training (small_cnn, 16 bits, "
        "saat), and the smallest GPU has 5 GiB; lower batch_size or data.image_size"
    )


def described(configs: list[TrialConfig]) -> list[tuple[Any, ...]]:
    flat = [config.flat() for config in configs]
    keys = ("model.backbone", "model.bits", "defense.method", "defense.batch_size")
    return sorted(tuple(point.get(key) for key in keys) for point in flat)


def test_the_heaviest_settings_of_a_space() -> None:
    assert described(settings_to_measure(tiny(), "search")) == [("small_cnn", 16, "saat", 40)]
    searched = tiny(
        {
            "space": {
                "model.bits": {"choice": [64, 16, 32]},
                "model.backbone": {"choice": ["small_cnn", "alexnet"]},
                "defense.method": {"choice": ["saat", "comdefend"]},
                "defense.batch_size": {"int": [8, 32]},
                "defense.lambda": {"float": [0.1, 10.0], "when": {"defense.method": "saat"}},
            },
            "data.image_size": 64,
        }
    )
    assert described(settings_to_measure(searched, "search")) == [
        ("alexnet", 64, "comdefend", 32),
        ("alexnet", 64, "saat", 32),
        ("small_cnn", 64, "comdefend", 32),
        ("small_cnn", 64, "saat", 32),
    ]
    assert described(settings_to_measure(searched, "train")) == [("small_cnn", 16, "saat", 40)]
    compared = tiny({"compare": {"a": {"model.bits": 8}, "b": {"defense.method": "none"}}})
    assert described(settings_to_measure(compared, "compare")) == [
        ("small_cnn", 8, "saat", 40),
        ("small_cnn", 16, "none", None),
    ]


class FakeMemory(GpuMemory):
    """Every stage takes a gigabyte more than the one before, up to a limit."""

    def __init__(self, most: int = 100) -> None:
        self.stages, self.most = 0, most

    def reset_peak(self) -> None:
        pass

    def peak(self) -> int:
        self.stages += 1
        return min(self.stages, self.most) * GIB

    def outside_torch(self) -> int:
        return GIB // 2


def measured(experiment: Experiment, gpu: FakeMemory) -> Footprint:
    configs = settings_to_measure(experiment, "search")
    cache = os.environ["SAAT_CACHE"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "GpuMemory", lambda: gpu)
        resources = experiment.resources
        return measure_footprint(configs, experiment.evaluation, cache, resources, "cpu")


def test_a_batch_of_each_kind_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, int, int]] = []
    original = Training.step

    def counting(self: Training, index: torch.Tensor, lr: float, images: Any) -> torch.Tensor:
        steps.append((self.stage, len(index), self.network.bits))
        return original(self, index, lr, images)

    asked: list[tuple[dict[str, int], int]] = []

    def evaluate(model: Any, data: Any, protocol: Any, queries: str, seed: int, limit: int) -> None:
        asked.append(({name: a.steps for name, a in protocol.attacks.items()}, limit))

    monkeypatch.setattr(Training, "step", counting)
    monkeypatch.setattr(measuring, "evaluate", evaluate)
    experiment = tiny(
        {
            "space": {"model.bits": {"choice": [16, 48]}},
            "evaluation.steps": 40,
            "evaluation.attacks": ["mainstay", "hag", "prosgan"],
            "evaluation.options": {"hag": {"steps": 1}},
        }
    )
    found = measured(experiment, FakeMemory())
    assert steps == [("pretrain", 40, 48), ("saat", 40, 48)]
    # ProS-GAN would train its networks for hours first.
    assert asked == [({"mainstay": 2, "hag": 1}, 128)]
    assert found == Footprint(3 * GIB, GIB // 2, "evaluation", "small_cnn, 48 bits, saat")
    assert measured(experiment, FakeMemory(most=2)).stage == "adversarial training"
    assert measured(experiment, FakeMemory(most=1)).stage == "pretraining"


@pytest.mark.slow
def test_an_evaluation_is_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"name": "digits", "image_size": 16, "val_queries": 40}  # enough queries for a batch
    experiment = tiny({"data": data, "defense": {"method": "none"}, "space": {}})
    real: Any = vars(measuring)["evaluate"]
    seen: list[Any] = []

    def spy(*arguments: Any) -> Any:
        seen.append(real(*arguments))
        return seen[-1]

    monkeypatch.setattr(measuring, "evaluate", spy)
    found = measured(experiment, FakeMemory())
    assert (found.peak, found.stage) == (2 * GIB, "evaluation")
    (evaluation,) = seen
    assert len(evaluation.rows) == full_protocol(experiment.evaluation).batch_size
    assert set(evaluation.attacks) == {"mainstay", "hag"}


def test_memory_that_runs_out_while_measuring_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Training, *_: Any) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(Training, "step", full)
    line = raised(lambda: measured(tiny(), FakeMemory()), InputError)
    assert line == (
        "resources.gpus_per_trial: auto: out of memory after reading the data (small_cnn, 16 bits, "
        "saat): CUDA out of memory. Tried to allocate 9 GiB; lower batch_size or data.image_size"
    )


def taking(found: Footprint, *gpus: int) -> Callable[..., Any]:
    """A measurement that was made, on one node of 64 CPUs."""
    return lambda *_: (found, [GpuNode(64, gpus)])


def test_a_number_is_left_alone_and_auto_becomes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(tmp_path, executor="inline")
    lines: list[str] = []
    given = tiny({"resources.gpus_per_trial": 0.5})
    assert resolve_gpu_share(given, "search", options, silent) == (given, {})
    auto = tiny(AUTO)
    monkeypatch.setattr(packing, "measure_here", taking(FOUND, 40 * GIB))
    settled, told = resolve_gpu_share(auto, "search", options, lines.append)
    assert settled == tiny({"resources.gpus_per_trial": 1 / 6})
    assert json.loads(json.dumps(told)) == {
        "peak": 5 * GIB,
        "context": GIB // 2,
        "stage": "adversarial training",
        "setting": "small_cnn, 16 bits, saat",
        "smallest_gpu": 40 * GIB,
        "trials_per_gpu": 6,
    }
    assert lines == [
        "resources.gpus_per_trial: auto: settings to measure on a GPU: 1",
        "resources.gpus_per_trial: auto: 5 GiB in adversarial training (small_cnn, 16 bits, saat) "
        "and 0.5 GiB of CUDA; 6 trials a GPU of 40 GiB: 0.166667",
    ]


def test_a_search_keeps_what_was_measured(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, str]] = []

    def run(experiment: Experiment, journal: Any, options: Options, *_: Any) -> Path:
        seen.append((experiment.resources.gpus, journal.events[0]["device"]))
        journal.close()
        return runs_dir

    monkeypatch.setattr(session, "run_search", run)
    monkeypatch.setattr(session, "provenance", lambda *_: {})  # it would ask the GPU
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(packing, "measure_here", taking(FOUND, 80 * GIB))
    options = Options(runs_dir, executor="inline")
    session.start(tiny(AUTO), options, "search", silent)
    started = read(runs_dir / "tiny" / "events.jsonl")[0]
    assert started["packing"]["trials_per_gpu"] == 12
    written = yaml.safe_load((runs_dir / "tiny" / "experiment.yaml").read_text())
    assert written["resources"]["gpus_per_trial"] == 1 / 12
    monkeypatch.setattr(packing, "measure_here", None)  # nothing is measured again
    session.resume("tiny", options, silent)
    assert seen == [(1 / 12, "cuda"), (1 / 12, "cuda")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_auto_is_refused_where_there_is_no_gpu(tmp_path: Path, runs_dir: Path, capsys: Any) -> None:
    file = tmp_path / "auto.yaml"
    file.write_text(yaml.safe_dump(tiny_raw(AUTO)))
    with pytest.raises(SystemExit) as ended:
        main(["search", str(file), "--runs-dir", str(runs_dir), "--executor", "inline"])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.endswith(
        "resources.gpus_per_trial: auto: this machine has no GPU that torch can use; set it to 0"
    )
    assert not runs_dir.exists()
