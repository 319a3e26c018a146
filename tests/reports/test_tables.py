"""Numbers in the files equal the numbers in the frames, and text is escaped."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.confirmed import confirmed_configs, gains_over_default
from reports.csv_files import csv_text
from reports.results import SearchResults, load_search
from reports.table_formats import displayed, latex_escape, to_latex, to_markdown
from reports.tables import (
    Table,
    attacks_table,
    confirm_table,
    front_table,
    gains_table,
    time_table,
    trials_table,
)
from reports.wording import STAGES
from saat.stopwatch import Stage
from tests.reports.synthetic import write_run


def read_csv(table: Table) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(csv_text(table.frame)))


def test_front_csv_holds_the_stored_fractions(results):
    table = read_csv(front_table([results])).set_index("trial")
    trials = results.trials.set_index("trial_id")
    assert len(table) == 5
    for trial, row in table.iterrows():
        assert row["clean MAP"] == trials.loc[trial, "metric.reattack/clean_map"]
        assert row["robust MAP"] == trials.loc[trial, "metric.reattack/robust_map"]
        assert row["param.defense.lambda"] == trials.loc[trial, "param.defense.lambda"]


def timed(results: SearchResults, seconds: list[dict[str, float]]) -> SearchResults:
    trials = uncounted(results).trials.head(len(seconds)).reset_index(drop=True)
    stages = pd.DataFrame([{f"seconds.{k}": v for k, v in row.items()} for row in seconds])
    phases = ["explore", "explore", "explore", "confirm"][: len(seconds)]
    return replace(results, trials=pd.concat([trials.assign(phase=phases), stages], axis=1))


def uncounted(results: SearchResults) -> SearchResults:
    """The run as if it had counted no seconds of stages."""
    kept = [name for name in results.trials if not str(name).startswith("seconds.")]
    return replace(results, trials=results.trials[kept])


def test_where_the_time_went_is_the_mean_over_the_trials_that_counted_it(results):
    seconds = [{"outer_step": 6.0, "encode": 1.0}, {"outer_step": 2.0}, {}, {"new_one": 4.0}]
    table = time_table(timed(results, seconds))
    assert table.caption.startswith(
        "Where the time went: mean seconds of a trial, explore: 2 trials, confirm: 1 trial"
    )
    rows = table.frame.set_index("stage")
    assert list(rows.index) == ["outer step", "encoding", "new_one", "together"]
    assert list(rows["explore (s)"]) == [4.0, 0.5, 0.0, 4.5]
    assert list(rows["confirm (s)"]) == [0.0, 0.0, 4.0, 4.0]
    assert list(rows["explore share"]) == [4 / 4.5, 0.5 / 4.5, 0.0, 1.0]
    assert displayed(table).loc[0, "explore share (%)"] == "88.9"


def test_every_stage_has_a_name_on_pages():
    assert list(STAGES) == [str(name) for name in Stage]


def test_runs_that_counted_no_seconds_have_no_table_of_them(results):
    assert time_table(uncounted(results)).frame.empty


def test_front_csv_leaves_dominated_trials_out(results):
    table = read_csv(front_table([results]))
    completed = results.explore[results.explore["status"] == "completed"]
    for _, trial in completed.iterrows():
        if trial["trial_id"] in set(table["trial"]):
            continue
        peers = table[table["bits"] == trial["param.model.bits"]]
        better = (peers["clean MAP"] >= trial["metric.reattack/clean_map"]) & (
            peers["robust MAP"] >= trial["metric.reattack/robust_map"]
        )
        assert better.any()
    assert table["on union front"].sum() == 3


def test_confirm_csv_equals_the_trials(results, configs):
    table = read_csv(confirm_table(configs))
    row = table[table["role"].str.startswith("recommended") & (table["bits"] == 32)].iloc[0]
    mine = results.tested[
        (results.tested["role"] == "recommended") & (results.tested["param.model.bits"] == 32)
    ]
    robust = mine["metric.test/robust_map"].to_numpy(float)
    assert row["robust MAP"] == pytest.approx(robust.mean(), rel=1e-15)
    assert row["robust MAP std"] == pytest.approx(robust.std(ddof=1))
    assert row["robust MAP low"] < robust.mean() < row["robust MAP high"]
    assert row["chance MAP"] == pytest.approx(0.158)
    assert row["floor MAP"] == pytest.approx(0.05)


def test_every_attack_stands_beside_its_theory(configs):
    table = read_csv(attacks_table(configs))
    assert len(table) == 12
    assert table[table["attack"] == "hag"]["theoretical MAP"].tolist() == pytest.approx([0.07] * 6)


def test_metrics_that_no_package_has_are_shown_by_their_names(results):
    trials = results.trials.copy()
    tested = trials["phase"] == "confirm"
    trials.loc[tested, "metric.test/novel"] = 0.25
    trials.loc[tested, "metric.test/novel.hag"] = 0.75
    trials.loc[~tested, "metric.reattack/novel"] = 0.5
    trials["metric.test/nothing"] = np.nan
    newer = replace(results, trials=trials)
    configs = confirmed_configs(newer)
    assert set(confirm_table(configs).frame["novel"]) == {0.25}
    assert set(front_table([newer]).frame["novel"]) == {0.5}
    attacks = attacks_table(configs).frame.set_index("attack")["novel"]
    assert set(attacks["hag"]) == {0.75}
    assert attacks["mainstay"].isna().all()
    assert "0.25" in set(displayed(confirm_table(configs))["novel"])
    assert "nothing" not in confirm_table(configs).frame
    assert "novel.hag" not in confirm_table(configs).frame


def test_gains_table_says_that_seeds_are_too_few(configs):
    table = read_csv(gains_table(gains_over_default(configs)))
    assert set(table["verdict"]) == {"3 seeds are too few for a claim of significance (6 needed)"}
    gain = table["recommended MAP"] - table["default's MAP"]
    np.testing.assert_allclose(table["gain"], gain)


def test_trials_table_says_what_was_measured(results):
    table = trials_table(results).frame
    assert len(table) == 30
    assert table.groupby("status")["measured on"].unique()["stopped"] == [
        "validation, short attack"
    ]
    completed = table[(table["phase"] == "explore") & (table["status"] == "completed")]
    assert set(completed["measured on"]) == {"validation"}
    assert set(table[table["phase"] == "confirm"]["measured on"]) == {"test"}
    stored = results.trials.set_index("trial_id")["metric.reattack/robust_map"]
    assert (
        completed.set_index("trial")["robust MAP"].tolist() == stored[completed["trial"]].tolist()
    )


def test_trials_csv_keeps_parameters_exact_and_pages_show_what_was_searched(results):
    table = trials_table(results)
    stored = results.trials["param.defense.eps"].tolist()
    assert read_csv(table)["param.defense.eps"].tolist() == stored
    page = displayed(table)
    assert page["ε"][0] == "8/255"
    assert {"λ", "μ", "T", "bits"} <= set(page.columns)
    assert not any("step_size" in name for name in page.columns)


def test_pages_show_rounded_percent_and_the_file_does_not():
    frame = pd.DataFrame(
        {"MAP": [0.123456], "MAP std": [0.01], "MAP low": [0.1], "MAP high": [0.2]}
    )
    table = Table("t", "c", frame, fractions={"MAP": "%"}, estimates=("MAP",))
    assert displayed(table).to_dict("list") == {"MAP (%)": ["12.3 ± 1.0 [10.0, 20.0]"]}
    assert "0.123456" in csv_text(table.frame)


def test_missing_values_are_dashes_and_empty_cells():
    table = Table("t", "c", pd.DataFrame({"MAP": [np.nan], "x": [pd.NA]}), fractions={"MAP": "%"})
    assert displayed(table).iloc[0].tolist() == ["–", "–"]
    assert csv_text(table.frame).splitlines()[1] in (",", '""')


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b & 50%", r"a\_b \& 50\%"),
        ("$x^2$ #1 {y}~", r"\$x\textasciicircum{}2\$ \#1 \{y\}\textasciitilde{}"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("two\nlines", "two lines"),
        ("[2pt] a|b", r"{[}2pt] a\textbar{}b"),
        ("*", "{*}"),
        ("<unset> a >= b", r"\textless{}unset\textgreater{} a \textgreater{}= b"),
        ("L∞ …", r"L$\infty$ \ldots{}"),
    ],
)
def test_latex_escapes(text, latex):
    assert latex_escape(text) == latex


def test_markdown_cells_cannot_break_the_table():
    table = Table("t", "c", pd.DataFrame({"name": ["a|b <script>\n& *x*"]}))
    line = to_markdown(table).splitlines()[-1]
    assert line == r"| a\|b \<script\> &amp; \*x\* |"


def test_text_of_a_table_is_no_formula_in_its_csv_file():
    table = Table("t", "c", pd.DataFrame({"search": ["=1+1", "ok"], "gain": [-0.5, 0.1]}))
    assert csv_text(table.frame).splitlines()[1] == "'=1+1,-0.5"


def test_latex_is_a_booktabs_table():
    text = to_latex(Table("t", "50 %", pd.DataFrame({"n_1": [1], "s": ["x"]})))
    assert r"\begin{tabular}{rl}" in text
    assert r"\caption{50 \%}" in text
    assert r"n\_1 & s \\" in text


def test_tables_without_rows_can_be_written(tmp_path):
    results = load_search(write_run(tmp_path / "run", explore=False, phases=()))
    tables = [trials_table(results), front_table([results]), confirm_table([]), gains_table([])]
    for table in [*tables, attacks_table([])]:
        assert len(read_csv(table)) == 0
        assert to_markdown(table)
        assert to_latex(table)
