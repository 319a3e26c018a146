"""A dry run: the plan by counting, the estimate by adding up, and nothing started or written."""

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from harness.__main__ import main
from harness.experiment.configs import config_at, paper_defaults
from harness.journal.state import config_hash
from harness.session import calibration
from harness.session.calibration import Costs, time_epoch
from harness.session.dry_run import SearchSize, device_seconds, size_of_search
from tests.harness.fakes import drive, experiment, open_search
from tests.harness.tiny import tiny, tiny_raw

INLINE = ["--executor", "inline"]
BITS = {"model.bits": {"choice": [16, 32, 64]}}


def size_of(known: int = 0, **changes: Any) -> SearchSize:
    searched = experiment(**changes)
    points = [config_at(searched, point) for point in paper_defaults(searched)]
    hashes = {config_hash(config, "data") for config in points[:known]}
    return size_of_search(searched, "data", hashes)


@pytest.mark.parametrize(
    ("space", "models", "size"),
    [
        ({"defense.steps": {"int": [1, 3]}}, 1, 3),
        (BITS, 3, 3),
        (BITS | {"pretrain.epochs": {"int": [2, 6], "step": 2}}, 9, 9),
        (
            BITS | {"model.hashing": {"choice": ["dph"]}, "pretrain.batch_size": {"int": [5, 5]}},
            3,
            3,
        ),
        (BITS | {"pretrain.momentum": {"float": [0.0, 0.3], "step": 0.1}}, 12, 12),
        (BITS | {"pretrain.lr": {"float": [0.1, 0.2]}}, 99, 99),
    ],
)
def test_distinct_pretrained_models(space: dict[str, Any], models: int, size: int) -> None:
    """No more than there are trials (exploring) or settings under each seed (confirming)."""
    for samples in (0, 2, 40):
        found = size_of(space=space, search__num_samples=samples, confirm__seeds=5)
        defaults = 3 if "model.bits" in space else 1
        assert found.sampled == min(samples, size)
        assert found.explored == defaults + found.sampled
        assert found.explore_pretrained == min(models, found.explored)
        # The recommended ones, two at most, the default and the undefended.
        assert found.confirmed == min(2, found.sampled) + 2
        assert found.confirm_pretrained == 5 * min(models, found.confirmed)
    assert size_of(space=space, confirm__max_configs=0).confirm_pretrained == 0


def test_known_settings_are_not_counted_again() -> None:
    found = size_of(known=2, space=BITS)
    assert (found.defaults, found.known) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "rungs"),
    [
        ({"search__num_samples": 20}, [(1, 10), (2, 5), (4, 2), (8, 1)]),
        ({"search__num_samples": 20, "search__grace_period": 3}, [(3, 10), (6, 5)]),
        ({"search__num_samples": 20, "search__reduction_factor": 3}, [(1, 6), (3, 2)]),
        ({"search__num_samples": 1}, [(1, 1), (2, 1), (4, 1), (8, 1)]),
        ({"search__num_samples": 20, "search__scheduler": "none"}, []),
        ({"search__num_samples": 20, "search__grace_period": "auto"}, [(5, 10)]),
        ({"search__num_samples": 20, "search__grace_period": 9}, []),  # the last epoch is no rung
    ],
)
def test_rungs_and_survivors(changes: dict[str, Any], rungs: list[tuple[int, int]]) -> None:
    assert size_of(**{"defense__epochs": 9} | changes).rungs == rungs


def test_where_epochs_are_searched_the_longest_trial_counts() -> None:
    space = {"defense.epochs": {"int": [2, 5]}}
    assert [rung for rung, _ in size_of(space=space, defense__epochs=2).rungs] == [1, 2, 4]


LAMBDA = "defense.lambda"


