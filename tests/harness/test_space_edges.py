"""A space whose best settings lie on its edge: told by status, report and tracker."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.__main__ import main
from harness.experiment.configs import key_limits
from harness.experiment.section import parse_number
from harness.journal.journal import read
from harness.journal.state import SearchState
from harness.search.space_edges import crowded_keys
from harness.session.session import make_report
from harness.session.status import render, status_of
from harness.tracking.tracked_values import space_edges_tag
from tests.harness.fakes import experiment, finished
from tests.harness.tiny import tiny, tiny_raw

pytestmark = pytest.mark.usefixtures("no_fsync")

# In the fake, robust MAP rises with the steps and nothing else changes, so the best have most.
CHANGES: dict[str, Any] = {
    "search__sampler": "random",
    "search__scheduler": "none",
    "search__num_samples": 60,
    "confirm__max_configs": 0,
}
WEIGHT = {"defense.lambda": {"choice": [0.5, 0.7, 1.0, 1.4, 2.0]}}
STEPS = {"defense.steps": {"int": [4, 44], "step": 10}}


@pytest.fixture
def edge(tmp_path: Path) -> Path:
    """A search whose front lies at the upper end of the steps."""
    searched = experiment(space={**WEIGHT, **STEPS}, **CHANGES)
    finished(tmp_path / "edge", searched)
    (tmp_path / "edge" / "experiment.yaml").write_text(yaml.safe_dump(searched.dump()))
    return tmp_path / "edge"


def test_status_report_and_tracker_say_the_same(edge: Path) -> None:
    (line,) = status_of(edge)["space_edges"]
    assert line.startswith("T: ")
    assert " settings of the front lie at the upper end (44); to widen the space: " in line
    assert f"  edge of the space: {line}" in render(status_of(edge)).splitlines()
    page = make_report([edge], edge / "report", print).read_text()
    assert f'<li class="warning">{line}</li>'.replace("'", "&#39;") in page
    searched = experiment(space={**WEIGHT, **STEPS}, **CHANGES)
    assert space_edges_tag(searched, SearchState(read(edge / "events.jsonl"))) == line


def test_what_the_sentence_proposes_is_accepted_and_then_searched(
    edge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = status_of(edge)["space_edges"]
    option, pair = shlex.split(line[line.index("--set") :])
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(edge / "experiment.yaml"), option, pair])
    assert ended.value.code == 0, capsys.readouterr().err
    assert pair == "space.defense.steps={int: [4, 64], step: 10}"


def test_a_front_inside_the_space_is_no_news(tmp_path: Path) -> None:
    searched = experiment(space=WEIGHT, **CHANGES)
    search = finished(tmp_path / "inside", searched)
    assert space_edges_tag(searched, search.state) == "none"


@pytest.mark.parametrize("at", [0, 1], ids=["lower", "upper"])
@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("model.bits", {"int": [16, 64], "log": True}),
        ("model.bits", {"int": [16, 4000], "step": 8}),
        ("defense.lambda", {"float": [0.1, 10.0], "log": True}),
        ("defense.lambda", {"float": [1e-11, 9e5], "log": True}),
        ("defense.lambda", {"float": [0.3, 900_000.0]}),
        ("defense.mu", {"float": [1e-5, 1e-2], "log": True, "when": {"defense.method": "saat"}}),
        ("defense.eps", {"float": ["2/255", "16/255"]}),
        ("defense.eps", {"float": ["2/255", "16/255"], "step": "2/255"}),
        ("defense.eps", {"float": [0.1, 0.9]}),
        ("defense.eps", {"float": [0, 1]}),
        ("defense.steps", {"int": [2, 900]}),
        ("defense.steps", {"int": [102, 802], "step": 100}),
        ("defense.momentum", {"float": [0.3, 0.6], "step": 0.3}),
        ("pretrain.lr", {"float": [0.01, 1.0], "log": True}),
        ("pretrain.epochs", {"int": [1, 90]}),
    ],
)
def test_every_proposal_is_a_valid_space_that_goes_beyond_the_old_one(
    key: str, given: dict[str, Any], at: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched = tiny({"space": {key: given}})
    dimension = searched.space[key]
    values = list(dimension.grid() or dimension.bounds)
    front = [{key: values[-at], "defense.method": "saat"}] * 6
    limits = key_limits(searched)
    found = crowded_keys(searched.space, front, limits)
    if dimension.bounds[at] == limits[key][at]:
        assert found == []
        return
    (sentence,) = found
    (override,) = shlex.split(sentence.partition("--set ")[2])
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_raw({"space": {key: given}})))
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(path), "--set", override])
    assert ended.value.code == 0, capsys.readouterr().err
    proposed = yaml.safe_load(override.partition("=")[2])
    new = [parse_number(end) for end in proposed.get("float") or proposed["int"]]
    old = dimension.bounds
    assert new[at] > old[at] if at else new[at] < old[at]
    assert new[1 - at] == old[1 - at] or dimension.step, "the other end stays"


def test_limits_are_those_that_every_searched_method_allows() -> None:
    limits = key_limits(tiny({"space": {"defense.method": {"choice": ["saat", "cgat"]}}}))
    some = {"defense.steps": (1, 1000), "defense.eps": (0, 1), "model.bits": (1, 4096)}
    assert limits.items() >= some.items()
    assert "defense.weights" not in limits, "a word has no limits"
