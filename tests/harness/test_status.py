"""What ``saat status`` and the end of a run say of running and confirmed trials."""

import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import yaml

from harness.__main__ import main
from harness.journal.state import SearchState, load_state
from harness.session.confirmed import confirmed_lines, confirmed_settings, warnings
from harness.session.result_tables import write_tables
from harness.session.status import render, status_of
from harness.session.wording import compact_setting, setting_text
from reports.confirmed import confirmed_configs
from reports.results import load_search
from saat.metrics import Phase
from tests.harness.fakes import SPACE as WHOLE
from tests.harness.fakes import cut, experiment, finished

SPACE = {key: value for key, value in WHOLE.items() if key != "model.bits"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished search with several recommended settings of one code length."""
    searched = experiment(name="done", search__num_samples=12, space=SPACE)
    folder = tmp_path_factory.mktemp("runs") / "done"
    search = finished(folder, searched)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(searched.dump(), sort_keys=False))
    return folder, search


def test_status_shows_epochs_values_and_the_time_left(done: Any, tmp_path: Path) -> None:
    folder, search = done
    events = search.journal.events
    count = next(i for i in range(30, len(events)) if SearchState(events[:i]).running()
                 and SearchState(events[:i]).running()[0].epochs)  # fmt: skip
    cut(events, count, tmp_path / "cut")
    (tmp_path / "cut" / "experiment.yaml").write_bytes((folder / "experiment.yaml").read_bytes())
    found = status_of(tmp_path / "cut")
    (record,) = SearchState(events[:count]).running()
    (trial,) = found["running"]
    assert (trial["epoch"], trial["epochs"]) == (len(record.epochs), 4)
    clean, robust = (100 * record.metrics[f"val/{name}_map"] for name in ("clean", "robust"))
    text = render(found)
    expected = f"epoch {trial['epoch']}/4  clean {clean:.1f} robust {robust:.1f}"
    values = record.config.flat()
    setting = f"λ={values['defense.lambda']:.3g} ε={255 * values['defense.eps']:.3g}/255"
    assert f"  running: {record.spec.trial_id}  {expected}  {setting}" in text
    assert re.search(r"  about \d+ (s|min \d\d s) left \(.+ to .+\) at this pace", text)
    assert found["confirmed"] == []
    json.dumps(found, allow_nan=False)


def test_a_trial_without_an_epoch_has_no_values(done: Any, tmp_path: Path) -> None:
    folder, search = done
    cut(search.journal.events, 2, tmp_path / "cut")
    (tmp_path / "cut" / "experiment.yaml").write_bytes((folder / "experiment.yaml").read_bytes())
    found = status_of(tmp_path / "cut")
    assert found["running"][0]["values"] == [None, None]
    assert found["seconds_left"] is None
    assert "epoch 0/4  clean - robust -" in render(found)
    json.dumps(found, allow_nan=False)


def test_the_confirmed_table_is_that_of_the_journal_and_of_the_report(done: Any) -> None:
    folder, search = done
    state = search.state
    settings = confirmed_settings(search.experiment, state)
    lines = confirmed_lines(settings, state.recommended)
    for one in settings:
        records = [r for r in state.of_phase("confirm") if r.config_hash == one.config_hash]
        values = [Phase.TEST.of(r.metrics)["robust_map"] for r in records]
        cell = f"{100 * fmean(values):.1f} ± {100 * stdev(values):.1f}"
        (line,) = [x for x in lines if x.startswith(f"  {one.label} ") and one.setting in x]
        assert line.endswith(cell)
    assert max(map(len, lines)) <= 80
    write_tables(folder, *load_state(folder))
    reported = confirmed_configs(load_search(folder, []))
    named = [(c.role, c.letter, c.config_hash) for c in reported]
    assert [(one.role, one.letter, one.config_hash) for one in settings] == named
    chosen = [one for one in settings if one.role == "recommended"]
    assert len(chosen) == 2
    for one in chosen:
        (line,) = [x for x in lines if x.startswith(f"{one.label}, {one.bits} bits: robust ")]
        assert "points over the default" in line
    assert "\n".join(lines) in render(status_of(folder))


def test_warnings_call_tested_trials_by_setting_and_seed(done: Any) -> None:
    _, search = done
    state = SearchState(search.journal.events)
    tested, explored = state.of_phase("confirm")[0], state.of_phase("explore")[0]
    for record, phase in ((tested, Phase.TEST), (explored, Phase.REATTACK)):
        low = {"clean_map": 0.6, "robust_map": 0.2, "chance_map": 0.3}
        record.metrics = {phase.key(name): value for name, value in low.items()}
    settings = confirmed_settings(search.experiment, state)
    (line,) = warnings(state, settings)
    (one,) = [one for one in settings if tested.spec.trial_id in one.seeds]
    assert f"{one.label}, {one.bits} bits, seed {tested.spec.seed} (20.0 %" in line
    assert f"{explored.spec.trial_id} (20.0 %" in line
    assert tested.spec.trial_id not in line
    twins = [one, replace(one, seeds={"another": tested.spec.seed})]
    assert tested.spec.trial_id in warnings(state, twins)[0]


def test_settings_are_written_as_in_the_report(done: Any) -> None:
    folder, _ = done
    text = render(status_of(folder))
    assert re.search(r"λ=[\d.]+ ε=[\d.]+/255 T=\d", text)
    assert "defense." not in text.partition("edge of the space")[0]
    pairs = [("model.bits", 32), ("defense.eps", 0.0407), ("pretrain.lr", 1e-5)]
    assert setting_text(pairs) == "bits=32 ε=10.4/255 pretrain.lr=1e-05"
    assert compact_setting(pairs) == "32b ε10.4/255 lr=1e-5"


def test_status_and_its_json_go_through_the_command(
    done: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = done
    for options in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            main(["status", "done", "--runs-dir", str(folder.parent), *options])
        assert ended.value.code == 0
        out = capsys.readouterr().out
    found = json.loads(out)
    assert {"role", "letter", "setting", "values", "doubts"} <= set(found["confirmed"][0])
    assert found["recommended"]
