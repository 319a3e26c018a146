"""Plans without a search: the given settings, all under the same seeds, in a fixed order."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.experiment.configs import config_at
from harness.journal.journal import read
from saat.errors import InputError
from tests.harness.fakes import cut, experiment, finished, open_search, outcome
from tests.harness.tiny import tiny

pytestmark = pytest.mark.usefixtures("no_fsync")

COMPARED: dict[str, dict[str, Any]] = {
    "none": {"defense.method": "none"},
    "saat": {},
    "strong": {"defense.lambda": 5.0, "defense.eps": "16/255"},
}


def test_every_setting_is_trained_under_every_seed_seed_by_seed(tmp_path: Path) -> None:
    compared = experiment(compare=COMPARED, confirm__seeds=2, seed=7)
    search = finished(tmp_path, compared, plan="compare", max_concurrent=2)
    records = list(search.state.trials.values())
    assert [(r.spec.role, r.spec.seed) for r in records] == [
        (name, seed) for seed in (7, 8) for name in COMPARED
    ]
    assert {r.spec.phase for r in records} == {"train"}
    assert {r.status for r in records} == {"completed"}
    assert sum(search.planned()) == 6
    assert records[2].spec.config.dump()["defense"]["eps"] == 16 / 255
    assert records[0].spec.config.dump()["defense"] == {"method": "none"}


@pytest.mark.parametrize("events", [2, 5, 9])
def test_a_comparison_that_was_cut_off_ends_like_an_undisturbed_one(
    tmp_path: Path, events: int
) -> None:
    compared = experiment(compare=COMPARED, confirm__seeds=2)
    whole = finished(tmp_path / "whole", compared, plan="compare")
    cut(read(tmp_path / "whole" / "events.jsonl"), events, tmp_path / "cut")
    again = finished(tmp_path / "cut", compared, plan="compare")
    expected = {k: outcome(r) for k, r in whole.state.trials.items()}
    assert {k: outcome(r) for k, r in again.state.trials.items()} == expected


def test_another_method_starts_from_its_own_published_defaults() -> None:
    """A learning rate that was chosen for one method must not leak into another."""
    changed = tiny({"defense.lr": 0.7, "defense.mu": 0.5})
    back = config_at(changed, {"defense.method": "saat"})
    assert back.defense.model_dump()["lr"] == 0.7  # the file's own method keeps its keys
    bare = {"method": "none"}
    assert config_at(changed, {"defense.method": "none"}).dump()["defense"] == bare
    other = config_at(tiny({"defense": bare, "space": {}}), {"defense.method": "saat"})
    assert other.dump()["defense"]["lr"] == 0.05


@pytest.mark.parametrize(
    ("compare", "named"),
    [
        ({"a": {"defense.lambada": 1}}, "compare.a: defense.lambada"),
        ({"a": {"data.image_size": 64}}, "compare.a: data.image_size: only keys of model"),
        ({"a": {"defense": {"lambda": 3}}}, "compare.a: defense: a whole section; name one of its"),
        ({"a": {"defense.lambda": -1}}, "compare.a"),
        ({"a": {}, "b": {"defense.lambda": 1.0}}, "compare.b: the same setting as compare.a"),
        ({"default": {}}, "compare.default: a name"),
        ({"ends ": {}}, "no space or dot at its end"),
        ({"ends.": {}}, "no space or dot at its end"),
        ({"../x": {}}, "compare.../x: a name"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_in_one_line(
    compare: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError) as error:
        tiny({"compare": compare})
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("schema_version: 1\nname: one\ndata: {name: digits}\n")
    result = CliRunner().invoke(app, ["compare", str(path), "--runs-dir", str(tmp_path / "runs")])
    assert isinstance(result.exception, InputError)
    assert "compare: names no setting" in str(result.exception)
    assert not (tmp_path / "runs").exists()


def test_a_search_ignores_what_is_only_compared(tmp_path: Path) -> None:
    search = open_search(tmp_path, experiment(compare=COMPARED))
    spec = search.next_trial()
    assert getattr(spec, "role", None) == "default"
    search.journal.close()
