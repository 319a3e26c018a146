"""``search.each``: an equal budget for every value of a searched choice."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from harness.__main__ import main
from harness.experiment.configs import config_at
from harness.experiment.file import load_experiment
from harness.experiment.published import paper_defaults, published_configs
from harness.experiment.strata import strata
from harness.search.recommendation import recommend
from harness.session.result_tables import write_tables
from reports import html
from reports.confirmed import confirmed_configs, gains_over_default
from reports.results import load_search
from saat.errors import InputError
from tests.harness import fakes
from tests.harness.fakes import cut, drive, experiment, finished, open_search, outcome
from tests.harness.tiny import tiny, tiny_raw

pytestmark = pytest.mark.usefixtures("no_fsync")

METHODS = ["saat", "cgat", "trades", "none"]
SPACE: dict[str, Any] = {
    "defense.method": {"choice": METHODS},
    "defense.epochs": {"choice": [4], "when": {"defense.method": METHODS[:3]}},
    "defense.eps": {"float": ["2/255", "16/255"], "when": {"defense.method": METHODS[:3]}},
    "defense.lambda": {
        "float": [0.1, 10.0],
        "log": True,
        "when": {"defense.method": ["saat", "cgat"]},
    },
    "defense.augment": {"choice": [True, False], "when": {"defense.method": "cgat"}},
    "defense.beta": {"float": [0.1, 10.0], "log": True, "when": {"defense.method": "trades"}},
}
SEARCHED = {  # of each method, besides the method itself
    "saat": {"defense.eps", "defense.lambda"},
    "cgat": {"defense.eps", "defense.lambda", "defense.augment"},
    "trades": {"defense.eps", "defense.beta"},
    "none": set[str](),
}


@pytest.fixture(autouse=True)
def every_method_is_known_to_the_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRADES has a β where others have a λ; CgAT is better than all others at everything."""
    plain = fakes.objectives

    def known(config: dict[str, Any], progress: float = 1.0) -> tuple[float, float]:
        defense = dict(config["defense"])
        defense.setdefault("lambda", defense.get("beta", 1.0))
        clean, robust = plain({**config, "defense": defense}, progress)
        ahead = 0.2 if defense["method"] == "cgat" else 0.0
        return min(1.0, clean + ahead), min(1.0, robust + ahead)

    monkeypatch.setattr(fakes, "objectives", known)


def each(**changes: Any) -> Any:
    given = {"search__each": "defense.method", "search__num_samples": 6, "confirm__max_configs": 1}
    return experiment(**{"space": SPACE, **given, **changes})


def sampled(search: Any) -> list[Any]:
    return [r for r in search.state.of_phase("explore") if r.spec.role == "sampled"]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ehvi", "tpe", "random"])
@pytest.mark.parametrize("at_once", [1, 3])
def test_every_value_gets_the_same_number_of_trials_in_turn(
    tmp_path: Path, sampler: str, at_once: int
) -> None:
    search = finished(tmp_path, each(search__sampler=sampler), max_concurrent=at_once)
    methods = [record.config.method for record in sampled(search)]
    # Without a defense there is a single setting.
    assert Counter(methods) == {"saat": 6, "cgat": 6, "trades": 6, "none": 1}
    assert methods[:4] == METHODS
    for end in range(len(methods)):
        counts = Counter(methods[:end])
        spread = [counts[name] for name in METHODS[:3]]
        assert max(spread) - min(spread) <= 1
    defaults = [r for r in search.state.of_phase("explore") if r.spec.role == "default"]
    assert [r.config.method for r in defaults] == METHODS[:3]
    assert len(search.state.trials) == sum(search.planned())


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ehvi", "tpe", "nsga2", "gp", "random"])
def test_a_sampler_stays_inside_its_stratum(tmp_path: Path, sampler: str) -> None:
    search = finished(tmp_path, each(search__sampler=sampler, search__num_samples=5))
    for record in sampled(search):
        method = record.config.method
        fixed = {"defense.method"} | ({"defense.epochs"} if method != "none" else set())
        assert set(record.point) == SEARCHED[method] | fixed
        assert record.point["defense.method"] == method
        assert config_at(search.experiment, record.point) == record.config
    for part, method in zip(search.parts, METHODS, strict=True):
        for trial in part.searcher.study.trials:
            assert set(trial.params) <= SEARCHED[method]


