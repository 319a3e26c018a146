"""Settings at chance in a report: on no front, marked, compared with nothing, said at the top."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.conclusions import conclusions
from reports.confirmed import ConfirmedConfig, confirmed_configs, gains_over_default
from reports.explored import chance_levels, completed_trials, eligible, hypervolume_over_cost
from reports.figures import static
from reports.figures.chart import Band
from reports.figures.examples import examples_data
from reports.figures.frontier import FLAGS, frontier_chart
from reports.frontier import hypervolume
from reports.html import write_report
from reports.results import SearchResults
from reports.tables import confirm_table, front_table, gains_table, trials_table
from tests.reports.pictures import plots

CLEAN, ROBUST = "metric.reattack/clean_map", "metric.reattack/robust_map"
CHANCE = "metric.reattack/chance_map"
LABELS = {FLAGS[flag][0] for flag in ("collapsed", "powerless")}


@pytest.fixture
def fine(results: SearchResults) -> SearchResults:
    return results


def changed(results: SearchResults, change: Callable[[pd.DataFrame], None]) -> SearchResults:
    trials = results.trials.copy()
    change(trials)
    return replace(results, trials=trials)


def explored(trials: pd.DataFrame) -> pd.Index:
    """Rows of completed explore trials, the paper's default first."""
    return trials.index[(trials["phase"] == "explore") & (trials["status"] == "completed")]


def collapse(count: int) -> Callable[[pd.DataFrame], None]:
    """The last trials of the exploration have one code for all images, chance is 70 %."""

    def change(trials: pd.DataFrame) -> None:
        trials.loc[explored(trials), CHANCE] = 0.1
        rows = explored(trials)[-count:]
        trials.loc[rows, [CLEAN, ROBUST, CHANCE]] = 0.7

    return change


def collapse_tested(role: str, seeds: int, bits: int = 32) -> Callable[[pd.DataFrame], None]:
    def change(trials: pd.DataFrame) -> None:
        mine = (trials["role"] == role) & (trials["param.model.bits"] == bits)
        rows = trials.index[mine & (trials["phase"] == "confirm")][:seeds]
        for name in ("clean", "robust", "chance"):
            trials.loc[rows, f"metric.test/{name}_map"] = 0.7

    return change


def one(configs: list[ConfirmedConfig], role: str, bits: int = 32) -> ConfirmedConfig:
    (found,) = [s for s in configs if (s.role, s.bits) == (role, bits)]
    return found


def spoken(results: SearchResults) -> str:
    configs = confirmed_configs(results)
    return " ".join(conclusions(results, configs, gains_over_default(configs)))


def test_above_chance_nothing_is_said(fine: SearchResults) -> None:
    assert not chance_levels(completed_trials(fine)).any()
    assert "chance" not in spoken(fine)
    assert {s.reliability for s in confirmed_configs(fine)} == {"not checked"}
    assert set(trials_table(fine).frame["at chance"]) == {""}
    names = {trace.name for trace in plots(frontier_chart([fine]))[0].data}
    assert not names & LABELS


def test_a_collapsed_trial_is_on_no_front_and_adds_no_hypervolume(fine: SearchResults) -> None:
    results = changed(fine, collapse(2))
    frame = completed_trials(results)
    collapsed = set(frame["trial_id"][-2:])
    assert not collapsed & set(front_table([results]).frame["trial"])
    kept = frame[~frame["trial_id"].isin(collapsed)]
    assert set(frame["trial_id"][eligible(results, frame)]) == set(kept["trial_id"])
    curve = hypervolume_over_cost(results)
    assert curve.hypervolume[-1] == pytest.approx(hypervolume(kept[[CLEAN, ROBUST]].to_numpy()))
    marked = trials_table(results).frame.set_index("trial")["at chance"]
    assert set(marked[marked == "clean, robust"].index) == collapsed


def test_marks_are_drawn_around_points_at_chance(fine: SearchResults) -> None:
    def change(trials: pd.DataFrame) -> None:
        collapse(1)(trials)
        trials.loc[explored(trials)[0], CHANCE] = trials.loc[explored(trials)[0], ROBUST]

    chart = frontier_chart([changed(fine, change)])
    traces = plots(chart)[0].data
    assert {trace.name for trace in traces} >= LABELS
    for symbol in ("square-open", "diamond-open"):
        drawn = [t for t in traces if t.marker.symbol == symbol and len(t.x) and t.x[0] is not None]
        assert sum(len(trace.x) for trace in drawn) == 1
    labels = static.draw(chart).axes[0].get_legend_handles_labels()[1]
    assert set(labels) >= LABELS
    (_, floor) = [mark for mark in chart.panels[0].marks if isinstance(mark, Band)]
    assert floor.high < 10, "a collapsed network's floor is chance"


