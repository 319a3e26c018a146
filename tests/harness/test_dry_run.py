"""A dry run: the plan by counting, the estimate by adding up, and nothing started or written."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from harness.__main__ import main
from harness.experiment.configs import undefended
from harness.experiment.published import published_configs
from harness.journal.state import config_hash
from harness.session import calibration
from harness.session.calibration import calibrate, seconds
from harness.session.sizes import DataSizes, SearchSize, data_sizes, size_of_search
from harness.session.stage_costs import TrialGroup, stages_of_search
from harness.session.trial_costs import TrialCosts
from saat.errors import InputError
from saat.work import KINDS, Work
from tests.harness.fakes import drive, experiment, open_search
from tests.harness.tiny import tiny, tiny_raw

INLINE = ["--executor", "inline"]
BITS = {"model.bits": {"choice": [16, 32, 64]}}


def size_of(known: int = 0, **changes: Any) -> SearchSize:
    searched = experiment(**changes)
    hashes = {config_hash(config, "data") for config in published_configs(searched)[:known]}
    return size_of_search(searched, "data", hashes)


@pytest.fixture(autouse=True)
def quick_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CALIBRATION_S", 0.0)


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


SIZES = DataSizes(1000, 2000, 2000, 100, 200, 2300, 1000)


def test_the_expected_cost_is_the_sum_over_all_trials() -> None:
    searched = experiment(
        defense__epochs=9,
        search__num_samples=20,
        pretrain__epochs=6,
        space={LAMBDA: {"float": [1, 2]}},
    )
    found, costs = size_of_search(searched, "data", set()), TrialCosts(searched, SIZES)
    stages = {(s.phase, s.name): s for s in stages_of_search(searched, found, costs)}
    assert stages["explore", "pretraining"].passes() == 3 * 6 * 1000 * found.explore_pretrained
    # Of 20 trials 10 end at epoch 1, 5 at 2, 3 at 4, 1 at 8; one and the default go to 9.
    epochs = [1] * 10 + [2] * 5 + [4] * 3 + [8] + [9] * 2
    assert stages["explore", "validation"].count == pytest.approx(sum(epochs))
    assert stages["explore", "re-attack"].count == pytest.approx(2)
    # The training set is encoded once; an epoch has inner gradients, and 2 images in a step.
    steps = searched.defense.steps  # type: ignore[attr-defined]
    default, epoch = 1000 * (1 + 9 * (2 * 7 + 2 * 3)), 1000 * (2 * steps + 2 * 3)
    trained = stages["explore", "adversarial training"]
    assert trained.passes() == pytest.approx(default + 20_000 + (sum(epochs) - 9) * epoch)
    assert trained.passes("least") == default + 20_000 + 20 * epoch
    assert trained.passes("most") == default + 20_000 + 20 * 9 * epoch


def test_shares_that_go_on_decide_epochs_and_ends() -> None:
    trained = [experiment(defense__epochs=n).config for n in (1, 2, 3, 5)]
    groups = [TrialGroup(4, c, [(1, 0.5), (3, 0.25)]) for c in (undefended(trained[0]), *trained)]
    assert [group.epochs for group in groups] == [0, 4, 6, 8, 10]
    assert [group.finished for group in groups] == [4, 4, 2, 2, 1]


def test_seconds_are_passes_times_rates() -> None:
    rates = {kind: np.array((1.0, 2.0, 3.0 + number)) for number, kind in enumerate(KINDS)}
    assert seconds(Work(1, 10, 100, 1000), rates).tolist() == [1111, 2222, 3 + 40 + 500 + 6000]


@pytest.mark.lengthy
def test_every_kind_of_work_is_measured() -> None:
    for method in ("none", "saat", "comdefend"):
        searched = tiny({"defense": {"method": method}, "space": {}})
        rates = calibrate(searched.config, "cpu", threads=1)
        assert set(rates) == set(KINDS)
        assert all(0 < low <= middle <= high for low, middle, high in rates.values())


def test_without_the_data_the_published_lists_are_counted() -> None:
    named = {"name": "flickr25k", "root": "/nowhere", "val_queries": 100}
    sizes = data_sizes(tiny({"data": named}), None, print)
    assert not sizes.fingerprint
    assert "/nowhere/FLICKR-25K" in sizes.missing
    assert (sizes.train, sizes.validation_database, sizes.test) == (5000, 23_200, 1700)
    for key, value, most in (
        ("evaluation.top_k", 23_201, 23_200),
        ("validation.database", 23_201, 23_200),
        ("validation.queries", 101, 100),
    ):
        with pytest.raises(InputError, match=f"{key}: {value}: at most {most}"):
            data_sizes(tiny({"data": named, key: value}), None, print)
    with pytest.raises(InputError, match="nuswide not found"):
        data_sizes(tiny({"data": {**named, "name": "nuswide"}}), None, print)


def test_the_command_tells_the_plan_and_leaves_everything_as_it_is(
    tmp_path: Path, runs_dir: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        "battery core",
        "attacked images of test trials",
        "It fits",
        "none stops",
    ):
        assert part in out
    assert "no GPU" not in out
    assert max(map(len, out.splitlines())) <= 80
    (line,) = (line for line in out.splitlines() if line.startswith("About"))
    assert "device-hours" in line


@pytest.mark.parametrize("gpus", [0.5, "auto"])
def test_without_the_gpu_that_workers_have_passes_are_counted_alone(
    gpus: Any, tmp_path: Path, runs_dir: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"resources.gpus_per_trial": gpus})))
    with pytest.raises(SystemExit) as ended:
        main(["search", str(file), "--dry-run", "--runs-dir", str(runs_dir)])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "so F alone, and no hours" in " ".join(out.split())
    assert "million F" in out
    assert "About" not in out


@pytest.mark.lengthy
def test_cpus_that_this_machine_has_not_are_told_as_the_search_would(
    tmp_path: Path, runs_dir: Path, capsys: Any
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"resources.cpus_per_trial": 1000})))
    said = "would refuse it on this machine: resources: 1000 CPUs and 0 GPUs per trial, but"
    for options, told in (([], True), (["--address", "auto"], False), (INLINE, False)):
        with pytest.raises(SystemExit) as ended:
            main(["search", str(file), "--dry-run", "--runs-dir", str(runs_dir), *options])
        assert ended.value.code == 0
        assert (said in " ".join(capsys.readouterr().out.split())) == told


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


def test_json_has_the_numbers_and_goes_with_a_dry_run(
    tmp_path: Path, runs_dir: Path, capsys: Any
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"compare": {"none": {"defense.method": "none"}}})))
    for command in ("train", "compare"):
        arguments = [command, str(file), "--runs-dir", str(runs_dir), *INLINE, "--json"]
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--dry-run"])
        assert ended.value.code == 0
        found = json.loads(capsys.readouterr().out)
        passes = [stage["forward_passes"]["expected"] for stage in found["stages"]]
        assert found["plan"] == command
        assert found["forward_passes"]["expected"] == sum(passes) > 0
        assert found["device_hours"]["median"] > 0
        assert found["trials_at_once"] == 1
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "--json: goes with --dry-run" in capsys.readouterr().err
    assert not runs_dir.exists()


def test_a_disk_without_room_is_told(
    tmp_path: Path, runs_dir: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw()))
    with pytest.raises(SystemExit):
        main(["train", str(file), "--dry-run", "--runs-dir", str(runs_dir)])
    assert "It does NOT fit: about" in capsys.readouterr().out
