"""A configuration on its way from the file to the training: the same at every station."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.__main__ import main
from harness.experiment.config import METHODS
from harness.experiment.configs import config_at
from harness.experiment.file import load_experiment
from harness.experiment.protocols import full_protocol, validation_protocol
from harness.journal.protocol_identity import validation_hash
from harness.session.resume_checks import read_stored
from harness.trial.interface import TrialSpec
from harness.trial.stages import adversarial_training, build_models, trial_data
from reports.protocol import protocol_terms
from reports.results import load_search
from saat.attacks import HAG
from saat.defenses.minimax import MinimaxTraining
from tests.harness.tiny import context_of, spec_of, tiny, tiny_raw
from tests.reports.synthetic import write_run


def sent(task: Any) -> Any:
    """A task as another process has it."""
    return pickle.loads(pickle.dumps(task))


def test_the_radius_in_the_file_is_the_ball_of_the_training(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"defense.eps": "6/255"})))
    experiment, _ = load_experiment(file)
    config = sent(spec_of(experiment)).config
    data = trial_data(config, None)
    models = build_models(config, data, 0, "cpu")
    training = adversarial_training(config, *models, data, 0)
    assert isinstance(training, MinimaxTraining)
    assert training.settings.eps == 6 / 255


@pytest.mark.parametrize("method", METHODS)
def test_a_task_is_the_same_on_both_sides_of_the_boundary(method: str, tmp_path: Path) -> None:
    options = {"hag": {"step_size": 1 / 3}}
    experiment = tiny({"defense": {"method": method}, "space": {}, "evaluation.options": options})
    spec, context = spec_of(experiment), context_of(experiment, tmp_path)
    assert sent(spec) == spec
    assert type(sent(spec).config.defense) is type(spec.config.defense)
    assert sent(context) == context
    assert TrialSpec.of(spec.dump()) == spec


def test_a_point_shares_what_it_does_not_change() -> None:
    experiment = tiny()
    own = experiment.config
    assert config_at(experiment, {}) is own
    changed = config_at(experiment, {"defense.eps": 0.01})
    assert changed.model is own.model
    assert changed.pretrain is own.pretrain
    assert changed.flat() == own.flat() | {"defense.eps": 0.01}


def test_an_option_of_an_attack_may_be_a_fraction() -> None:
    options = {"hag": {"step_size": "1/255", "steps": 7}}
    experiment = tiny({"evaluation.options": options})
    assert full_protocol(experiment.evaluation).attacks["hag"] == HAG(steps=7, step_size=1 / 255)
    whole = tiny({"evaluation.options": {"hag": {"step_size": 1}}})
    assert type(whole.evaluation.options["hag"]["step_size"]) is int  # hashes tell it from 1.0


def test_the_file_of_an_older_run_names_the_one_attack(tmp_path: Path) -> None:
    dump = tiny().dump()
    dump["validation"]["attack"] = "mainstay"
    del dump["validation"]["database"], dump["validation"]["every"]
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(dump))
    experiment, missing = read_stored(tmp_path)
    assert experiment == tiny({"validation.database": "all"})
    assert missing == {}
    # What the first versions journaled for this section.
    known = "d66aa58479631608d1f5b80cdc01a7e5550dc1d0faa82eae97d22a0f8e3f2c39"
    assert validation_hash(experiment, 800) == known


def test_the_file_of_an_older_run_may_lack_a_key(tmp_path: Path) -> None:
    dump = tiny().dump()
    del dump["validation"]["steps"], dump["search"]["margin"]
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(dump))
    _, missing = read_stored(tmp_path)
    assert missing == {"validation.steps": 10, "search.margin": 0.02}


def test_where_another_norm_does_not_hold_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"evaluation.norm": "l2", "evaluation.eps": 0.5})))
    with pytest.raises(SystemExit):
        main(["validate", str(file)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("evaluation.norm: l2: re-attacks and tests are in L2; training")
    experiment, notes = load_experiment(file)
    assert notes == lines
    assert full_protocol(experiment.evaluation).norm == "l2"
    assert validation_protocol(experiment.validation, experiment.evaluation, 800).norm == "linf"
    file.write_text(yaml.safe_dump(tiny_raw()))
    assert load_experiment(file)[1] == []


def test_a_report_says_where_another_norm_does_not_hold(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert "Norms" not in dict(protocol_terms(load_search(run)))
    file = run / "experiment.yaml"
    content = yaml.safe_load(file.read_text())
    content["evaluation"] = {**content.get("evaluation", {}), "norm": "l2", "eps": 0.5}
    file.write_text(yaml.safe_dump(content))
    assert "stay in L∞" in dict(protocol_terms(load_search(run)))["Norms"]
