"""``saat report --by KEY``: a front and a row for each value of a searched key."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.by_key import tuned_table, values_table
from reports.confirmed import confirmed_configs, gains_over_default
from reports.figures import static
from reports.figures.frontier import UNION_LABEL, frontier_chart, frontier_series
from reports.front_groups import front_groups
from reports.html import write_report
from reports.results import SearchResults
from reports.tables import front_table
from tests.reports.pictures import plots
from tests.reports.synthetic import SEEDS

CLEAN, ROBUST = "metric.reattack/clean_map", "metric.reattack/robust_map"
WORDS = {"model.backbone": {"choice": ["b", "a", "c"]}}


def in_words(results: SearchResults) -> SearchResults:
    """The run with a further choice of words, whose order in the file is not the alphabet's."""
    words = np.resize(["a", "b", "c"], len(results.trials))
    trials = results.trials.assign(**{"param.model.backbone": words})
    space = {"space": WORDS | results.space}
    return replace(results, trials=trials, experiment=results.experiment | space)


def area(points: np.ndarray) -> float:
    """Area that points in the unit square dominate, strip by strip."""
    ordered = points[np.argsort(-points[:, 0])]
    best = total = 0.0
    for x, y in ordered:
        total += x * max(0.0, y - best)
        best = max(best, y)
    return total


@pytest.mark.parametrize("key", ["model.bits", "model.backbone", "defense.steps"])
def test_the_row_of_a_value_equals_a_plain_formula(results: SearchResults, key: str) -> None:
    results = in_words(results)
    table = values_table([results], key).frame
    explore = results.explore
    done = explore[explore["status"] == "completed"]
    per_value = {value: done[done[f"param.{key}"] == value] for value in done[f"param.{key}"]}
    wanted = min(part[CLEAN].max() for part in per_value.values())
    assert len(table) == explore[f"param.{key}"].nunique()
    assert table["trials"].sum() == len(explore)
    for label, row in table.set_index(key).iterrows():
        value = str(label).partition("=")[2] or label
        of_value = explore[explore[f"param.{key}"].astype(str) == str(value)]
        part = of_value[of_value["status"] == "completed"]
        assert (row["trials"], row["completed"]) == (len(of_value), len(part))
        assert row["cost (s)"] == pytest.approx(of_value["cost_s"].sum())
        points = part[[CLEAN, ROBUST]].to_numpy(float)
        assert row["hypervolume"] == pytest.approx(area(points))
        reaching = part.loc[part[CLEAN] >= wanted, ROBUST]
        assert row["best robust MAP"] == pytest.approx(reaching.max(), nan_ok=True)
        if (part["role"] == "sampled").any():
            # The first setting of a greedy choice by hypervolume has the largest product.
            front = [p for p in points if not ((points >= p).all(1) & (points > p).any(1)).any()]
            sampled = part.loc[part["role"] == "sampled", [CLEAN, ROBUST]].to_numpy(float)
            kept = [p for p in front if (sampled == p).all(1).any()] or list(sampled)
            chosen = max(kept, key=np.prod)
            assert (row["its clean MAP"], row["its robust MAP"]) == pytest.approx(tuple(chosen))


def test_values_of_a_choice_come_in_the_order_of_the_file_and_numbers_by_size(
    results: SearchResults,
) -> None:
    labels = [one.label for one in frontier_series([in_words(results)], "model.backbone")]
    assert labels == ["b", "a", "c"]
    steps = [int(label[2:]) for label in front_groups(results, "defense.steps").cat.categories]
    assert steps == sorted(steps)
    assert max(steps) == 10  # as text it would come second


def test_trials_without_the_key_have_a_front_of_their_own(results: SearchResults) -> None:
    trials = results.trials.copy()
    gamma = np.resize(np.array([None, 2], dtype=object), len(trials))
    trials["param.defense.gamma"] = pd.Series(gamma, trials.index).astype("Int64")
    given = replace(results, trials=trials)
    assert list(front_groups(given, "defense.gamma").cat.categories) == [
        "defense.gamma=2",
        "without defense.gamma",
    ]