@pytest.mark.usefixtures("no_fsync")
@pytest.mark.parametrize(
    ("space", "changes"),
    [
        ({LAMBDA: {"float": [0.1, 10.0], "log": True}}, {}),
        ({LAMBDA: {"choice": [2.0, 3.0]}}, {"confirm__max_configs": 5}),
        ({LAMBDA: {"choice": [2.0]}}, {"confirm__undefended": False}),
        ({LAMBDA: {"float": [1, 2], "step": 0.25}}, {"search__num_samples": 3}),
        ({}, {}),
        # The paper's default is one of the two and is not sampled again.
        ({LAMBDA: {"choice": [1.0, 2.0]}}, {"defense__steps": 7, "defense__step_size": 2 / 255}),
        # Where no defense is, epochs cannot differ, and two points are one setting.
        (
            {
                "defense.method": {"choice": ["saat", "none"]},
                LAMBDA: {"choice": [1.5, 2.5], "when": {"defense.method": "saat"}},
            },
            {"confirm__undefended": False},
        ),
    ],
)
def test_the_plan_has_as_many_trials_as_the_search(
    tmp_path: Path, space: dict[str, Any], changes: dict[str, Any]
) -> None:
    changes = {"space": space, "search__scheduler": "none", **changes}
    search = open_search(tmp_path, experiment(**changes))
    drive(search)
    found = size_of(**changes)
    assert len(search.state.of_phase("explore")) == found.explored
    assert (
        len(search.state.of_phase("confirm")) == found.confirmed * search.experiment.confirm.seeds
    )


def test_the_estimate_is_the_sum_over_all_trials() -> None:
    searched = experiment(defense__epochs=9, search__num_samples=20, pretrain__epochs=6)
    costs = Costs(1.0, 100.0, 10.0, 1e4, 1e6)
    found = size_of_search(searched, "data", set())
    pretraining, exploring, confirming = device_seconds(searched, found, costs)
    assert pretraining == 6 * (found.explore_pretrained + found.confirm_pretrained)
    # Of 20 trials 10 end at epoch 1, 5 at 2, 3 at 4, 1 at 8; one and both defaults go to 9.
    epochs = [1] * 10 + [2] * 5 + [4] * 3 + [8] + [9] * 3
    assert exploring == pytest.approx(110 * sum(epochs) + 3 * 1e4)
    # Two recommended settings and the default are trained, the undefended model only attacked.
    assert confirming == pytest.approx(searched.confirm.seeds * (3 * 9 * 110 + 4 * 1e6))


class FakeTraining:
    """Batches of two seconds after a first one of five."""

    def __init__(self, clock: list[float], batches: int) -> None:
        self.network = torch.nn.Linear(1, 1)
        self.clock, self.batches, self.ran = clock, batches, 0

    def run_epoch(self, progress: Any) -> None:
        for number in range(self.batches):
            self.ran += 1
            self.clock[0] += 2.0 if number else 5.0
            progress(number + 1, self.batches)


@pytest.mark.parametrize(("batches", "ran"), [(1, 1), (2, 2), (3, 3), (100, 4)])
def test_an_epoch_is_timed_by_its_beginning(
    monkeypatch: pytest.MonkeyPatch, batches: int, ran: int
) -> None:
    clock = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(calibration, "_CALIBRATION_S", 10.0)
    training = FakeTraining(clock, batches)
    data = SimpleNamespace(train=range(batches * 10))
    epoch, image = time_epoch(training, data)  # type: ignore[arg-type]
    assert training.ran == ran
    assert epoch == 5.0 + 2.0 * (batches - 1)
    assert image == (0.5 if batches == 1 else 0.2)