def test_a_scheduler_compares_trials_of_one_stratum_alone(tmp_path: Path) -> None:
    """CgAT is ahead of all others everywhere, and yet no more of its trials reach the end."""
    search = finished(tmp_path, each(search__num_samples=12, search__sampler="random"))
    done = Counter(r.config.method for r in sampled(search) if r.status == "completed")
    assert all(done[method] >= 3 for method in METHODS[:3])
    whole = experiment(
        space=SPACE, search__num_samples=36, search__sampler="random", confirm__max_configs=1
    )
    together = finished(tmp_path / "whole", whole)
    done = Counter(r.config.method for r in sampled(together) if r.status == "completed")
    assert min(done[method] for method in ("saat", "trades")) < 3


@pytest.mark.lengthy
@pytest.mark.parametrize("sampler", ["ehvi", "tpe"])
def test_a_resumed_search_suggests_what_the_undisturbed_one_does(
    tmp_path: Path, sampler: str
) -> None:
    searched = each(search__sampler=sampler)
    whole = finished(tmp_path / "whole", searched)
    again = finished(tmp_path / "again", searched)
    expected = [outcome(record) for record in whole.state.trials.values()]
    assert [outcome(record) for record in again.state.trials.values()] == expected
    events = whole.journal.events
    for count in range(1, len(events), 23):
        cut(events, count, tmp_path / str(count))
        resumed = open_search(tmp_path / str(count), searched)
        drive(resumed)
        assert [outcome(record) for record in resumed.state.trials.values()] == expected
        assert resumed.state.recommended == whole.state.recommended


def test_every_value_is_confirmed_beside_its_published_setting(tmp_path: Path) -> None:
    search = finished(tmp_path, each(confirm__seeds=2))
    confirmed = search.state.of_phase("confirm")
    roles = Counter((r.spec.role, r.config.method) for r in confirmed)
    assert roles == {
        (role, method): 2 for method in METHODS[:3] for role in ("recommended", "default")
    } | {("recommended", "none"): 2}  # which is the undefended model too
    assert {r.spec.seed for r in confirmed} == {1, 2}
    first = [r.config.method for r in confirmed if r.spec.seed == 1]
    assert len(confirmed) == 2 * len(first)
    for part in search.parts:
        known = [r for r in search.state.known() if r.config.method == part.value]
        (chosen,) = recommend(part.experiment, known)
        assert chosen in (search.state.recommended or [])


def test_the_published_setting_of_a_value_has_the_keys_with_one_value() -> None:
    searched = each()
    configs = published_configs(searched)
    assert [config.method for config in configs] == METHODS[:3]
    dumped = {config.method: config.dump()["defense"] for config in configs}
    assert {d["epochs"] for d in dumped.values()} == {4}
    assert (dumped["cgat"]["lambda"], dumped["cgat"]["augment"]) == (1.0, True)
    assert dumped["trades"]["beta"] == 6.0
    assert {d["eps"] for d in dumped.values()} == {8 / 255}
    assert dumped["cgat"]["lr"] == 0.01  # its own, not the file's
    assert all(
        set(point) >= {"defense.method", "defense.epochs"} for point in paper_defaults(searched)
    )


def test_a_stratum_searches_what_applies_to_its_value() -> None:
    for stratum, method in zip(strata(each()), METHODS, strict=True):
        assert set(stratum.experiment.space) == SEARCHED[method]
        assert not any(d.when for d in stratum.experiment.space.values())
        assert stratum.experiment.config.method == method
        assert stratum.experiment.search.each is None
    (whole,) = strata(experiment())
    assert whole.fixed == {}


def test_objectives_of_a_stratum_have_the_references_of_the_whole_space() -> None:
    lengths = {"model.bits": {"choice": [16, 64]}, "defense.lambda": {"float": [0.1, 10.0]}}
    goals = {"val/robust_map": "max", "val/code_length": "min"}
    searched = experiment(space=lengths, search__each="model.bits", objectives=goals)
    for stratum in strata(searched):
        assert stratum.experiment.aims == searched.aims


def test_device_seconds_are_a_budget_of_each_value(tmp_path: Path) -> None:
    searched = each(search__num_samples=50, search__stop={"cost": 60.0}, search__scheduler="none")
    search = finished(tmp_path, searched)
    spent: dict[str, float] = dict.fromkeys(METHODS, 0.0)
    last: dict[str, float] = {}
    for record in search.state.of_phase("explore"):
        spent[record.config.method] += record.cost_s
        last[record.config.method] = record.cost_s
    for method in METHODS[:3]:
        assert 60 <= spent[method] < 60 + last[method]
    assert "1 min 00 s were given" in search.state.stopped_exploring