def test_a_front_marks_trials_whose_robust_map_is_at_chance(fine: SearchResults) -> None:
    def change(trials: pd.DataFrame) -> None:
        trials.loc[explored(trials), CHANCE] = trials.loc[explored(trials), ROBUST].max()

    results = changed(fine, change)
    table = front_table([results])
    assert set(table.frame["at chance"]) == {"robust"}
    assert "not recommended" in table.caption
    assert "not recommended" not in front_table([fine]).caption
    assert "No setting is recommended: of 6 completed trials, 0 have a clean MAP and 6" in spoken(
        results
    )


@pytest.mark.parametrize(("count", "words"), [(1, "1 has a clean MAP"), (2, "2 have a clean MAP")])
def test_the_first_paragraph_counts_what_is_at_chance(
    fine: SearchResults, count: int, words: str
) -> None:
    text = spoken(changed(fine, collapse(count)))
    assert words in text
    assert "these are not recommended." in text


@pytest.mark.usefixtures("quick_pictures")
def test_where_all_are_at_chance_the_report_recommends_nothing(
    fine: SearchResults, tmp_path: Path
) -> None:
    def change(trials: pd.DataFrame) -> None:
        trials.loc[explored(trials), [CLEAN, ROBUST, CHANCE]] = 0.3

    results = changed(fine, change)
    text = (write_report([results], tmp_path / "report")).read_text()
    (first,) = re.findall(r'<p class="verdict">(.*?)</p>', text, re.DOTALL)
    assert "No setting is recommended: of 6 completed trials, 6 have a clean MAP" in first
    assert "So there is no front." in first
    assert "clean MAP is not above chance" in " ".join(re.findall(r'class="warning">(.*?)<', text))
    assert len(pd.read_csv(tmp_path / "report" / "frontier.csv")) == 0


@pytest.mark.parametrize("role", ["recommended", "default"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_collapsed_setting_is_compared_with_nothing(
    fine: SearchResults, role: str, seeds: int
) -> None:
    results = changed(fine, collapse_tested(role, seeds))
    configs = confirmed_configs(results)
    config = one(configs, role)
    assert config.collapsed
    assert "[at chance]" in config.label
    gains = gains_over_default(configs)
    assert {gain.recommended.bits for gain in gains} == {16}
    assert set(gains_table(gains).frame["bits"]) == {16}
    text = spoken(results)
    under = " under 1 of 3 seeds" if seeds == 1 else ""
    assert f"retrieves nothing{under}: its clean MAP of" in text
    assert (
        f"clean MAP not above chance{under}"
        in confirm_table(configs).frame["reliability"].to_list()[configs.index(config)]
    )


def test_a_search_whose_recommended_setting_collapses_claims_no_gain(fine: SearchResults) -> None:
    def change(trials: pd.DataFrame) -> None:
        for bits in (16, 32):
            collapse_tested("recommended", 3, bits)(trials)

    text = spoken(changed(fine, change))
    assert "compared with the paper's default" not in text
    assert "points robust" not in text


def test_a_robust_map_at_chance_is_marked_and_said(fine: SearchResults) -> None:
    def change(trials: pd.DataFrame) -> None:
        trials.loc[trials["role"] == "undefended", "metric.test/chance_map"] = 0.3

    results = changed(fine, change)
    config = one(confirmed_configs(results), "undefended")
    assert not config.collapsed
    assert config.label == "undefended [robust MAP not above chance], 32 bits"
    assert "The robust MAP of undefended [robust MAP not above chance], 32 bits" in spoken(results)


def test_a_comparison_ranks_only_what_retrieves(fine: SearchResults) -> None:
    results = changed(fine, collapse_tested("recommended", 3))
    results = replace(
        results,
        trials=results.tested,
        experiment=results.experiment | {"compare": {"a": {}}},
    )
    text = spoken(results)
    assert "6 settings were compared on test queries. Under its worst case recommended A" in text


def test_examples_are_not_of_a_collapsed_setting(fine: SearchResults) -> None:
    results = changed(fine, collapse_tested("recommended", 3))
    titles = [panel.title for panel in examples_data(results, confirmed_configs(results))]
    assert titles
    assert not any("at chance" in title for title in titles)


def test_dead_gradients_are_said_with_the_number_of_seeds(fine: SearchResults) -> None:
    def change(trials: pd.DataFrame) -> None:
        mine = (trials["role"] == "recommended") & (trials["param.model.bits"] == 32)
        rows = trials.index[mine][:2]
        for name in ("mainstay", "hag"):
            trials.loc[rows, f"metric.test/zero_grad.{name}"] = [0.58, 0.14]
        # Through other gradients than the network's own, which show nothing of them.
        trials.loc[rows, "metric.test/zero_grad.mainstay.leaky"] = [0.0, 0.0]

    results = changed(fine, change)
    config = one(confirmed_configs(results), "recommended")
    np.testing.assert_allclose(config.dead_gradients, [0.58, 0.14])
    assert "[dead gradients]" in config.label
    text = spoken(results)
    assert "are dead under 2 of 3 seeds (58 %, 14 % exactly zero)" in text
    assert "dead gradients under 2 of 3 seeds (58 %, 14 % exactly zero)" in config.reliability
