"""Constraints of the experiment: what violates them is on no front, and says so."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from reports.conclusions import conclusions
from reports.csv_files import csv_text
from reports.explored import feasible, hypervolume_over_cost, on_front
from reports.figures import static
from reports.figures.frontier import frontier_chart, frontier_series
from reports.frontier import hypervolume
from reports.html import write_report
from reports.results import SearchResults, load_search
from reports.table_formats import displayed
from reports.tables import front_table, trials_table
from saat.errors import InputError
from tests.reports.pictures import plots
from tests.reports.synthetic import write_run

CLEAN, ROBUST = "metric.reattack/clean_map", "metric.reattack/robust_map"


@pytest.fixture
def free(results: SearchResults) -> SearchResults:
    return results


def bound(results: SearchResults, **least: float) -> SearchResults:
    """The same search under constraints, ``clean=0.9`` for example."""
    constraints = {f"val/{name}_map": {"at_least": value} for name, value in least.items()}
    return replace(results, experiment=results.experiment | {"constraints": constraints})


def completed(results: SearchResults) -> pd.DataFrame:
    return results.explore[results.explore["status"] == "completed"]


def best_robust(results: SearchResults) -> pd.Series:
    return completed(results).sort_values(ROBUST).iloc[-1]


def plain_front(frame: pd.DataFrame, clean: float, robust: float) -> set[str]:
    """Trials that keep both bounds and that no other such trial dominates."""
    kept = [row for _, row in frame.iterrows() if row[CLEAN] >= clean and row[ROBUST] >= robust]
    return {
        a["trial_id"]
        for a in kept
        if not any(
            b[CLEAN] >= a[CLEAN]
            and b[ROBUST] >= a[ROBUST]
            and (b[CLEAN], b[ROBUST]) != (a[CLEAN], a[ROBUST])
            for b in kept
        )
    }


@pytest.mark.parametrize("clean", [0.0, 0.86, 0.9, 0.95])
@pytest.mark.parametrize("robust", [0.0, 0.4, 0.6])
def test_the_front_is_that_of_the_feasible_trials(
    free: SearchResults, clean: float, robust: float
) -> None:
    results = bound(free, clean=clean, robust=robust)
    frame = completed(results)
    found = set(frame["trial_id"][on_front(results, frame)])
    assert found == plain_front(frame, clean, robust)
    expected: set[str] = set()
    for _, peers in frame.groupby("param.model.bits"):
        expected |= plain_front(peers, clean, robust)
    assert set(front_table([results]).frame["trial"]) == expected


def test_a_trial_at_the_bound_keeps_it(free: SearchResults) -> None:
    trial = best_robust(free)
    at = bound(free, robust=float(trial[ROBUST]))
    assert feasible(at, completed(at)).sum() == 1
    above = bound(free, robust=float(np.nextafter(trial[ROBUST], 1)))
    assert not feasible(above, completed(above)).any()


def test_the_table_of_trials_says_what_is_feasible_only_where_there_are_constraints(
    free: SearchResults,
) -> None:
    assert "feasible" not in trials_table(free).frame
    results = bound(free, clean=0.9)
    table = pd.read_csv(io.StringIO(csv_text(trials_table(results).frame))).set_index("trial")
    shown = displayed(trials_table(results)).set_index("trial")["feasible"]
    for row in results.trials.to_dict("records"):
        trial = str(row["trial_id"])
        if row["phase"] == "explore" and row["status"] == "completed":
            assert table["feasible"][trial] == (row[CLEAN] >= 0.9)
            assert shown[trial] == ("yes" if row[CLEAN] >= 0.9 else "no")
        else:
            assert pd.isna(table["feasible"][trial])
            assert shown[trial] == "–"
    assert {"yes", "no", "–"} == set(shown)


def test_the_caption_of_the_front_tells_of_constraints(free: SearchResults) -> None:
    assert "feasible" not in front_table([free]).caption
    assert front_table([free, bound(free, clean=0.1)]).caption.endswith(", of feasible trials")


def test_infeasible_points_are_drawn_hollow_and_off_the_lines(free: SearchResults) -> None:
    results = bound(free, clean=0.9)
    chart = frontier_chart([results])
    frame = completed(results)
    broken = {tuple(np.round(100 * p, 9)) for p in frame[[CLEAN, ROBUST]].to_numpy() if p[0] < 0.9}
    assert broken
    hollow, lines, legends = set(), set(), set()
    for trace in plots(chart)[0].data:
        if len(trace.x) == 1 and trace.x[0] is None:
            legends.add(trace.name)
        elif trace.mode == "lines":
            lines |= {(round(x, 9), round(y, 9)) for x, y in zip(trace.x, trace.y, strict=True)}
        elif str(trace.marker.symbol).endswith("-open"):
            hollow |= {(round(x, 9), round(y, 9)) for x, y in zip(trace.x, trace.y, strict=True)}
    assert hollow == broken
    assert not lines & broken
    assert "violates a constraint" in legends
    axes = static.draw(chart).axes[0]
    drawn = [
        np.asarray(line.get_xydata(), float)
        for line in axes.lines
        if line.get_marker() in ("o", "*") and line.get_markerfacecolor() == "none"
    ]
    points = {tuple(np.round(p, 9)) for p in np.concatenate(drawn)}
    assert points == broken
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-pre"]
    assert all((np.asarray(line.get_xdata(), float) >= 90).all() for line in steps)


def test_without_constraints_nothing_is_hollow(free: SearchResults) -> None:
    assert not any(one.trials["infeasible"].any() for one in frontier_series([free]))
    names = {trace.name for trace in plots(frontier_chart([free]))[0].data}
    assert "violates a constraint" not in names


def front_sentences(results: SearchResults) -> str:
    return " ".join(conclusions(results, [], []))


def test_the_verdict_names_the_constraints_and_how_many_trials_keep_them(
    free: SearchResults,
) -> None:
    assert "feasible" not in front_sentences(free)
    one = front_sentences(bound(free, clean=0.9))
    assert "1 of 6 completed trials is feasible (clean MAP ≥ 90.0 %). On validation" in one
    two = front_sentences(bound(free, clean=0.5, robust=0.4))
    count = int((completed(free)[ROBUST] >= 0.4).sum())
    assert count > 1
    assert f"{count} of 6 completed trials are feasible (clean MAP ≥ 50.0 %, robust MAP ≥ 40" in two
    never = bound(free, robust=1.0)
    assert front_sentences(never).endswith(
        "0 of 6 completed trials are feasible (robust MAP ≥ 100.0 %). So there is no front."
    )


def test_hypervolume_over_cost_is_of_feasible_trials(free: SearchResults) -> None:
    bounded = bound(free, clean=0.86)
    kept = completed(free)[completed(free)[CLEAN] >= 0.86]
    curve, whole = hypervolume_over_cost(bounded), hypervolume_over_cost(free)
    assert curve.hypervolume[-1] == pytest.approx(hypervolume(kept[[CLEAN, ROBUST]].to_numpy()))
    assert curve.hypervolume[-1] < whole.hypervolume[-1]
    np.testing.assert_array_equal(curve.cost_s, whole.cost_s)
    assert not hypervolume_over_cost(bound(free, robust=1.0)).hypervolume.any()


@pytest.mark.slow
@pytest.mark.usefixtures("quick_pictures")
def test_a_search_in_which_nothing_is_feasible_has_a_report(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run / "experiment.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    content["constraints"] = {"val/clean_map": {"at_least": 1}}
    path.write_text(yaml.safe_dump(content))
    page = write_report([load_search(run)], tmp_path / "report")
    assert "So there is no front." in page.read_text()
    assert len(pd.read_csv(tmp_path / "report" / "frontier.csv")) == 0


@pytest.mark.parametrize(
    ("name", "lost"),
    [(name, lost) for name in ("examples", "histograms") for lost in ("clean", "attack")],
)
def test_arrays_that_miss_one_are_named(tmp_path: Path, name: str, lost: str) -> None:
    results = load_search(write_run(tmp_path / "run", explore=False, seeds=(101,)))
    trial = str(results.tested["trial_id"].iloc[0])
    path = results.path / "trials" / trial / f"{name}.npz"
    with np.load(path) as arrays:
        kept = dict(arrays)
    gone = {
        "examples": {"clean": "clean_top", "attack": "attack"},
        "histograms": {"clean": "clean_relevant", "attack": "hag_relevant"},
    }[name][lost]
    del kept[gone]
    np.savez(path, allow_pickle=False, **kept)
    read = results.examples if name == "examples" else results.histograms
    with pytest.raises(InputError, match=rf"{name}\.npz: array '{gone}' is missing"):
        read(trial)