def test_a_warm_start_teaches_the_stratum_that_it_belongs_to(tmp_path: Path) -> None:
    searched = each(search__sampler="random", search__scheduler="none")
    earlier = finished(tmp_path / "earlier", searched)
    search = open_search(tmp_path / "new", searched)
    entries = [
        {
            "trial": {**r.spec.dump(), "number": -1 - i},
            "config_hash": r.config_hash,
            "point": r.point,
            "notes": {},
            "metrics": r.metrics,
        }
        for i, r in enumerate(earlier.state.of_phase("explore"))
    ]
    search.journal.append("warm_started", runs={"earlier": "id"}, trials=entries)
    methods = Counter(record.config.method for record in earlier.state.of_phase("explore"))
    for part in search.parts:
        assert len(part.searcher.study.trials) == methods[part.value]


def test_gains_compare_the_settings_of_one_value(tmp_path: Path) -> None:
    searched = each(confirm__seeds=3)
    search = finished(tmp_path, searched)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(searched.dump(), sort_keys=False))
    write_tables(tmp_path, search.journal.events[0], search.state)
    results = load_search(tmp_path)
    configs = confirmed_configs(results)
    gains = gains_over_default(configs)
    assert {gain.recommended.stratum for gain in gains} == set(METHODS[:3])
    assert len(gains) == 2 * 3
    tested = results.tested.set_index("seed")
    for gain in gains:
        mine = tested[tested["param.defense.method"] == gain.recommended.stratum]
        column = f"metric.test/{gain.metric}"
        tuned, published = (
            mine.loc[mine["role"] == role, column] for role in ("recommended", "default")
        )
        assert gain.comparison.mean == pytest.approx(np.mean(tuned - published))
    labels = [config.label for config in configs]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"search.each": "defense.metod"},
            "search.each: defense.metod: not searched; did you mean",
        ),
        ({"search.each": "defense.eps"}, "must be a choice of 2 to 12 values"),
        ({"search.each": "defense.epochs"}, "must be a choice of 2 to 12 values"),
        ({"search.each": "defense.augment"}, "has a condition; every trial must have the key"),
        ({"search.each": ""}, "search.each: '': at least 1 character"),
        ({"search.each": ["defense.method"]}, "search.each: ['defense.method']: a text"),
        (
            {"search.each": "defense.method", "search.stop": {"stagnation": {"trials": 3}}},
            "search.stop.stagnation: with search.each the budget would not be equal",
        ),
    ],
)
def test_a_wrong_key_is_told_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        tiny({"space": SPACE, **changes})
    assert any(words in fault for fault in refused.value.faults), refused.value.faults


def test_an_override_of_the_key_leaves_the_search_of_its_value() -> None:
    path = Path(__file__).parents[2] / "search_spaces" / "tuned_defenses_digits.yaml"
    alone, notes = load_experiment(path, ["defense.method=trades"])
    assert notes == ["--set defense.method=trades: defense.method is no longer searched"]
    assert alone.search.each is None
    assert {"defense.beta", "defense.eps", "defense.steps"} <= set(alone.space)
    assert not {"defense.lambda", "defense.gamma", "defense.method"} & set(alone.space)
    assert alone.config.method == "trades"


def status_of(*arguments: str) -> object:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


@pytest.mark.slow
def test_a_tiny_search_is_reported_by_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real trainings of two methods, from the file to the tables of both reports."""
    space = {
        "defense.method": {"choice": ["saat", "trades"]},
        "defense.epochs": {"choice": [1]},
        "defense.batch_size": {"choice": [40]},
        "defense.lambda": {"float": [0.1, 1.0], "when": {"defense.method": "saat"}},
        "defense.beta": {"float": [0.1, 1.0], "when": {"defense.method": "trades"}},
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "save_figure", lambda *_: {"plots": []})
    changes = {"space": space, "search.each": "defense.method", "search.num_samples": 1}
    raw = tiny_raw({**changes, "defense.epochs": 1})
    Path("tiny.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    assert status_of("search", "tiny.yaml", "--executor", "inline") == 0
    report = Path("runs/tiny/report")
    own = {name: (report / "tables" / name).read_text() for name in ("values.csv", "tuned.csv")}
    values = pd.read_csv(report / "tables" / "values.csv").set_index("defense.method")
    assert values["trials"].to_dict() == {"saat": 2, "trades": 2}
    tuned = pd.read_csv(report / "tables" / "tuned.csv")
    assert list(tuned["defense.method"]) == ["saat", "trades"]
    assert tuned["published robust MAP"].notna().all()
    assert status_of("report", "tiny", "--by", "defense.method", "-o", "again") == 0
    for name, text in own.items():
        assert Path("again/tables", name).read_text() == text
    capsys.readouterr()
    assert status_of("report", "tiny", "--by", "defense.metod", "-o", "wrong") == 2
    assert "did you mean defense.method?" in capsys.readouterr().err
    assert not Path("wrong").exists()
