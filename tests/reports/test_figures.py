"""The data behind every figure; both renderers draw exactly that."""

import io
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

from reports.confirmed import confirmed_configs, gains_over_default
from reports.figures import overlaid_figures, search_figures, static
from reports.figures.chart import Band, Bound, Chart, Line, Points
from reports.figures.confirmed import confirmed_chart
from reports.figures.cost import cost_chart
from reports.figures.examples import amplify, examples_data, examples_static
from reports.figures.frontier import UNION_LABEL, frontier_chart, frontier_series
from reports.figures.learning_curves import learning_curves, learning_curves_chart
from reports.figures.parameters import parameters_chart
from reports.figures.precision_recall import precision_recall_curves
from reports.figures.static import STATIC_STYLE, legend_below, new_figure
from reports.results import SearchResults, load_search
from saat.curves import precision_at_recall
from saat.retrieval import DistanceHistograms, expected_average_precision
from tests.reports.pictures import plots
from tests.reports.synthetic import QUERIES, write_run

CLEAN, ROBUST = "metric.reattack/clean_map", "metric.reattack/robust_map"


def test_frontier_has_every_completed_and_stopped_trial(results):
    series = frontier_series([results])
    assert [one.label for one in series] == ["16 bits", "32 bits"]
    assert sum((~one.trials["stopped"]).sum() for one in series) == 6
    assert sum(one.trials["stopped"].sum() for one in series) == 5
    assert [one.trials["default"].sum() for one in series] == [1, 1]
    chance, floor, *_ = frontier_chart([results]).panels[0].marks
    assert isinstance(chance, Band)
    assert (chance.low, chance.high) == pytest.approx((15.5, 15.5))
    assert isinstance(floor, Band)
    assert (floor.low, floor.high) == pytest.approx((6, 7))


def completed_points(results: SearchResults) -> np.ndarray:
    trials = pd.concat([one.trials for one in frontier_series([results])])
    return 100 * trials.loc[~trials["stopped"], ["clean_map", "robust_map"]].to_numpy()


def test_union_front_dominates_every_series(results):
    marks = frontier_chart([results]).panels[0].marks
    (line,) = [mark for mark in marks if isinstance(mark, Line) and mark.label == UNION_LABEL]
    union = np.column_stack([line.x, line.y])
    for clean, robust in completed_points(results):
        assert ((union >= [clean, robust]).all(axis=1)).any()
    assert (np.diff(union[:, 0]) > 0).all()
    assert (np.diff(union[:, 1]) < 0).all()


def test_renderers_draw_the_same_points_in_percent(results):
    expected = {tuple(np.round(row, 9)) for row in completed_points(results)}
    stored = results.explore.loc[results.explore["status"] == "completed", [CLEAN, ROBUST]]
    assert expected == {tuple(np.round(100 * row, 9)) for row in stored.to_numpy()}
    drawn = {
        (round(x, 9), round(y, 9))
        for trace in plots(frontier_chart([results]))[0].data
        if trace.mode == "markers" and trace.hovertemplate and "stopped" not in trace.hovertemplate
        for x, y in zip(trace.x, trace.y, strict=True)
    }
    assert drawn == expected
    axes = static.draw(frontier_chart([results])).axes[0]
    symbols = [line for line in axes.lines if line.get_marker() in ("o", "*")]
    points = np.concatenate([np.asarray(line.get_xydata(), float) for line in symbols])
    assert {(round(x, 9), round(y, 9)) for x, y in points.tolist()} == expected


def test_a_code_length_of_which_only_the_default_ended_is_in_the_legend(results):
    trials = results.trials
    others = (trials["param.model.bits"] == 16) & (trials["role"] != "default")
    alone = replace(results, trials=trials[~others])
    drawn = plots(frontier_chart([alone]))[0]
    # Plotly shows no trace without points in its legend.
    shown = [trace.name for trace in drawn.data if trace.showlegend is not False and len(trace.x)]
    for series in frontier_series([alone]):
        assert shown.count(series.label) == 1


