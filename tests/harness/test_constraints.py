"""Trials below a constraint: on no front, no hypervolume, here as in the report."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.search.recommendation import explored_hypervolume
from harness.search.search import Search
from harness.session.status import status_of
from reports.frontier import hypervolume, pareto_mask
from tests.harness.fakes import experiment, finished, objectives

pytestmark = pytest.mark.usefixtures("no_fsync")


def ended(run_dir: Path, floor: float) -> tuple[Search, dict[str, Any]]:
    """A search under a floor for clean MAP, and its status."""
    bound = {"val/clean_map": {"at_least": floor}}
    searched = experiment(search__scheduler="none", constraints=bound)
    search = finished(run_dir, searched)
    (run_dir / "experiment.yaml").write_text(yaml.safe_dump(searched.dump()))
    return search, status_of(run_dir)


def test_status_and_tracker_count_what_is_feasible(tmp_path: Path) -> None:
    search, free = ended(tmp_path / "free", 0.0)
    points = {
        r.spec.trial_id: objectives(r.spec.config.dump()) for r in search.state.of_phase("explore")
    }
    clean = sorted(point[0] for point in points.values())
    floor = clean[len(clean) // 2]
    kept = {i: point for i, point in points.items() if point[0] >= floor}
    whole = experiment(constraints={"val/clean_map": {"at_least": floor}})
    (tmp_path / "free" / "experiment.yaml").write_text(yaml.safe_dump(whole.dump()))
    found = status_of(tmp_path / "free")
    on = pareto_mask(list(kept.values()))
    assert {entry["trial_id"] for entry in found["front"]} == {
        trial_id for trial_id, best in zip(kept, on, strict=True) if best
    }
    assert found["hypervolume"] == pytest.approx(hypervolume(list(kept.values())))
    assert found["hypervolume"] < free["hypervolume"]
    assert explored_hypervolume(whole.aims, search.state) == found["hypervolume"]


def test_where_nothing_is_feasible_there_is_no_front(tmp_path: Path) -> None:
    search, found = ended(tmp_path, 1.0)
    assert (found["front"], found["hypervolume"]) == ([], 0.0)
    assert explored_hypervolume(search.experiment.aims, search.state) == 0.0
