"""``saat reproduce``: what its runs are, what they cost, and that nothing is computed twice."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import saat
from harness.__main__ import main
from harness.experiment.configs import config_at
from harness.options import Options
from harness.reproduce.costs import DryRun, dry_run
from harness.reproduce.costs_text import as_json, as_text
from harness.reproduce.profile import Profile, merged, profile_of
from harness.reproduce.reproduce import planned_runs, reproduce
from harness.trial import attempt
from reports.csv_files import read_csv
from reports.paper.declared import SCALES, chosen_items, datasets_of, runs
from saat.errors import InputError
from saat.training import Training
from saat.work import KINDS
from tests.harness.tiny import TINY

SHORT = {"epochs": 1, "steps": 1, "batch_size": 40}


def tiny_profile(**changes: Any) -> Profile:
    """32 bits of the tiny experiment: a second a trial."""
    sections = ("data", "pretrain", "resources", "validation")
    experiment = {name: TINY[name] for name in sections}
    experiment |= {
        "seed": 0,
        "model": {"backbone": "small_cnn", "weights": "none", "hashing": "dph", "bits": 32},
        "confirm": {"seeds": 1, "battery": "none"},
        "evaluation": {"top_k": 100, "steps": 2},
    }
    options = {
        "tha": {"prototype_steps": 2},
        "prosgan": {"epochs": 1, "prototype_steps": 2, "width": 8},
    }
    given: dict[str, Any] = {
        "defenses": {"saat": SHORT, "atrdh": SHORT},
        "options": options,
        "bits": (32,),
        **changes,
    }
    return Profile("digits", "small", experiment, {"AlexNet": "small_cnn"}, **given)


def quiet(_: str) -> None:
    pass


def inline(tmp_path: Path) -> Options:
    return Options(runs_dir=tmp_path / "runs", executor="inline")


@pytest.mark.parametrize("scale", SCALES)
def test_every_declared_run_is_a_valid_experiment_on_every_data_set(
    scale: str, tmp_path: Path
) -> None:
    for data in datasets_of(scale):
        (tmp_path / data).mkdir(exist_ok=True)  # the folder of a set that has no published lists
        profile = profile_of(data, scale, tmp_path)
        for run in runs().values():
            experiment = profile.experiment_of(run)
            assert list(experiment.compare) == [s.name for s in profile.settings(run)]
            assert experiment.evaluation.attacks == list(run.attacks)
            assert experiment.config.method == "none"


def test_the_full_scale_is_as_published() -> None:
    profile = profile_of("flickr25k", "full")
    experiment = profile.experiment_of(runs()["defended"])
    found = config_at(experiment, experiment.compare["saat dph AlexNet 48 bits"])
    assert found.dump()["pretrain"] == {
        "epochs": 100, "lr": 0.01, "batch_size": 32, "momentum": 0.9, "weight_decay": 5e-4,
    }  # fmt: skip
    defense = found.defense.model_dump()
    published = {"epochs": 20, "lr": 0.05, "eps": 8 / 255, "steps": 7, "lambda": 1.0, "mu": 1e-4}
    assert {key: defense[key] for key in published} == published
    assert (found.model.backbone, found.model.bits) == ("alexnet", 48)
    assert found.data.image_size == 224
    options = experiment.evaluation.options
    assert {name: options[name]["steps"] for name in options} == {"hag": 2000, "sdha": 1500}
    assert (experiment.evaluation.top_k, experiment.evaluation.steps) == (5000, 100)
    targeted = profile.experiment_of(runs()["defended_targeted"]).evaluation.options
    assert targeted["prosgan"] == {"reconstruction": 100.0}  # on FLICKR-25K alone
    other = profile_of("nuswide", "full").experiment_of(runs()["defended_targeted"])
    assert "prosgan" not in other.evaluation.options


def test_weights_of_figure_six_are_lambda_and_mu() -> None:
    experiment = tiny_profile().experiment_of(runs()["weights"])
    found = [config_at(experiment, point).defense.model_dump() for point in
             experiment.compare.values()]  # fmt: skip
    pairs = {(defense["lambda"], defense["mu"]) for defense in found}
    assert len(pairs) == len(found) == 10
    assert (1.0, 1e-4) in pairs


def test_an_objective_has_its_own_pretraining() -> None:
    profile = tiny_profile(objectives={"dpsh": {"epochs": 3, "lr": 0.03}})
    experiment = profile.experiment_of(runs()["universality"])
    found = {
        name: config_at(experiment, point).dump()["pretrain"]
        for name, point in experiment.compare.items()
    }
    own = {"epochs": 3, "lr": 0.03}
    for defense in ("none", "atrdh", "saat"):
        shared = found[f"{defense} csq AlexNet 32 bits"]
        assert found[f"{defense} dpsh AlexNet 32 bits"] == {**shared, **own}
        assert shared["epochs"] == TINY["pretrain"]["epochs"] != 3


def test_later_parts_replace_earlier_values() -> None:
    parts: list[dict[str, Any]] = [
        {"a": {"x": 1, "y": 2}, "b": 1},
        {"a": {"y": 3}},
        {"b": {"z": 4}},
    ]
    assert merged(parts) == {"a": {"x": 1, "y": 3}, "b": {"z": 4}}
    assert parts[0] == {"a": {"x": 1, "y": 2}, "b": 1}


# --- what it would cost


@pytest.fixture
def counted_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A dry run of some names; every network is calibrated once, and in no time."""
    calibrated: Counter[str] = Counter()

    def calibration(config: Any, device: str, threads: int) -> Any:
        calibrated[config.model.backbone] += 1
        return {kind: np.array([1.0, 2.0, 3.0]) for kind in KINDS}

    monkeypatch.setattr("harness.session.calibration.calibrate", calibration)

    def run(*names: str, profile: Profile | None = None) -> DryRun:
        calibrated.clear()
        found = dry_run(chosen_items(names), profile or tiny_profile(), inline(tmp_path), quiet)
        assert set(calibrated.values()) == {1}
        return found

    return run