def test_front_steps_never_promise_more_than_a_trial_reached(results):
    drawn = plots(frontier_chart([results]))[0].data
    lines = [trace for trace in drawn if trace.mode == "lines" and len(trace.x) > 1]
    assert [line.line.shape for line in lines] == ["vh"] * 3
    axes = static.draw(frontier_chart([results])).axes[0]
    steps = [
        line for line in axes.lines if line.get_linestyle() == "-" and np.size(line.get_xdata()) > 1
    ]
    assert {line.get_drawstyle() for line in steps} == {"steps-pre"}


def test_legends_lie_below_the_axes(results, configs):
    for figure in (
        static.draw(frontier_chart([results])),
        static.draw(confirmed_chart(configs)),
    ):
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert all(legend.y1 <= axes.get_window_extent().y0 for axes in figure.axes)


def test_confirmed_settings_are_grouped_by_seed(configs):
    assert [config.label for config in configs] == [
        "recommended A, 16 bits",
        "recommended B, 32 bits",
        "paper's default, 16 bits",
        "paper's default, 32 bits",
        "undefended, 16 bits",
        "undefended, 32 bits",
    ]
    assert all(len(config.trials) == 3 for config in configs)
    for config in configs:
        for metric, band in config.bands.items():
            assert band.low < config.summary(metric).mean < band.high
            assert band.mean == pytest.approx(config.summary(metric).mean)


def test_gains_pair_equal_bits_and_seeds(configs):
    gains = gains_over_default(configs)
    assert [(g.recommended.bits, g.metric) for g in gains] == [
        (16, "robust_map"),
        (16, "clean_map"),
        (32, "robust_map"),
        (32, "clean_map"),
    ]
    expected = configs[0].seeds("robust_map") - configs[2].seeds("robust_map")
    np.testing.assert_allclose(gains[0].comparison.differences, expected)


def test_gains_use_common_seeds_alone(configs):
    recommended, default = configs[0], configs[2]
    fewer = replace(default, trials=default.trials.iloc[1:])
    gain = gains_over_default([recommended, fewer])[0]
    np.testing.assert_allclose(
        gain.comparison.differences,
        recommended.seeds("robust_map")[1:] - default.seeds("robust_map")[1:],
    )
    assert gain.recommended_mean - gain.default_mean == pytest.approx(gain.comparison.mean)


def test_learning_curves_show_where_trials_were_stopped(results):
    curves = learning_curves(results)
    lengths = {curve.status: len(curve.epochs) for curve in curves}
    assert lengths == {"completed": 6, "probe": 2, "stopped": 2, "failed": 1}
    assert sum(curve.status == "stopped" for curve in curves) == 4
    marks = learning_curves_chart(results).panels[0].marks
    (bound,) = (mark for mark in marks if isinstance(mark, Bound))
    assert (bound.x, bound.label) == (2, "rung, and end of probes")
    assert sum(curve.is_default for curve in curves) == 2


def test_learning_curves_leave_out_epochs_that_were_not_validated(results):
    epochs = results.epochs.copy()
    for column in ("metric.val/clean_map", "metric.val/robust_map"):
        epochs.loc[epochs["epoch"] % 2 == 1, column] = np.nan
    sparse = replace(results, epochs=epochs)
    known = {curve.text: curve for curve in learning_curves(results)}
    curves = learning_curves(sparse)
    assert 0 < len(curves) < len(known)  # some ended before their first validation
    for curve in curves:
        whole = known[curve.text]
        assert curve.epochs.tolist() == [e for e in whole.epochs if e % 2 == 0]
        kept = [v for e, v in zip(whole.epochs, whole.values, strict=True) if e % 2 == 0]
        assert curve.values.tolist() == kept
    plots(learning_curves_chart(sparse))
    static.draw(learning_curves_chart(sparse))


