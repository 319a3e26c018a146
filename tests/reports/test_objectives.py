"""Reports of searches with other objectives than clean and robust MAP."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.conclusions import conclusions
from reports.confirmed import confirmed_configs
from reports.explored import (
    completed_trials,
    hypervolume_over_cost,
    on_front,
    stopped_trials,
    values_of,
)
from reports.figures import overlaid_figures, static
from reports.figures.chart import Chart, Line, Panel, Points
from reports.figures.cost import cost_chart
from reports.figures.frontier import frontier_chart
from reports.figures.learning_curves import shown_objectives
from reports.figures.parameters import parameters_chart
from reports.html import comparable_groups, write_report
from reports.objectives import listed, scale_of, value_phrase
from reports.preference import order_of_choice
from reports.results import SearchResults, load_search
from reports.table_formats import displayed
from reports.tables import confirm_table, front_table, trials_table
from saat.feasibility import Aims
from tests import reference_fronts as plain
from tests.reports.synthetic import EXPERIMENT, write_run

CLEAN, ROBUST = {"val/clean_map": "max"}, {"val/robust_map": "max"}
TARGET, BITS = {"val/target_map": "min"}, {"val/code_length": "min"}
SECONDS: dict[str, Any] = {"val/device_seconds": {"min": 900}}
CASES: dict[str, dict[str, Any]] = {
    "default": CLEAN | ROBUST,
    "max_min": ROBUST | SECONDS,
    "min_max": SECONDS | ROBUST,
    "min_min": SECONDS | TARGET,
    "bits": BITS | ROBUST,
    "three": CLEAN | ROBUST | TARGET,
    "three_units": CLEAN | SECONDS | BITS,
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> SearchResults:
    run_dir = tmp_path_factory.mktemp("objectives") / "run"
    return load_search(write_run(run_dir, aims={"objectives": CLEAN | ROBUST}))


def searched(stored: SearchResults, name: str, **keys: Any) -> SearchResults:
    return replace(stored, experiment=stored.experiment | {"objectives": CASES[name]} | keys)


def directions(results: SearchResults) -> list[bool]:
    return [objective.maximise for objective in results.aims.objectives]


@pytest.mark.parametrize("name", CASES)
def test_front_and_hypervolume_have_the_directions_and_the_reference_of_the_file(
    stored: SearchResults, name: str
) -> None:
    results = searched(stored, name)
    completed = completed_trials(results)
    points = values_of(results, completed).tolist()
    expected = plain.front(points, directions(results))
    assert np.flatnonzero(on_front(results, completed)).tolist() == expected
    reference = [objective.reference for objective in results.aims.objectives]
    curve = hypervolume_over_cost(results)
    volume = plain.hypervolume(points, reference, directions(results))
    assert curve.hypervolume[-1] == pytest.approx(volume, rel=1e-9)
    assert (np.diff(curve.hypervolume) >= 0).all()


def test_the_worst_reference_leaves_no_hypervolume(stored: SearchResults) -> None:
    given = ROBUST | {"val/device_seconds": {"min": 1}}
    results = replace(stored, experiment=stored.experiment | {"objectives": given})
    assert hypervolume_over_cost(results).hypervolume[-1] == 0


@pytest.mark.parametrize("name", ["default", "max_min", "min_max", "min_min"])
def test_the_step_line_says_what_is_reached_with_every_value(
    stored: SearchResults, name: str
) -> None:
    results = searched(stored, name)
    maximise = directions(results)
    for mark in frontier_chart([results]).panels[0].marks:
        if not isinstance(mark, Line) or len(mark.x) < 2:
            continue
        assert mark.step == ("before" if maximise[0] else "after")
        points = list(zip(mark.x.tolist(), mark.y.tolist(), strict=True))
        for (x, y), (next_x, next_y) in pairwise(points):
            drawn = next_y if mark.step == "before" else y
            assert drawn == plain.best_reached(points, (x + next_x) / 2, maximise)


def panels(chart: Chart) -> list[tuple[str, str]]:
    return [(panel.x.label, panel.y.label) for panel in chart.panels]


def test_axes_have_units_and_say_where_less_is_better(stored: SearchResults) -> None:
    assert panels(frontier_chart([searched(stored, "max_min")])) == [
        ("robust MAP (%)", "device time (min), lower is better")
    ]
    assert panels(frontier_chart([searched(stored, "three")])) == [
        ("clean MAP (%)", "robust MAP (%)"),
        ("clean MAP (%)", "worst t-MAP (%), lower is better"),
        ("robust MAP (%)", "worst t-MAP (%), lower is better"),
    ]
    (_, (_, bits), _) = panels(frontier_chart([searched(stored, "three_units")]))
    assert bits == "code length, lower is better"


def rings(panel: Panel) -> set[tuple[float, float]]:
    found = (m for m in panel.marks if isinstance(m, Points) and m.colour == "black" and m.is_open)
    return {(x, y) for mark in found for x, y in zip(mark.x, mark.y, strict=True)}


def test_three_objectives_have_their_front_marked_in_every_panel(stored: SearchResults) -> None:
    results = searched(stored, "three_units")
    completed = completed_trials(results)
    front = values_of(results, completed)[on_front(results, completed)]
    scaled = front * [100, 1 / 60, 1]
    chart = frontier_chart([results])
    for panel, columns in zip(chart.panels, ([0, 1], [0, 2], [1, 2]), strict=True):
        assert not any(isinstance(mark, Line) and len(mark.x) for mark in panel.marks)
        assert rings(panel) == {tuple(row) for row in scaled[:, columns].tolist()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_labels_are_whole_and_do_not_overlap(stored: SearchResults, name: str) -> None:
    results = searched(stored, name)
    for chart in (frontier_chart([results]), parameters_chart(results), cost_chart([results])):
        figure = static.draw(chart)
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        labels = [
            text.get_window_extent()
            for axes in figure.axes
            for text in (axes.xaxis.label, axes.yaxis.label)
            if text.get_text()
        ]
        for box in labels:
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height
        for i, box in enumerate(labels):
            assert not any(box.overlaps(other) for other in labels[i + 1 :])


def test_the_reference_point_is_named(stored: SearchResults) -> None:
    figures = overlaid_figures([searched(stored, "max_min")], [])
    assert figures["hypervolume"].caption.startswith(
        "Area of robust MAP × device time that the completed trials dominate, up to the reference "
        "point (robust MAP 0.0 %, device time 15 min), against"
    )
    assert "Down and to the right is better" in figures["frontier"].caption
    assert figures["frontier"].title == "Robust MAP and device time of all explored trials"


def test_stopped_trials_are_drawn_only_where_validation_measured_all(stored: SearchResults) -> None:
    assert len(stopped_trials(searched(stored, "max_min")))
    assert not len(stopped_trials(searched(stored, "three")))  # no t-MAP after epochs


def test_learning_curves_show_what_validation_measures_and_training_changes() -> None:
    shown = {
        name: shown_objectives(Aims.of(EXPERIMENT | {"objectives": given}))
        for name, given in CASES.items()
    }
    for name, given in CASES.items():
        names = [key.removeprefix("val/") for key in given]
        validated = [one for one in names if one in ("clean_map", "robust_map")]
        assert shown[name] == (validated or ["robust_map"]), name


def test_parameters_have_a_row_of_panels_for_every_unit(stored: SearchResults) -> None:
    labels = [y for _, y in panels(parameters_chart(searched(stored, "three_units")))]
    count = len(stored.space)
    assert labels == ["MAP, validation (%)"] * count + ["device time (min)"] * count


def test_tables_begin_with_the_objectives(stored: SearchResults) -> None:
    results = searched(stored, "max_min", constraints={"val/device_seconds": {"at_most": 400}})
    table = front_table([results])
    shown = list(displayed(table).columns)
    assert [name for name in shown if "MAP (%)" in name or "seconds" in name][:3] == [
        "robust MAP (%)",
        "device seconds",
        "clean MAP (%)",
    ]
    assert table.caption.startswith(
        "Pareto fronts of robust MAP and device time, one for each bit length, on validation"
    )
    assert (table.frame["device seconds"] <= 400).all()
    kept = trials_table(results).frame.set_index("trial")["feasible"].dropna()
    seconds = completed_trials(results).set_index("trial_id")["metric.reattack/device_seconds"]
    assert kept.to_dict() == (seconds <= 400).to_dict()
    confirmed = confirm_table(confirmed_configs(results)).frame
    assert confirmed["device seconds"].notna().all()


def test_one_front_compares_code_lengths_if_they_are_an_objective(stored: SearchResults) -> None:
    results = searched(stored, "bits")
    completed = completed_trials(results)
    whole = completed["trial_id"][on_front(results, completed)]
    assert set(front_table([results]).frame["trial"]) == set(whole)
    assert "one for each bit length" not in front_table([results]).caption


def said(results: SearchResults) -> str:
    configs = confirmed_configs(results)
    return " ".join(conclusions(results, configs, []))


def test_conclusions_name_the_objectives_with_their_units(stored: SearchResults) -> None:
    text = said(searched(stored, "three_units"))
    assert "are on the front of clean MAP, device time and code length." in text
    for label in ("clean MAP", "device time", "code length"):
        assert f"Best in {label}: " in text
    assert "device time 9 min" in text or "device time 5 min" in text
    two = said(searched(stored, "max_min", constraints={"val/device_seconds": {"at_most": 400}}))
    assert "(device time ≤ 7 min)" in two


def test_the_preferred_setting_is_named(stored: SearchResults) -> None:
    asked = {"val/clean_map": {"at_least": 0.9}}
    text = said(searched(stored, "default", search={"prefer": asked}))
    completed = completed_trials(stored)
    kept = completed[completed["metric.reattack/clean_map"] >= 0.9]
    assert len(kept)
    best = kept.sort_values("metric.reattack/robust_map").iloc[-1]
    clean, robust = (100 * best[f"metric.reattack/{n}_map"] for n in ("clean", "robust"))
    assert (
        "Preferred: clean MAP ≥ 90.0 %. This is served best by "
        f"{clean:.1f} % clean and {robust:.1f} % robust MAP" in text
    )
    weighed = said(searched(stored, "default", search={"prefer": {"val/robust_map": 3.0}}))
    assert "Preferred: weights clean MAP 0, robust MAP 3. This is served best by" in weighed
    none = said(searched(stored, "default", search={"prefer": {"val/clean_map": {"at_least": 1}}}))
    assert "No completed trial keeps it; without it, " in none
    assert "Preferred" not in said(searched(stored, "default"))


def test_weights_choose_the_largest_weighted_sum() -> None:
    prefer = {"val/clean_map": 2.0, "val/device_seconds": 1.0}
    aims = Aims.of({"objectives": CLEAN | SECONDS, "search": {"prefer": prefer}})
    rng = np.random.default_rng(5)
    values = aims.oriented(rng.uniform([0.2, 100], [0.9, 800], (30, 2)))
    front = plain.front(values.tolist(), [True, True])
    share = (values - aims.corner) / (values[front].max(axis=0) - aims.corner)
    best = max(front, key=lambda i: 2 * share[i, 0] + share[i, 1])
    assert order_of_choice(aims, values, np.ones(30, dtype=bool), 1) == [best]


def test_searches_with_other_objectives_are_not_drawn_together(stored: SearchResults) -> None:
    both = [searched(stored, "default"), searched(stored, "max_min"), searched(stored, "default")]
    assert [len(group) for group in comparable_groups(both)] == [2, 1]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("clean_map", 0.8125, "81.2 % clean MAP"),
        ("device_seconds", 5400.0, "device time 90 min"),
        ("code_length", 32.0, "code length 32"),
        ("somebody_elses", 0.25, "somebody_elses 0.25"),
    ],
)
def test_values_in_words(name: str, value: float, text: str) -> None:
    assert value_phrase(name, value) == text


def test_seconds_have_the_unit_of_the_longest() -> None:
    found = [scale_of("device_seconds", [1.0, longest, np.nan]).symbol for longest in (119, 120,
             7199, 7200)]  # fmt: skip
    assert found == ["s", "min", "min", "h"]
    assert listed(["1 % clean MAP", "2 % robust MAP"]) == "1 % clean and 2 % robust MAP"
    assert listed(["1 % clean MAP", "code length 3"]) == "1 % clean MAP and code length 3"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_pictures")
def test_a_report_of_three_objectives_is_written(stored: SearchResults, tmp_path: Path) -> None:
    both = [searched(stored, "three"), searched(stored, "default")]
    page = write_report(both, tmp_path / "report").read_text()
    assert "These searches have different objectives or references" in page
    assert "Clean MAP, robust MAP and worst t-MAP of all explored trials" in page