def test_a_dry_run_counts_trainings_and_attacks_once(counted_dry_run: Any) -> None:
    found: DryRun = counted_dry_run("table2", "table3", "table4", "figure3")
    counts = {
        name: (cost.pretrained, cost.trained, cost.attacks)
        for name, (_, cost) in found.runs.items()
    }
    assert counts == {
        "undefended": (1, 0, 3),
        "undefended_targeted": (0, 0, 6),
        "defended": (0, 2, 6),
        "defended_targeted": (0, 0, 12),
    }
    total = found.total
    assert (total.pretrained, total.trained, total.attacks) == (1, 2, 27)
    alone = {name: (c.pretrained, c.trained, c.attacks) for name, c in found.items.items()}
    assert alone["table4"] == (1, 2, 12)
    assert alone["figure3"] == alone["table2"] == (1, 0, 9)
    # Forward passes of the parts are those of the whole.
    assert total.passes == pytest.approx(sum(cost.passes for _, cost in found.runs.values()))


def test_all_code_lengths_are_four_times_as_many(counted_dry_run: Any) -> None:
    total = counted_dry_run("table3", profile=tiny_profile(bits=())).total
    assert (total.pretrained, total.trained, total.attacks) == (4, 8, 24)


def test_forward_passes_are_those_of_the_cost_model(counted_dry_run: Any) -> None:
    """One undefended model: its pretraining, and its test attacks."""
    from harness.session.sizes import data_sizes
    from harness.session.trial_costs import TrialCosts

    experiment = tiny_profile().experiment_of(runs()["undefended"])
    model = TrialCosts(experiment, data_sizes(experiment, None, quiet))
    (point,) = experiment.compare.values()
    wanted = model.pretraining(config_at(experiment, point)).passes + model.test.passes
    assert counted_dry_run("figure7").total.passes == pytest.approx(wanted)


def test_a_dry_run_is_text_and_json(counted_dry_run: Any) -> None:
    found = counted_dry_run("table3")
    text = as_text(found)
    assert max(map(len, text.splitlines())) <= 110
    assert "together" in text
    assert "defended" in text
    told = json.loads(json.dumps(as_json(found)))
    assert told["together"]["trained"] == 2
    assert told["runs"]["defended"]["state"] == "absent"
    low, median = (told["together"]["device_hours"][key] for key in ("low", "median"))
    assert median == pytest.approx(2 * low)


# --- wrong input: one line, status 2, nothing started


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["tabel2"], "reproduce 'tabel2': one of table2, table3"),
        (["table2", "--data", "digit"], "--data 'digit': one of digits"),
        (["table2", "--data", "cifar10"], "--data cifar10: not at --scale small; --scale full"),
        (["table2", "--scale", "medium"], "--scale 'medium': one of full, small"),
        (["table2", "--bits", "33"], "--bits '33': one of 16, 32, 48, 64"),
        (["table7", "--bits", "16"], "has no model of the code lengths of --bits"),
        (["table2", "--data", "voc2007"], "data: voc2007 not found"),
        (
            ["table2", "--data", "flickr25k", "--scale", "full", "--gpus", "0"],
            "data: flickr25k not",
        ),
        (["table2", "--gpus", "-1"], "--gpus"),
        (["table2", "--json"], "--json: goes with --dry-run"),
        ([], "TABLE"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SAAT_DATA", raising=False)
    given = ["--runs-dir", str(tmp_path / "runs"), "--executor", "inline"]
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *arguments, *given])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert line in error
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("paper*"))