def test_learning_curves_draw_every_point_once_and_no_line_for_each_trial(results):
    several = replace(results, trials=pd.concat([results.trials] * 50))
    curves = learning_curves(several)
    drawn = plots(learning_curves_chart(several))[1]
    assert len(drawn.data) == len(plots(learning_curves_chart(results))[1].data)
    lines = [trace for trace in drawn.data if trace.mode == "lines" and len(trace.x) > 1]
    dots = [trace for trace in drawn.data if trace.marker.symbol == "circle"]
    assert len(lines) == len(dots) == 4, "two code lengths, the default's and the others"
    for line, points in zip(lines, dots, strict=True):
        default = line.line.width == max(one.line.width for one in lines)
        mine = [
            curve
            for curve in curves
            if line.legendgroup == f"{curve.bits} bits" and curve.is_default == default
        ]
        joined = [value for curve in mine for value in (*(100 * curve.values), np.nan)]
        np.testing.assert_allclose(line.y, joined)
        np.testing.assert_allclose(points.y, joined)
        assert len(points.text) == len(points.x)
    ends = [
        t for t in drawn.data if t.marker.symbol in ("x", "diamond", "triangle-down") and t.text
    ]
    ended = sum(curve.status in ("stopped", "probe", "failed") for curve in curves)
    assert sum(len(trace.x) for trace in ends) == ended
    figure = static.draw(learning_curves_chart(several))
    few = static.draw(learning_curves_chart(results))
    assert len(figure.axes[0].lines) == len(few.axes[0].lines)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_legend_of_parameters_fits_however_many_there_are(results, count):
    space = dict(list(results.space.items())[:count])
    fewer = replace(results, experiment=results.experiment | {"space": space})
    with matplotlib.rc_context(STATIC_STYLE):
        figure = static.draw(parameters_chart(fewer))
        figure.draw_without_rendering()
        legend, page = figure.legends[0].get_window_extent(), figure.bbox
    assert len(figure.axes) == count
    assert page.x0 <= legend.x0
    assert legend.x1 <= page.x1
    assert page.y0 <= legend.y0


def test_parameters_have_units_and_scales(results):
    panels = {panel.x.label: panel for panel in parameters_chart(results).panels}
    highest = max(
        mark.x.max() for mark in panels["defense.eps (1/255)"].marks if isinstance(mark, Points)
    )
    assert highest == pytest.approx(13.2, abs=0.1)
    assert panels["defense.lambda (log scale)"].x.scale == "log"
    assert panels["model.bits"].x.categories == ("16", "32")
    assert panels["defense.steps"].x.scale == "whole"


def test_precision_recall_without_ties_is_the_textbook_curve():
    # One item at each distance: relevant, irrelevant, relevant, irrelevant.
    curve = precision_at_recall([[1, 1, 1, 1]], [[1, 0, 1, 0]], [0.5, 1.0])
    assert curve.tolist() == pytest.approx([1.0, 2 / 3])


def test_precision_in_one_block_of_ties_is_the_share_of_relevant_items():
    curve = precision_at_recall([[8, 0]], [[2, 0]], [0.1, 0.5, 1.0])
    assert curve.tolist() == pytest.approx([0.25, 0.25, 0.25])


def test_precision_recall_equals_random_orders():
    rng = np.random.default_rng(0)
    total, relevant = np.array([3, 5, 4]), np.array([2, 1, 3])
    hits = np.zeros(total.sum())
    for _ in range(20000):
        order = [
            rng.permutation([1] * r + [0] * (n - r)) for n, r in zip(total, relevant, strict=True)
        ]
        hits += np.concatenate(order).cumsum()
    hits /= 20000
    for cut, found in enumerate(hits, start=1):
        level = found / relevant.sum()
        assert precision_at_recall([total], [relevant], [min(level, 1)])[0] == pytest.approx(
            found / cut, rel=0.02
        )


def test_queries_without_relevant_items_stay_in_with_precision_0_as_in_map():
    total, relevant = np.array([[2, 3], [4, 1]]), np.array([[1, 2], [2, 0]])
    levels = [0.1, 0.5, 1.0]
    found = precision_at_recall(total, relevant, levels)
    more = precision_at_recall(
        np.vstack([total, [[1, 4]]]), np.vstack([relevant, [[0, 0]]]), levels
    )
    np.testing.assert_allclose(more, found * 2 / 3)
    histograms = DistanceHistograms(torch.tensor([[1, 4]]), torch.zeros(1, 2, dtype=torch.int64))
    assert expected_average_precision(histograms, 5).tolist() == [0.0]
    assert precision_at_recall([[1, 1]], [[0, 0]], [1.0]).tolist() == [0.0]
    assert np.isnan(precision_at_recall(np.empty((0, 2)), np.empty((0, 2)), [1.0])).all()


