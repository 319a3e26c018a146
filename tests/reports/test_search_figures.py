"""What the figures of settings, of early stopping and of the clock are drawn from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from reports.figures import search_figures, static
from reports.figures.chart import NO_VALUES, Axis, Bars, Bound, Chart, Line, Panel, Points, Ruler
from reports.figures.coordinates import coordinates, coordinates_chart
from reports.figures.early_stopping import early_stopping_chart, trials_by_epoch
from reports.figures.frontier import frontier_chart, frontier_series
from reports.figures.print_files import write_figure
from reports.figures.static import COLUMN, PAGE
from reports.figures.timeline import stages_chart, timeline, timeline_chart
from reports.results import SearchResults, load_search
from tests.reports.pictures import plots
from tests.reports.synthetic import write_run


def test_a_setting_has_one_key_wherever_it_is_shown(results: SearchResults) -> None:
    hashes = results.explore["config_hash"]
    keys = set(results.keys_on(results.explore))
    assert len(keys) == hashes.nunique()
    assert not keys & set(replace(results, name="other").keys_on(results.explore))
    front = set(pd.concat([one.trials for one in frontier_series([results])])["key"])
    assert front < keys, "the failed trial is on no front"
    assert set(coordinates([results]).trials["key"]) == keys
    drawn = plots(coordinates_chart([results]))[0]
    assert {k for trace in drawn.data for k in trace.customdata or ()} == keys


def test_settings_lie_between_the_ends_of_the_searched_ranges(results: SearchResults) -> None:
    found = coordinates([results])
    labels = [ruler.label for ruler in found.rulers]
    assert labels == ["bits", "λ", "μ", "ε", "T", "clean MAP", "robust MAP"]
    weight = found.rulers[1]
    assert (weight.low, weight.high, weight.is_log) == (0.1, 10, True)
    expected = np.log10(results.explore["param.defense.lambda"] / 0.1) / 2
    np.testing.assert_allclose(found.places[:, 1], expected)
    assert (found.rulers[3].low, found.rulers[3].high) == pytest.approx((2, 16))
    assert found.rulers[0].choices == ("16", "32")
    assert set(found.places[:, 0]) == {0.0, 1.0}
    completed = found.trials["completed"].to_numpy()
    assert completed.sum() == 6
    assert np.isnan(found.places[~completed, 5:]).all(), "no final values"
    robust = found.places[completed, 6]
    assert (robust.min(), robust.max()) == (0, 1)


def test_a_value_outside_its_range_widens_its_axis(results: SearchResults) -> None:
    trials = results.trials.copy()
    trials.loc[trials["number"] == 0, "param.defense.lambda"] = 40.0
    ruler = coordinates([replace(results, trials=trials)]).rulers[1]
    assert (ruler.low, ruler.high) == (0.1, 40)


def test_fronts_have_the_same_colours_on_parallel_axes(results: SearchResults) -> None:
    shades: dict[str, set[str]] = {}
    for chart in (frontier_chart([results]), coordinates_chart([results])):
        for mark in chart.panels[0].marks:
            if isinstance(mark, Points) and "bits" in mark.label:
                shades.setdefault(mark.label, set()).add(mark.colour)
    assert set(shades) == {"16 bits", "32 bits"}
    assert all(len(found) == 1 for found in shades.values())


@pytest.mark.parametrize("count", [0, 1])
def test_parallel_axes_need_no_completed_trial(results: SearchResults, count: int) -> None:
    young = results.explore.head(count).assign(status="running")
    chart = coordinates_chart([replace(results, trials=young)])
    assert len(chart.panels) == count
    static.draw(chart)
    plots(chart)


def test_a_place_on_an_axis_of_one_value_is_its_middle() -> None:
    ruler = Ruler("x", 2.0, 2.0)
    assert ruler.places(np.array([2.0, np.nan])).tolist() == pytest.approx(
        [0.5, np.nan], nan_ok=True
    )


def test_what_lies_between_the_lines_was_saved(results: SearchResults) -> None:
    found = trials_by_epoch(results)
    assert found.epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.trained.tolist() == [11, 11, 6, 6, 6, 6]
    assert found.planned.tolist() == [11] * 6
    stopped = results.explore[results.explore["status"] == "stopped"]
    assert (found.planned - found.trained).sum() == (6 - stopped["epochs"]).sum()
    marks = early_stopping_chart(results).panels[0].marks
    assert [getattr(mark, "label", "") for mark in marks] == [
        "rung, and end of probes", "without early stopping", "trials trained",
    ]  # fmt: skip
    figure = search_figures(results, [])["early_stopping"]
    assert figure.caption.startswith("5 of 12 explore trials ended early, which saved 28 %")


def test_probes_and_rungs_are_told_apart(results: SearchResults) -> None:
    trials = results.trials.copy()
    probe = trials["stop_reason"].str.startswith("a probe")
    trials.loc[probe, "epochs"] = 1
    marks = early_stopping_chart(replace(results, trials=trials)).panels[0].marks
    bounds = [(mark.x, mark.label) for mark in marks if isinstance(mark, Bound)]
    assert bounds == [(1.5, "end of probes"), (2.5, "rung: trials that are behind stop")]


def test_trials_lie_on_the_clock_and_never_over_each_other(results: SearchResults) -> None:
    found = timeline(results)
    trials = found.trials
    assert len(trials) == len(results.trials)
    assert trials["begin"].min() == 0
    assert (trials["end"] > trials["begin"]).all()
    for _, row in trials.groupby("row"):
        ordered = row.sort_values("begin")
        assert (ordered["begin"].to_numpy()[1:] >= ordered["end"].to_numpy()[:-1]).all()
    assert {name.split()[0] for name in found.rows} == {"node0", "node1"}
    most = max(((trials["begin"] <= at) & (trials["end"] > at)).sum() for at in trials["begin"])
    assert most <= len(found.rows) <= most + 1, "as few rows as the machines need"
    assert set(trials["kind"]) == {"completed", "stopped early", "failed", "confirm"}


def test_the_part_after_the_last_epoch_is_paler(results: SearchResults) -> None:
    marks = timeline_chart(results).panels[0].marks
    bars = [mark for mark in marks if isinstance(mark, Bars) and mark.group == "completed"]
    training, attacks = bars
    assert training.opacity == 1 > attacks.opacity
    np.testing.assert_allclose(training.end, attacks.begin)
    np.testing.assert_allclose(60 * (attacks.end - attacks.begin), 25)


def test_a_running_trial_lasts_until_the_latest_event(results: SearchResults) -> None:
    trials = results.trials.copy()
    last = trials["number"] == 11
    trials.loc[last, "status"], trials.loc[last, "finished_at"] = "running", np.nan
    found = timeline(replace(results, trials=trials)).trials
    (running,) = found[found["kind"] == "running"].to_dict("records")
    assert running["end"] == found["end"].max()


def test_stages_add_up_to_the_time_of_all_trials(results: SearchResults) -> None:
    marks = stages_chart(results).panels[0].marks
    drawn = {mark.label: float(mark.end.sum()) for mark in marks if isinstance(mark, Bars)}
    columns = [name for name in results.trials if str(name).startswith("seconds.")]
    totals = results.trials.groupby("phase")[columns].sum().sum(axis=1) / 60
    assert drawn == pytest.approx(totals.to_dict())


def test_runs_of_earlier_versions_have_no_clock_and_no_stages(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    frame = pd.read_parquet(run / "trials.parquet")
    kept = [n for n in frame if n != "started_at" and not str(n).startswith("seconds.")]
    frame[kept].to_parquet(run / "trials.parquet", index=False)
    epochs = pd.read_parquet(run / "epochs.parquet").drop(columns="finished_at")
    epochs.to_parquet(run / "epochs.parquet", index=False)
    figures = search_figures(load_search(run), [])
    assert not {"timeline", "stages"} & set(figures)
    assert "early_stopping" in figures


def test_bars_are_the_same_in_print_and_on_the_page() -> None:
    begin, end, y = np.array([0.0, 2.0]), np.array([1.0, 5.0]), np.array([0.0, 1.0])
    bars = Bars(begin, end, y, "#0072B2", "a", texts=["<b>", "x"], hover="%{text}", keys=["k", "l"])
    empty = Bars(NO_VALUES, NO_VALUES, NO_VALUES, "#000000", "only a name")
    chart = Chart([Panel([bars, empty], Axis("x"), Axis("y"))])
    (drawn,) = plots(chart)
    trace, named = drawn.data
    assert (list(trace.base), list(trace.x), list(trace.y)) == ([0, 2], [1, 3], [0, 1])
    assert list(trace.text) == ["&lt;b&gt;", "x"]
    assert trace.textposition == "none"
    assert list(trace.customdata) == ["k", "l"]
    assert named.showlegend
    axes = static.draw(chart).axes[0]
    bounds = [bar.get_extents().transformed(axes.transData.inverted()) for bar in axes.patches]
    assert [(one.x0, one.x1) for one in bounds] == [pytest.approx(p) for p in ((0, 1), (2, 5))]
    assert {text.get_text() for text in axes.figure.legends[0].texts} == {"a", "only a name"}


def test_long_texts_over_a_point_have_several_lines() -> None:
    text = "trial: " + ", ".join(f"defense.key{i}=<{i}>" for i in range(12))
    points = Points(np.array([1.0]), np.array([1.0]), "black", texts=[text], hover="%{text}")
    (drawn,) = plots(Chart([Panel([points])]))
    shown = drawn.data[-1].text[0]
    assert max(map(len, shown.replace("&lt;", "<").replace("&gt;", ">").split("<br>"))) <= 60
    assert shown.replace("<br>", " ").count("&lt;") == 12


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["none", "usual", "print"])
def test_files_of_a_figure(tmp_path: Path, wanted: str) -> None:
    line = Line(np.array([1.0, 2.0]), np.array([1.0, 2.0]), "black", "a line")
    chart = Chart([Panel([line])] * 4, width=3, height=2)
    sizes: dict[str, float] = {}
    for name in ("a", "b"):
        stem = tmp_path / name
        written = write_figure(chart, stem, wanted)  # type: ignore[arg-type]
        assert sorted(path.name for path in tmp_path.glob(f"{name}*")) == sorted(
            f"{name}{ending}" for _, ending in written.files
        )
        assert bool(written.picture) == (wanted != "none")
    for one, other in zip(*(sorted(tmp_path.glob(f"{n}*")) for n in ("a", "b")), strict=True):
        assert one.read_bytes() == other.read_bytes(), "equal charts give equal files"
        if one.suffix == ".svg":
            begin = one.read_text().split("<svg", 1)[1].split(">", 1)[0]
            sizes[one.stem] = float(begin.split('width="')[1].split("pt")[0]) / 72
    assert sizes == ({"a": PAGE, "a-column": COLUMN} if wanted == "print" else {})


def test_a_drawing_that_is_no_chart_is_always_written(tmp_path: Path) -> None:
    written = write_figure(Figure(), tmp_path / "x", "none")
    assert [label for label, _ in written.files] == ["PNG", "PDF"]
