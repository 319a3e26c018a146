"""The first screen: which setting, what does it gain, may it be believed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.choice import reasons
from reports.confirmed import confirmed_configs, gains_over_default, with_letters
from reports.figures.chart import Bound, Letters
from reports.figures.frontier import frontier_chart
from reports.figures.heat_table import contrast, readable_on
from reports.figures.parameters import parameters_chart
from reports.results import SearchResults, load_search
from reports.summary import headline, picked, summary_table, warnings
from reports.tables import front_table, trials_table
from tests.reports.synthetic import write_run


def spoken(results: SearchResults) -> tuple[list[str], list[str], str]:
    """The three answers, the warnings, and the level of the belief."""
    configs = confirmed_configs(results)
    gains = gains_over_default(configs)
    answers = headline(results, configs, gains)
    return [answer.text for answer in answers], warnings(results, configs, gains), answers[2].level


def with_trials(results: SearchResults, change) -> SearchResults:
    trials = results.trials.copy()
    change(trials)
    return replace(results, trials=trials)


def test_the_headline_answers_three_questions(results):
    (use, gain, belief), found, level = spoken(results)
    assert use.startswith("Use A, 16 bits: λ=2.3, μ=0.0002, ε=8/255, T=7; or B, 32 bits:")
    config = confirmed_configs(results)[0]
    comparison = gains_over_default([*confirmed_configs(results)])[0].comparison
    assert config.letter == "A"
    assert gain.startswith(f"A: +{100 * comparison.mean:.1f} [")
    assert "over the paper's default (95 % intervals)" in gain
    assert "over undefended" in gain
    assert use.endswith(" clean against A).")
    assert level == "caution"
    assert "3 seeds, and a claim of significance needs 6, whatever the interval" in belief
    above = 100 * (config.mean("robust_map") - config.mean("chance_map"))
    assert f"Robust MAP is {above:.1f} points above chance" in belief
    assert (
        "3 seeds are too few for a claim of significance; set confirm.seeds to 6 or more." in found
    )


def test_six_seeds_and_passed_gates_are_believed(tmp_path: Path):
    results = load_search(write_run(tmp_path / "run", seeds=tuple(range(101, 107))))
    assert spoken(results)[2] == "caution"  # no gates were run
    passed = with_trials(
        results, lambda t: t.insert(len(t.columns), "metric.test/gates_failed", 0.0)
    )
    (_, _, belief), found, level = spoken(passed)
    assert level == "yes"
    assert belief.startswith("Yes, under this protocol: all gates passed")
    assert not found

    def worse(trials: pd.DataFrame) -> None:
        trials.loc[trials["role"] == "recommended", "metric.test/robust_map"] -= 0.2
        trials.loc[trials["role"] == "recommended", "metric.test/clean_map"] += 0.1

    (_, _, belief), _, level = spoken(with_trials(passed, worse))
    assert level == "caution"
    assert "not above that of the paper's default" in belief


def test_a_setting_with_failed_gates_is_passed_over(results):
    def doubt(trials: pd.DataFrame) -> None:
        mine = (trials["role"] == "recommended") & (trials["param.model.bits"] == 16)
        trials.loc[mine, "unreliable"] = "An attack with a larger budget is weaker."

    changed = with_trials(results, doubt)
    configs = confirmed_configs(changed)
    assert picked(configs) is configs[1]
    answers, found, _ = spoken(changed)
    assert answers[0].startswith("Use B, 32 bits")
    assert "A, 16 bits" not in answers[0]
    assert found[0].startswith("Recommended A [unreliable], 16 bits is unreliable")

    def doubt_all(trials: pd.DataFrame) -> None:
        trials["unreliable"] = "An attack with a larger budget is weaker."

    (_, _, belief), _, level = spoken(with_trials(results, doubt_all))
    assert level == "no"
    assert belief.startswith("No: gates failed")


def test_the_default_is_kept_where_what_is_recommended_without_a_doubt_is_behind_it(results):
    def change(trials: pd.DataFrame) -> None:
        trials.loc[trials["role"] == "recommended", "param.model.bits"] = 32
        mine = trials["config_hash"].str.startswith("recommended16")
        trials.loc[mine, "unreliable"] = "An attack with a larger budget is weaker."
        behind = trials["config_hash"].str.startswith("recommended32")
        trials.loc[behind, ["metric.test/clean_map", "metric.test/robust_map"]] -= 0.3

    changed = with_trials(results, change)
    configs = confirmed_configs(changed)
    default = next(c for c in configs if c.role == "default" and c.bits == 32)
    doubted = next(config for config in configs if config.letter == "A")
    assert picked(configs) is default
    (use, gain, belief), _, level = spoken(changed)
    assert use.startswith("Keep the paper's default, 32 bits")
    assert "no recommended setting that can be trusted is better" in use
    more = 100 * (doubted.mean("robust_map") - default.mean("robust_map"))
    assert f". Not A, 32 bits ({more:+.1f} robust and " in use
    assert use.endswith(": gates failed.")
    assert "over undefended" in gain
    assert "over the paper's default" not in gain
    assert level == "caution"
    assert "not compared with the paper's default" not in belief


def test_a_default_is_believed_without_a_gain(tmp_path: Path):
    def change(trials: pd.DataFrame) -> None:
        trials.insert(len(trials.columns), "metric.test/gates_failed", 0.0)
        mine = trials["role"] == "recommended"
        trials.loc[mine, ["metric.test/clean_map", "metric.test/robust_map"]] -= 0.3

    results = load_search(write_run(tmp_path / "run", seeds=tuple(range(101, 107))))
    (use, _, belief), _, level = spoken(with_trials(results, change))
    assert use.startswith("Keep the paper's default")
    assert level == "yes"
    assert "gain" not in belief


def test_a_warning_names_a_confirmed_trial_by_its_setting_and_seed(results):
    def fall(trials: pd.DataFrame) -> None:
        first = trials[(trials["role"] == "recommended") & (trials["param.model.bits"] == 16)]
        explored = trials[(trials["phase"] == "explore") & (trials["status"] == "completed")]
        trials.loc[first.index[0], "metric.test/clean_map"] = 0.0
        trials.loc[explored.index[0], "metric.reattack/clean_map"] = 0.0

    changed = with_trials(results, fall)
    _, found, _ = spoken(changed)
    said = next(line for line in found if line.startswith("clean MAP is not above chance"))
    assert "A, 16 bits, seed 101 (0.0 % where chance is 15.8 %)" in said
    explored = results.trials.query("phase == 'explore' and status == 'completed'")
    assert f"{explored['trial_id'].iloc[0]} (0.0 % where chance is 15.5 %)" in said


def test_a_setting_behind_another_one_is_no_alternative(results):
    def equal_bits(trials: pd.DataFrame) -> None:
        trials.loc[trials["role"] == "recommended", "param.model.bits"] = 32
        mine = trials["config_hash"].str.startswith("recommended16")
        trials.loc[mine, ["metric.test/clean_map", "metric.test/robust_map"]] -= 0.3

    changed = with_trials(results, equal_bits)
    answers, found, _ = spoken(changed)
    assert answers[0].startswith("Use A, 32 bits")
    assert "or B" not in answers[0]
    assert "B, 32 bits is behind A, 32 bits in clean and robust MAP on test queries." in found


def test_a_lone_trial_and_notices_are_warned_of(results):
    def one_left(trials: pd.DataFrame) -> None:
        short = (trials["phase"] == "explore") & (trials["param.model.bits"] == 16)
        ended = trials[short & (trials["status"] == "completed")].index[1:]
        trials.loc[ended, "status"] = "stopped"

    changed = replace(with_trials(results, one_left), notices=["ε: at the end"])
    (_, _, belief), found, _ = spoken(changed)
    assert "16 bits: one trial alone completed, so no settings were compared there." in found
    assert found[-1] == "ε: at the end"
    assert "an end of the space" in belief


@pytest.mark.parametrize(
    "options", [{"complete": False}, {"phases": ()}, {"explore": False, "phases": ()}]
)
def test_without_a_confirmed_setting_the_page_says_so(tmp_path: Path, options):
    answers, _, level = spoken(load_search(write_run(tmp_path / "run", **options)))
    assert answers[0].startswith("None")
    assert level == "no"


def test_the_summary_has_the_means_of_the_trials(results, configs):
    table = summary_table(configs)
    assert list(table.frame["setting"][:2]) == ["A, 16 bits", "B, 32 bits"]
    for row, config in zip(table.frame.to_dict("records"), configs, strict=True):
        assert row["robust MAP"] == pytest.approx(config.seeds("robust_map").mean())
        assert row["robust MAP low"] < row["robust MAP"] < row["robust MAP high"]
    only = [config for config in configs if config.bits == 32 or config.role != "recommended"]
    assert len(summary_table(only).frame) == 3  # one length, three roles


def confirmed_trial(results: SearchResults) -> SearchResults:
    """The results with the recommended settings of the two best explored trials."""

    def link(trials: pd.DataFrame) -> None:
        explored = trials[trials["trial_id"].isin(["0000000003-explore-0", "0000000004-explore-0"])]
        for bits, number in ((16, 31), (32, 30)):
            mine = (trials["role"] == "recommended") & (trials["param.model.bits"] == bits)
            found = explored[explored["param.model.bits"] == bits].iloc[0]
            trials.loc[mine, "config_hash"] = found["config_hash"]
            trials.loc[mine, "number"] = number

    return with_trials(results, link)


def test_the_caption_explains_the_symbols_that_occur(results, configs):
    caption = summary_table(configs).caption
    for symbol in ("λ", "μ", "ε", "T"):
        assert f"{symbol}: " in caption
    undefended = [config for config in configs if config.role == "undefended"]
    assert not summary_table(undefended).caption.count("λ: ")


def test_letters_follow_the_order_of_choice_and_mark_every_place(results):
    linked = confirmed_trial(results)
    configs = confirmed_configs(linked)
    assert [(c.letter, c.bits) for c in configs[:2]] == [("A", 32), ("B", 16)]
    linked = with_letters(linked, configs)
    trials = trials_table(linked).frame.set_index("trial")["letter"]
    assert trials["0000000004-explore-0"] == "A"
    assert trials["0000000003-explore-0"] == "B"
    assert (trials != "").sum() == 2 + 6  # and three seeds of each
    assert "letter" in front_table([linked]).frame
    (panel,) = frontier_chart([linked]).panels
    (drawn,) = [mark for mark in panel.marks if isinstance(mark, Letters)]
    stored = linked.explore.set_index("trial_id").loc["0000000004-explore-0"]
    place = list(drawn.texts).index("A")
    assert drawn.x[place] == pytest.approx(100 * stored["metric.reattack/clean_map"])
    assert drawn.y[place] == pytest.approx(100 * stored["metric.reattack/robust_map"])
    said = dict(reasons(linked, configs))
    assert set(said) == {"A", "B"}
    assert f"{100 * stored['metric.reattack/robust_map']:.1f} % robust MAP" in said["A"]


def test_the_front_shows_completed_trials_first(results):
    (panel,) = frontier_chart([results]).panels
    assert panel.focus
    done = results.explore[results.explore["status"] == "completed"]
    for (low, high), name in zip(panel.focus, ("clean_map", "robust_map"), strict=True):
        values = 100 * done[f"metric.reattack/{name}"]
        assert low < values.min()
        assert values.max() < high
        assert high - low < 1.3 * np.ptp(values)


def test_parameters_show_the_ends_of_the_searched_range(results):
    panels = {panel.x.label: panel for panel in parameters_chart(results).panels}
    ends = [mark.x for mark in panels["defense.eps (1/255)"].marks if isinstance(mark, Bound)]
    assert ends == pytest.approx([2, 16])
    assert not [mark for mark in panels["model.bits"].marks if isinstance(mark, Bound)]


def test_every_cell_can_be_read():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    for level in range(256):
        shade = f"#{level:02x}{level:02x}{level:02x}"
        assert contrast(readable_on(shade), shade) >= 4.5