def test_both_renderers_draw_one_front_for_each_value(results: SearchResults) -> None:
    chart = frontier_chart([in_words(results)], "model.backbone")
    (plot,) = plots(chart)
    lines = {t.legendgroup for t in plot.data if t.mode == "lines" and t.legendgroup}
    assert lines == {"a", "b", "c", UNION_LABEL}
    legend = {t.get_text() for t in static.draw(chart).axes[0].figure.legends[0].get_texts()}
    assert {"a", "b", "c"} <= legend
    assert "32 bits" not in legend


def test_series_of_one_colour_differ_in_symbol_and_line(results: SearchResults) -> None:
    many = [f"v{i}" for i in range(8)]
    words = {"param.model.backbone": np.resize(many, len(results.trials))}
    trials = results.trials.assign(**words, status="completed")
    trials[[CLEAN, ROBUST]] = np.linspace(0.4, 0.8, 2 * len(trials)).reshape(-1, 2)
    space = {"space": {"model.backbone": {"choice": many}}}
    given = replace(results, trials=trials, experiment=results.experiment | space)
    (plot,) = plots(frontier_chart([given], "model.backbone"))
    looks = {t.name: (t.marker.color, t.marker.symbol) for t in plot.data if t.name in many}
    assert len(set(looks.values())) == len(many)


def test_every_front_of_the_table_is_free_of_dominated_trials(results: SearchResults) -> None:
    table = front_table([in_words(results)], "model.backbone")
    assert "one for each value of model.backbone" in table.caption
    for _, part in table.frame.groupby("param.model.backbone"):
        points = part[["clean MAP", "robust MAP"]].to_numpy()
        for p in points:
            assert not ((points >= p).all(1) & (points > p).any(1)).any()


def test_tuned_against_published_is_the_paired_difference_of_equal_seeds(
    results: SearchResults,
) -> None:
    configs = confirmed_configs(results)
    gains = gains_over_default(configs)
    table = tuned_table([results], {"quickstart": configs}, {"quickstart": gains}, "model.bits")
    tested = results.tested
    for row in table.frame.to_dict("records"):
        part = tested[tested["param.model.bits"] == row["bits"]].set_index("seed")
        for name in ("clean", "robust"):
            by_role = part.groupby("role")[f"metric.test/{name}_map"]
            tuned, published = by_role.get_group("recommended"), by_role.get_group("default")
            assert row[f"tuned {name} MAP"] == pytest.approx(tuned.mean())
            assert row[f"published {name} MAP"] == pytest.approx(published.mean())
            difference = (tuned - published).dropna()
            assert row[f"{name} MAP gain"] == pytest.approx(difference.mean())
            half = 4.30265 * difference.std() / np.sqrt(len(SEEDS))  # t of 2 degrees of freedom
            assert row[f"{name} MAP gain low"] == pytest.approx(difference.mean() - half, rel=1e-4)
        assert row["moved"] == "λ 1 → 2.3"
    assert list(table.frame["model.bits"]) == ["bits=16", "bits=32"]


def test_a_published_setting_without_a_tuned_one_has_a_row(results: SearchResults) -> None:
    trials = results.trials
    lost = (trials["role"] == "recommended") & (trials["param.model.bits"] == 16)
    given = replace(results, trials=trials[~lost])
    configs = confirmed_configs(given)
    table = tuned_table(
        [given], {"quickstart": configs}, {"quickstart": gains_over_default(configs)}, "model.bits"
    ).frame
    rows = {row["bits"]: row for row in table.to_dict("records")}
    assert np.isnan(rows[16]["tuned robust MAP"])
    assert rows[16]["published robust MAP"] > 0
    assert rows[32]["tuned robust MAP"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("quick_pictures")
def test_the_page_has_the_tables_only_if_asked(results: SearchResults, tmp_path: Path) -> None:
    asked = write_report([results], tmp_path / "asked", "model.bits").read_text()
    plain = write_report([results], tmp_path / "plain").read_text()
    for text in ("Each value of model.bits", "Tuned against published settings"):
        assert text in asked
        assert text not in plain
    written = pd.read_csv(tmp_path / "asked" / "tables" / "values.csv")
    assert written["trials"].sum() == len(results.explore)
