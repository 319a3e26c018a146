"""The report's Why: what is measured and what is predicted, and what an old run lacks."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from reports.confirmed import confirmed_configs, with_letters
from reports.explanation import Estimate, Explanation, write_explanation
from reports.figures import notes, search_figures, static
from reports.figures.ablation import ablation_chart, change_text, lettered_paths
from reports.figures.chart import Area, Bound, Letters, Line, Points
from reports.figures.dependence import dependence_chart, means_at
from reports.figures.static import STATIC_STYLE
from reports.html import write_report
from reports.results import SearchResults, load_search
from tests.reports.explained import WEIGHTS, explain, explanation, path_to, step, strengthen
from tests.reports.pictures import plots
from tests.reports.synthetic import write_run

TARGETS = ["recommended16".ljust(64, "0"), "recommended32".ljust(64, "0")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_run(tmp_path_factory.mktemp("explained") / "run")
    return strengthen(explain(path, *map(path_to, TARGETS)))


@pytest.fixture(scope="module")
def told(run: Path) -> SearchResults:
    return load_search(run)


def lettered(results: SearchResults) -> SearchResults:
    return with_letters(results, confirmed_configs(results))


# Paths


def test_a_path_has_the_letter_of_the_setting_that_it_leads_to(told: SearchResults) -> None:
    assert [found.letter for found in lettered_paths(lettered(told))] == ["A", "B"]
    # Not confirmed yet: the order of choice.
    assert [found.letter for found in lettered_paths(told)] == ["A", "B"]


def test_filled_symbols_are_measured_and_open_ones_predicted(told: SearchResults) -> None:
    panel = ablation_chart(lettered(told)).panels[0]
    points = [mark for mark in panel.marks if isinstance(mark, Points)]
    by_label = {mark.label: mark for mark in points}
    measured, predicted = by_label["clean MAP, measured"], by_label["clean MAP, predicted"]
    assert measured.x.tolist() == pytest.approx([80, 74])
    assert not measured.is_open
    assert measured.x_error is None
    assert predicted.x.tolist() == pytest.approx([81, 77, 75])
    assert predicted.is_open
    assert predicted.x_error == pytest.approx(np.full((2, 3), 1.96 * 2))
    # The first setting is on top, and a measured point lies in the row of its prediction.
    assert predicted.y.tolist() == sorted(predicted.y, reverse=True)
    assert measured.y.tolist() == predicted.y[[0, 2]].tolist()
    (letter,) = [mark for mark in panel.marks if isinstance(mark, Letters)]
    assert (letter.texts, letter.x.tolist()) == (["A"], [pytest.approx(52)])


def test_rows_say_what_changes(told: SearchResults) -> None:
    panel = ablation_chart(lettered(told)).panels[1]
    assert panel.y.categories == ("ε: 8/255 → 12/255 = B", "λ: 1 → 2.31", "paper's default")
    several = step(0.5, 0.5, False, bits=(None, 32), lambda_=(1.0, None))
    assert change_text(several) == "bits: – → 32, λ: 1 → –"


def test_both_forms_of_a_path_have_its_numbers(told: SearchResults) -> None:
    chart = ablation_chart(lettered(told))
    drawn = plots(chart)
    assert len(drawn) == 2
    traces = [t for t in drawn[0].data if t.mode == "markers" and len(t.x) > 1]
    assert sorted(len(trace.x) for trace in traces) == [2, 2, 3, 3]
    assert drawn[0].layout.yaxis.ticktext[-1] == "paper's default"
    with matplotlib.rc_context(STATIC_STYLE):
        figure = static.draw(chart)
        figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == [
        "to A, one change after the other",
        "to B, one change after the other",
    ]


# Dependence


def test_a_range_is_a_curve_with_its_intervals_and_a_choice_is_points(told: SearchResults) -> None:
    chart = dependence_chart(lettered(told))
    bits, weight = chart.panels
    assert bits.x.categories == ("16", "32")
    assert not [mark for mark in bits.marks if isinstance(mark, Line | Area)]
    points = next(m for m in bits.marks if isinstance(m, Points) and m.label == "clean MAP")
    assert points.y.tolist() == pytest.approx([60, 61])
    assert points.y_error == pytest.approx(196 * np.array([[0.02, 0.01]] * 2))
    assert (weight.x.label, weight.x.scale) == ("defense.lambda (log scale)", "log")
    clean, robust = (mark for mark in weight.marks if isinstance(mark, Line))
    assert clean.y.tolist() == pytest.approx([60, 50, 40])
    assert robust.y.tolist() == pytest.approx([30, 50, 70])
    area = next(mark for mark in weight.marks if isinstance(mark, Area))
    assert (area.high - area.low).tolist() == pytest.approx([2 * 1.96] * 3)
    assert area.group == clean.label
    assert [mark.x for mark in weight.marks if isinstance(mark, Bound)] == [0.1, 10.0]
    assert bits.y.limits == weight.y.limits


def test_settings_stand_on_the_curve_at_their_own_values(told: SearchResults) -> None:
    robust = next(
        one
        for one in explanation().dependence
        if (one.key, one.metric) == ("defense.lambda", "robust_map")
    )
    # λ is drawn on a logarithmic scale: halfway from 1 to 10 lies √10.
    found = means_at(robust, [1.0, 10**0.5, 0.1, 20.0])
    np.testing.assert_allclose(found, [0.5, 0.6, 0.3, np.nan])
    stars = [
        mark
        for mark in dependence_chart(told).panels[1].marks
        if isinstance(mark, Points) and mark.symbol == "star"
    ]
    assert [set(star.x.tolist()) for star in stars] == [{1.0}, {1.0}]
    assert {round(y, 6) for star in stars for y in star.y.tolist()} == {50.0}


def test_letters_stand_on_both_curves(told: SearchResults) -> None:
    chosen = told.explore[told.explore["status"] == "completed"].iloc[-1]
    named = replace(told, letters={chosen["config_hash"]: "A"})
    panel = dependence_chart(named).panels[1]
    marks = [mark for mark in panel.marks if isinstance(mark, Letters)]
    assert [mark.texts for mark in marks] == [["A"], ["A"]]
    value = float(chosen["param.defense.lambda"])
    assert marks[1].x.tolist() == [pytest.approx(value)]
    assert marks[1].y[0] == pytest.approx(50 + 20 * np.log10(value))


def test_both_forms_of_a_curve_have_its_area(told: SearchResults) -> None:
    chart = dependence_chart(lettered(told))
    areas = [t for t in plots(chart)[1].data if t.fill == "toself"]
    assert len(areas) == 2
    assert list(areas[0].x) == [*WEIGHTS, *WEIGHTS[::-1]]
    assert areas[0].legendgroup == "clean MAP"
    with matplotlib.rc_context(STATIC_STYLE):
        figure = static.draw(chart)
    assert len(figure.axes[1].collections) == 2


# The page


def test_captions_say_what_the_figures_show(told: SearchResults) -> None:
    figures = search_figures(told, confirmed_configs(told))
    path = figures["ablation"].caption
    assert (
        "To A, λ: 1 → 2.31 comes first: robust MAP +10.0 and clean MAP −4.0 points, to a robust "
        "MAP of 50.0 % [48.0, 52.0] (predicted)." in path
    )
    curve = figures["dependence"].caption
    assert curve.startswith(
        "Robust MAP changes most with λ (by 40.0 points) and clean MAP changes most with λ (by "
        "20.0 points)."
    )
    assert "over the 7 completed settings" in curve
    assert "Fig. 6 has such curves of λ" in curve


def test_what_the_search_did_not_vary_is_said(tmp_path: Path) -> None:
    run = explain(write_run(tmp_path / "run"), path_to(TARGETS[0], ("defense.epochs",)))
    results = load_search(run)
    caption = search_figures(results, confirmed_configs(results))["ablation"].caption
    assert "Both ends differ in defense.epochs too, which the search did not vary." in caption


def test_a_run_with_everything_has_no_note(told: SearchResults) -> None:
    assert notes(told, confirmed_configs(told)) == []


def test_an_old_run_is_reported_with_a_line(tmp_path: Path) -> None:
    results = load_search(write_run(tmp_path / "run"))
    configs = confirmed_configs(results)
    lines = notes(results, configs)
    assert len(lines) == 2
    assert "the run has no explanation.json of this version" in lines[0]
    assert "the trials kept none" in lines[1]
    assert not {"ablation", "dependence", "strengths"} & set(search_figures(results, configs))


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            Explanation((), missing="5 explored trials completed, and 8 are needed"),
            "no partial dependence: 5 explored trials completed, and 8 are needed.",
        ),
        (explanation(), "No path from the paper's default: no setting is recommended"),
    ],
)
def test_what_the_model_lacks_is_said(tmp_path: Path, found: Explanation, line: str) -> None:
    run = write_run(tmp_path / "run")
    write_explanation(run, found)
    results = load_search(run)
    assert line in notes(results, confirmed_configs(results))[0]


def test_a_comparison_needs_no_explanation(tmp_path: Path) -> None:
    results = load_search(write_run(tmp_path / "run", explore=False, phases=("train",)))
    assert not [line for line in notes(results, []) if "path" in line]


@pytest.mark.lengthy
def test_the_page_has_both_parts_and_is_the_same_twice(run: Path, tmp_path: Path) -> None:
    pages = [write_report([load_search(run)], tmp_path / name) for name in ("one", "two")]
    first, second = (page.read_bytes() for page in pages)
    assert first == second
    text = first.decode()
    for part in ('<h2 id="why">Why</h2>', '<h2 id="spread">Spread</h2>', 'id="ablation"'):
        assert part in text
    for name in ("ablation", "dependence", "seeds", "strengths"):
        assert (tmp_path / "one" / "figures" / f"{name}.png").stat().st_size > 10_000
        assert (tmp_path / "one" / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_an_interval_is_of_95_percent() -> None:
    assert Estimate(0.5, 0.1).low == pytest.approx(0.304)
    assert Estimate(0.5, 0.1).high == pytest.approx(0.696)