def test_precision_recall_takes_the_strongest_attack(results, configs):
    curves = precision_recall_curves(results, configs)
    assert [curve.attack for curve in curves] == ["mainstay"] * 6
    undefended = curves[-1]
    assert undefended.attacked.mean() < 0.5 * undefended.clean.mean()


@pytest.mark.parametrize("label", ["日本語 λ", "हिन्दी", "🎉 \u0e44\u0e17\u0e22", "a₁ ⟶ ∀"])
def test_characters_that_dejavu_lacks_fall_back_to_other_fonts(label):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with matplotlib.rc_context(STATIC_STYLE):
            figure = new_figure()
            figure.add_subplot(title=label, xlabel=label).plot([0, 1], label=label)
            legend_below(figure)
            for kind in ("png", "pdf"):
                figure.savefig(io.BytesIO(), format=kind)


NAMED = ("frontier", "confirmed", "hypervolume")


def test_a_search_whose_name_begins_with_an_underscore_is_in_the_legends(results):
    searches = [replace(results, name="_one"), replace(results, name="two")]
    configs = [s for found in searches for s in confirmed_configs(found)]
    with matplotlib.rc_context(STATIC_STYLE):
        shown = {
            figure.name: [text.get_text() for text in static.draw(chart).legends[0].get_texts()]
            for figure in overlaid_figures(searches, configs).values()
            if isinstance(chart := figure.drawing, Chart) and figure.name in NAMED
        }
    for name in NAMED:
        assert any("_one" in text for text in shown[name]), name


def test_no_text_of_a_figure_asks_for_a_weight_that_a_font_of_last_resort_lacks(
    results, configs, caplog
):
    images = [panel._replace(title="日本語") for panel in examples_data(results, configs)]
    with matplotlib.rc_context(STATIC_STYLE):
        examples_static(images).savefig(io.BytesIO(), format="png")
    assert "findfont" not in caplog.text


def test_amplified_perturbation_fits_into_uint8():
    query = np.full((1, 3, 2, 2), 100, dtype=np.uint8)
    adversarial = query.copy()
    adversarial[0, 0, 0, 0], adversarial[0, 1, 0, 0] = 108, 92
    image, factor = amplify(query, adversarial)
    assert factor == 15
    assert (image[0, 0, 0, 0], image[0, 1, 0, 0], image[0, 2, 0, 0]) == (248, 8, 128)


def test_examples_set_the_undefended_model_beside_the_best(results, configs):
    panels = examples_data(results, configs)
    assert [panel.title.split(",")[0] for panel in panels] == ["undefended", "recommended B"]
    assert all(panel.title.split(", ")[1] == "32 bits" for panel in panels)


def test_cost_of_searches_without_completed_trials_is_left_out(tmp_path):
    running = load_search(write_run(tmp_path / "run", complete=False))
    assert cost_chart([running]).panels == ()


@pytest.mark.parametrize(
    ("options", "count"),
    [({"complete": False}, 13), ({"explore": False, "phases": ()}, 10)],
)
def test_every_figure_can_be_drawn_without_results(tmp_path: Path, options, count):
    results = load_search(write_run(tmp_path / "run", **options))
    figures = overlaid_figures([results], []) | search_figures(results, [])
    assert len(figures) == count
    chart = figures["confirmed"].drawing
    assert isinstance(chart, Chart)
    assert plots(chart)[0].layout.annotations[0].text == "no completed trials on test queries yet"


def test_missing_per_query_files_take_the_bands_away(tmp_path):
    run = write_run(tmp_path / "run")
    for path in run.glob("trials/*/*"):
        path.unlink()
    results = load_search(run)
    configs = confirmed_configs(results)
    assert all(np.isnan(s.bands["robust_map"].low) for s in configs)
    static.draw(confirmed_chart(configs)).draw_without_rendering()
    assert precision_recall_curves(results, configs) == []
    assert examples_data(results, configs) == []


def test_bands_use_the_worst_case_of_every_query(results, configs):
    config = configs[0]
    tables = [results.per_query(trial) for trial in config.trials["trial_id"]]
    worst = [table[table["attack"] != "worst"].groupby("query")["ap"].min() for table in tables]
    assert all(len(ap) == QUERIES for ap in worst)
    assert config.bands["robust_map"].mean == pytest.approx(np.mean(worst))