def test_a_run_of_that_name_with_other_settings_is_refused(tmp_path: Path) -> None:
    experiment = tiny_profile().experiment_of(runs()["undefended"])
    run_dir = tmp_path / experiment.name
    run_dir.mkdir()
    (run_dir / "experiment.yaml").write_text(yaml.safe_dump(experiment.dump()))
    chosen = chosen_items(["figure7"])
    (planned,) = planned_runs(chosen, tiny_profile(), tmp_path)
    assert planned.state == "begun"
    with pytest.raises(InputError, match="exists with another evaluation"):
        planned_runs(chosen, tiny_profile(iterations={"hag": 7}), tmp_path)


# --- whole runs


@pytest.fixture
def epochs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Epochs that were trained, by stage."""
    trained: Counter[str] = Counter()
    run_epoch = Training.run_epoch

    def noted(self: Training, *arguments: Any) -> Any:
        trained[self.stage] += 1
        return run_epoch(self, *arguments)

    monkeypatch.setattr(Training, "run_epoch", noted)
    return trained


@pytest.mark.lengthy
def test_two_tables_share_models_and_an_interruption_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: Counter[str]
) -> None:
    profile, options, out = tiny_profile(), inline(tmp_path), tmp_path / "pages"
    whole, calls = saat.evaluate, Counter[str]()

    def interrupted(*arguments: Any, **more: Any) -> Any:
        calls["attacked"] += 1
        if calls["attacked"] == 2:
            raise KeyboardInterrupt
        return whole(*arguments, **more)

    monkeypatch.setattr(attempt, "evaluate", interrupted)
    table3 = chosen_items(["table3"])
    with pytest.raises(KeyboardInterrupt):
        reproduce(table3, profile, options, out, quiet)
    assert not (out / "table3.md").exists()
    index = reproduce(table3, profile, options, out, quiet)
    assert calls["attacked"] == 3  # of two models, one of them twice
    assert index.read_text().count("](table") == 1
    once = dict(epochs)
    assert once == {"pretrain": 2, "saat": 1, "atrdh": 1}
    first = read_csv(out / "table3.csv").set_index(["defense", "attack", "bits"])["ours"]
    assert first.loc[:, :, 32].notna().all()
    assert first.loc[:, :, 16].isna().all()

    # The same models under other attacks: nothing is trained again.
    reproduce(chosen_items(["table4"]), profile, options, out, quiet)
    assert dict(epochs) == once
    second = read_csv(out / "table4.csv").set_index(["defense", "attack", "bits"])["ours"]
    for defense in ("saat", "atrdh"):
        assert second[defense, "none", 32] == first[defense, "none", 32]
    assert second.loc[:, :, 32].notna().all()

    # Both again: only pages.
    attacked = calls["attacked"]
    found = reproduce(chosen_items(["table3", "table4"]), profile, options, out, quiet)
    assert calls["attacked"] == attacked
    assert dict(epochs) == once
    assert "table4.md" in found.read_text()
    left = dry_run(chosen_items(["table3", "table4"]), profile, options, quiet)
    assert (left.total.pretrained, left.total.trained, left.total.attacks) == (0, 0, 0)
    assert {state for state, _ in left.runs.values()} == {"finished"}


@pytest.mark.lengthy
def test_pictures_and_curves_are_drawn_from_one_run(tmp_path: Path) -> None:
    profile, options, out = tiny_profile(), inline(tmp_path), tmp_path / "pages"
    names = ["table7", "figure3", "figure4", "figure5", "figure7"]
    reproduce(chosen_items(names), profile, options, out, quiet)
    assert {path.name for path in out.glob("*.png")} == {f"figure{n}.png" for n in (3, 4, 5, 7)}
    curves = read_csv(out / "figure4.csv")
    assert set(curves["attack"]) == {
        "none", "hag", "sdha", "mainstay", "p2p", "dhta", "prosgan", "tha", "mainstay_targeted",
    }  # fmt: skip
    assert curves["y"].between(0, 100).all()
    assert read_csv(out / "table7.csv")["ours"].notna().all()
    assert "Not run yet" not in (out / "figure5.md").read_text()