def test_the_cost_of_the_protocol_follows_its_steps_and_queries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "build_models", lambda *_: (None, None))
    monkeypatch.setattr(calibration, "pretraining", lambda *_: None)
    monkeypatch.setattr(
        calibration,
        "adversarial_training",
        lambda config, *_: None if config.defense.method == "none" else object(),
    )
    monkeypatch.setattr(calibration, "time_epoch", lambda *_: (7.0, 3.0))
    data: Any = SimpleNamespace(
        validation=range(40), validation_database=range(500), test=range(60), database=range(600)
    )
    options = {"hag": {"steps": 20}}
    searched = tiny({"evaluation.steps": 2, "evaluation.options": options, "validation.steps": 5})
    found = calibration.calibrate(searched, data, "cpu")
    assert (found.pretrain_epoch, found.defense_epoch) == (7.0, 7.0)
    assert found.validation == 500 + 20 * 5 * 3  # encoding an image costs a third of a gradient
    assert found.reattack == 500 + 40 * (2 + 20) * 3
    assert found.test == 600 + 60 * (2 + 20) * 3
    undefended = tiny({"defense": {"method": "none"}, "space": {}})
    assert calibration.calibrate(undefended, data, "cpu").defense_epoch == 0.0


def test_the_command_tells_the_plan_and_leaves_everything_as_it_is(
    tmp_path: Path, runs_dir: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_CALIBRATION_S", 0.0)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tiny.yaml"
    file.write_text(
        yaml.safe_dump(
            tiny_raw({"search.num_samples": 7, "search.margin": 0.02, "confirm.battery": "core"})
        )
    )
    with pytest.raises(SystemExit) as ended:
        main(["search", str(file), "--dry-run", "--runs-dir", str(runs_dir)])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
    assert "calibration" in err
    for part in (
        "a dry run; nothing is started",
        "  defense.lambda: float [0.1, 10.0], log True",
        "explore: 8 trials (1 of the paper's default, 7 sampled)",
        "confirm: about 3 trials (3 settings under 1 seed)",
        "pretrained models: at most 1 to explore and 1 to confirm",
        "rung at epoch 1: of 7 sampled trials about 3 will go on",
        "more go on if they lie within 0.02 MAP of the front of a rung",
        "device-hours",
        "without the core battery",
        "an estimate",
    ):
        assert part in out
    assert "no GPU" not in out
    (line,) = (line for line in out.splitlines() if "device-hours" in line)
    assert 0 < float(line.split()[1]) < math.inf


@pytest.mark.parametrize("gpus", [0.5, "auto"])
def test_without_the_gpu_that_workers_have_the_cpu_is_timed_and_the_plan_says_so(
    gpus: Any, tmp_path: Path, runs_dir: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_CALIBRATION_S", 0.0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"resources.gpus_per_trial": gpus})))
    with pytest.raises(SystemExit) as ended:
        main(["search", str(file), "--dry-run", "--runs-dir", str(runs_dir)])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.endswith("no GPU that torch can use: hours of its CPU, not of a GPU\n")
    assert "device-hours" in out


def test_cpus_that_this_machine_has_not_are_told_as_the_search_would(
    tmp_path: Path, runs_dir: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_CALIBRATION_S", 0.0)
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"resources.cpus_per_trial": 1000})))
    said = "would refuse it on this machine: resources: 1000 CPUs and 0 GPUs per trial, but"
    for options, told in (([], True), (["--address", "auto"], False), (INLINE, False)):
        with pytest.raises(SystemExit) as ended:
            main(["search", str(file), "--dry-run", "--runs-dir", str(runs_dir), *options])
        assert ended.value.code == 0
        assert (said in capsys.readouterr().out) == told


def test_what_the_search_would_refuse_is_refused(
    tmp_path: Path, runs_dir: Path, capsys: Any
) -> None:
    file = tmp_path / "tiny.yaml"
    for changes, named in (
        ({"search.warm_start": ["nobody"]}, "search.warm_start: nobody: no such search"),
        ({"evaluation.top_k": 10**6}, "evaluation.top_k"),
    ):
        file.write_text(yaml.safe_dump(tiny_raw(changes)))
        with pytest.raises(SystemExit) as ended:
            main(["search", str(file), "--dry-run", "--runs-dir", str(runs_dir)])
        assert ended.value.code == 2
        assert named in capsys.readouterr().err
    assert not runs_dir.exists()
