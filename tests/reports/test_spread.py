"""The report's Spread: attainment by enumeration, curves over ε and iterations."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from reports.attainment import attainment_surface, attainment_surfaces
from reports.confirmed import confirmed_configs
from reports.figures import notes, overlaid_figures, search_figures, static
from reports.figures.attainment import attainment_chart, seed_fronts, seeds_chart
from reports.figures.chart import Band, Bound, Chart, Letters, Line, Points
from reports.figures.static import STATIC_STYLE
from reports.figures.strengths import strengths_chart
from reports.results import SearchResults, load_search
from reports.statistics import nested_interval
from reports.strengths import strength_curves
from saat.errors import InputError
from tests.reports.explained import GATE_QUERIES, RADII, STEPS, strengthen
from tests.reports.pictures import plots
from tests.reports.synthetic import write_run

# Attainment


def enumerated(fronts: list[np.ndarray], level: int) -> set[tuple[float, ...]]:
    """Maximal points among all combinations of coordinates that enough fronts attain."""
    axes = [sorted({float(v) for f in fronts for v in f[:, m]}) for m in range(fronts[0].shape[1])]
    attained = {
        point
        for point in product(*axes)
        if sum(bool((front >= point).all(axis=1).any()) for front in fronts) >= level
    }
    return {
        point
        for point in attained
        if not any(
            o != point and all(a >= b for a, b in zip(o, point, strict=True)) for o in attained
        )
    }


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("count", [3, 4, 5, 7])
def test_surfaces_are_those_of_an_enumeration(objectives: int, count: int) -> None:
    rng = np.random.default_rng(10 * count + objectives)
    for _ in range(10):
        fronts = [rng.integers(0, 6, (rng.integers(1, 5), objectives)) / 5 for _ in range(count)]
        for level in range(1, count + 1):
            found = attainment_surface(fronts, level)
            assert {tuple(row) for row in found.tolist()} == enumerated(fronts, level)


def test_best_median_and_worst_are_one_half_and_all() -> None:
    fronts = [np.array([[value, value]]) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    found = attainment_surfaces(fronts)
    assert [surface.tolist() for surface in found] == [[[0.5, 0.5]], [[0.3, 0.3]], [[0.1, 0.1]]]
    # Of four, two are half.
    assert attainment_surfaces(fronts[:4]).median.tolist() == [[0.3, 0.3]]


def test_a_front_without_points_attains_nothing() -> None:
    fronts = [np.array([[0.1, 0.2]]), np.empty((0, 2)), np.array([[0.2, 0.1]])]
    found = attainment_surfaces(fronts)
    assert {tuple(row) for row in found.best.tolist()} == {(0.1, 0.2), (0.2, 0.1)}
    assert found.median.tolist() == [[0.1, 0.1]]
    assert found.worst.shape == (0, 2)


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> list[SearchResults]:
    root = tmp_path_factory.mktemp("searches")
    return [
        load_search(write_run(root / name, name=name, shift=shift))
        for name, shift in (("a", 0.0), ("b", 0.02), ("c", 0.04))
    ]


def test_three_searches_have_surfaces_and_two_have_none(searches: list[SearchResults]) -> None:
    assert "attainment" not in overlaid_figures(searches[:2], [])
    figure = overlaid_figures(searches, [])["attainment"]
    assert "Fronts of 3 searches in clean and robust MAP" in figure.caption
    chart = figure.drawing
    assert isinstance(chart, Chart)
    (panel,) = chart.panels
    lines = {mark.label.partition(":")[0]: mark for mark in panel.marks if isinstance(mark, Line)}
    assert set(lines) == {"best", "median", "worst"}
    # Every search was shifted up as a whole, so each surface is nearly the front of one search.
    heights = [lines[name].y.max() for name in ("worst", "median", "best")]
    assert heights == sorted(heights)
    points = [mark for mark in panel.marks if isinstance(mark, Points)]
    assert [mark.label for mark in points] == ["a", "b", "c"]
    chosen = searches[1].explore[searches[1].explore["status"] == "completed"].iloc[-1]
    lettered = replace(searches[1], letters={str(chosen["config_hash"]): "A"})
    named = attainment_chart([searches[0], lettered, searches[2]]).panels[0].marks[-1]
    assert isinstance(named, Letters)
    assert list(named.texts) == ["A"]
    assert named.x.tolist() == [pytest.approx(100 * chosen["metric.reattack/clean_map"])]
    drawn = plots(chart)[0]
    shown = [trace.name for trace in drawn.data if trace.showlegend is not False]
    assert len(shown) == 6
    with matplotlib.rc_context(STATIC_STYLE):
        static.draw(chart).draw_without_rendering()


def test_a_search_without_a_front_counts_as_one_that_reaches_nothing(
    searches: list[SearchResults],
) -> None:
    trials = searches[2].trials
    none = replace(searches[2], trials=trials[trials["status"] != "completed"])
    panel = attainment_chart([*searches[:2], none]).panels[0]
    lines = {mark.label.partition(":")[0]: mark for mark in panel.marks if isinstance(mark, Line)}
    assert len(lines["worst"].x) == 0
    assert len(lines["median"].x) > 0


def test_three_objectives_have_no_picture_of_surfaces(tmp_path: Path) -> None:
    goals = {"val/clean_map": "max", "val/robust_map": "max", "val/code_length": "min"}
    run = load_search(write_run(tmp_path / "run", aims={"objectives": goals}))
    several = [replace(run, name=name) for name in "abc"]
    assert "attainment" not in overlaid_figures(several, [])


def test_seeds_have_a_front_each(results: SearchResults) -> None:
    configs = confirmed_configs(results)
    fronts = seed_fronts(configs)
    assert list(fronts) == ["seed 101", "seed 102", "seed 103"]
    expected = [[c.seeds(n)[0] for n in ("clean_map", "robust_map")] for c in configs[:2]]
    np.testing.assert_allclose(fronts["seed 101"], expected)
    marks = seeds_chart(configs).panels[0].marks
    letters = next(mark for mark in marks if isinstance(mark, Letters))
    assert list(letters.texts) == ["A", "B"]
    assert "seeds" in search_figures(results, configs)


def test_seeds_that_a_setting_lacks_are_left_out(results: SearchResults) -> None:
    configs = confirmed_configs(results)
    fewer = replace(configs[0], trials=configs[0].trials.iloc[1:])
    assert list(seed_fronts([fewer, *configs[1:]])) == ["seed 102", "seed 103"]
    assert seeds_chart([fewer, *configs[1:]]).panels == ()
    assert "seeds" not in search_figures(results, [fewer, *configs[1:]])


# Strength


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> SearchResults:
    path = write_run(tmp_path_factory.mktemp("strength") / "run")
    text = (path / "experiment.yaml").read_text()
    path.joinpath("experiment.yaml").write_text(text.replace("eps: 8/255", f"eps: {8 / 255}"))
    return load_search(strengthen(path))


def test_a_curve_is_the_mean_over_seeds_and_queries(attacked: SearchResults) -> None:
    configs = confirmed_configs(attacked)
    found = strength_curves(attacked, configs)
    assert [curve.label for curve in found.eps] == [config.label for config in configs]
    first, config = found.eps[0], configs[0]
    assert first.strengths.tolist() == sorted(RADII)
    assert found.steps[0].strengths.tolist() == sorted(STEPS)
    assert (first.letter, first.seeds, first.queries) == ("A", 3, GATE_QUERIES)
    for place in range(len(RADII)):
        expected = config.seeds("clean_map").mean() - 0.1 * place - 0.002 * (GATE_QUERIES - 1) / 2
        assert first.maps[place].mean == pytest.approx(expected)
        assert first.maps[place].low < expected < first.maps[place].high
    assert found.eps[2].letter == ""


def test_curves_have_chance_and_the_radius_of_the_evaluation(attacked: SearchResults) -> None:
    configs = confirmed_configs(attacked)
    chart = strengths_chart(attacked, configs, strength_curves(attacked, configs))
    by_radius, by_steps = chart.panels
    for panel in chart.panels:
        band = next(mark for mark in panel.marks if isinstance(mark, Band))
        assert [band.low, band.high] == pytest.approx([15.8, 15.8])
        letters = [text for m in panel.marks if isinstance(m, Letters) for text in m.texts]
        assert letters == ["A", "B"]
    assert [m.x for m in by_radius.marks if isinstance(m, Bound)] == [pytest.approx(8)]
    line = next(mark for mark in by_radius.marks if isinstance(mark, Line))
    assert line.x.tolist() == pytest.approx([0, 2, 8, 32])
    assert by_steps.x.scale == "log"
    assert len(plots(chart)) == 2
    with matplotlib.rc_context(STATIC_STYLE):
        static.draw(chart).draw_without_rendering()
    caption = search_figures(attacked, configs)["strengths"].caption
    assert caption.startswith(
        "Recommended A, 16 bits: MAP is 76.5 % at ε = 0 and 46.5 % at the largest radius."
    )
    assert f"({GATE_QUERIES} queries a seed)" in caption


def test_radii_of_another_norm_are_no_bytes(attacked: SearchResults) -> None:
    evaluation = attacked.section("evaluation") | {"norm": "l2", "eps": 0.5}
    other = replace(attacked, experiment=attacked.experiment | {"evaluation": evaluation})
    configs = confirmed_configs(other)
    panel = strengths_chart(other, configs, strength_curves(other, configs)).panels[0]
    assert panel.x.label == "ε (L2)"
    assert [m.x for m in panel.marks if isinstance(m, Bound)] == [0.5]


def test_a_setting_of_which_a_seed_kept_nothing_has_no_curve(tmp_path: Path) -> None:
    run = strengthen(write_run(tmp_path / "run"))
    results = load_search(run)
    configs = confirmed_configs(results)
    gone = str(configs[0].trials["trial_id"].iloc[0])
    (run / "trials" / gone / "strength.parquet").unlink()
    labels = [curve.label for curve in strength_curves(results, configs).eps]
    assert labels == [config.label for config in configs[1:]]


def test_without_a_battery_there_are_no_curves_and_a_line_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", aims={"confirm": {"battery": "none"}})
    results = load_search(run)
    assert "confirm.battery is none" in notes(results, confirmed_configs(results))[-1]


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    run = strengthen(write_run(tmp_path / "run"))
    results = load_search(run)
    trial = str(confirmed_configs(results)[0].trials["trial_id"].iloc[0])
    path = run / "trials" / trial / "strength.parquet"
    table = pd.read_parquet(path)
    for damaged in (
        table.drop(columns="ap"),
        table.assign(ap=1.5),
        table.assign(strength=-1.0),
        table.assign(query="x"),
        table.assign(ap=np.nan),
    ):
        damaged.to_parquet(path, index=False)
        with pytest.raises(InputError, match=r"strength\.parquet"):
            results.strengths(trial)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"strength\.parquet"):
        results.strengths(trial)


def test_an_interval_over_seeds_with_queries_of_their_own() -> None:
    # Without a spread of queries, two seeds give three means: 1/4, 1/2, 1/4.
    found = nested_interval([np.full(5, 0.2), np.full(9, 0.6)])
    assert found == pytest.approx((0.4, 0.2, 0.6))
    # Of one seed it is the bootstrap over its queries.
    values = np.random.default_rng(1).random(400)
    single = nested_interval([values])
    half = 1.96 * values.std() / 20
    assert single.mean == pytest.approx(values.mean())
    assert single.low == pytest.approx(values.mean() - half, abs=0.003)
    assert single.high == pytest.approx(values.mean() + half, abs=0.003)
    assert np.isnan(nested_interval([]).mean)
