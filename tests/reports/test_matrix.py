"""Settings × attacks: cells equal the stored AP per query, and what was not run says so."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.confirmed import ConfirmedConfig, confirmed_configs
from reports.figures import static
from reports.figures.chart import Cells
from reports.figures.heat_table import HeatCell, contrast, heat_rows
from reports.figures.matrix import matrix_chart
from reports.matrix import MatrixData, matrix_table, targeted_matrix, untargeted_matrix
from reports.results import load_search
from reports.table_formats import to_markdown
from reports.tables import attacks_table
from tests.reports.synthetic import write_run


def test_cells_are_means_over_seeds_and_queries(results, configs):
    data = untargeted_matrix(configs)
    assert data.columns[0] == "clean"
    assert data.columns[1] == "worst"
    assert len(data.columns) == 4
    for config, cells in zip(configs, data.cells, strict=True):
        for column, cell in zip(data.columns, cells, strict=True):
            tables = [results.per_query(trial) for trial in config.trials["trial_id"]]
            means = [t[t["attack"] == column]["ap"].mean() for t in tables]
            assert cell.mean == pytest.approx(np.mean(means))
            assert cell.low < cell.mean < cell.high
    worst = [cells[1].mean for cells in data.cells]
    assert all(w <= cell.mean for w, cells in zip(worst, data.cells, strict=True) for cell in cells)


def shown_rows(data: MatrixData) -> list[tuple[str, list[HeatCell]]]:
    """The rows of the coloured table that a page shows."""
    (cells,) = matrix_chart(data).panels[0].marks
    assert isinstance(cells, Cells)
    return heat_rows(cells)


def test_an_attack_that_one_setting_never_met_is_missing_there(configs):
    more = configs[0].trials.assign(**{"metric.test/map.square": 0.25})
    mixed = [replace(configs[0], trials=more), configs[1]]
    data = untargeted_matrix(mixed)
    at = data.columns.index("square")
    assert data.cells[0][at].mean == 0.25
    assert np.isnan(data.cells[0][at].low)
    assert np.isnan(data.cells[1][at].mean)
    table = matrix_table(mixed, data, "matrix")
    cells = [line.split("|")[-2].strip() for line in to_markdown(table).splitlines()[4:6]]
    assert cells == ["25.0", "–"]
    (_, first), (_, second) = shown_rows(data)
    assert first[at].text == "25.0"
    assert second[at].text == "–"
    assert contrast(first[at].colour, first[at].background) >= 4.5
    assert static.draw(matrix_chart(data)).axes


def test_the_table_names_chance_and_the_theoretical_results(configs):
    data = untargeted_matrix(configs)
    table = matrix_table(configs, data, "matrix")
    assert "a random order scores 15.8 %" in table.caption
    theory = table.frame.iloc[-1]
    assert theory["role"].startswith("theoretical")
    assert theory[data.columns[2]] == pytest.approx(0.05)
    assert pd.isna(theory["clean"])


@pytest.mark.filterwarnings("error")
def test_one_setting_under_an_attack_with_a_long_name_has_room(configs):
    label = "recommended with a long name [at chance], 32 bits"
    one = untargeted_matrix(configs[:1])
    tiny = one._replace(columns=("clean",), headers=(label,), cells=(one.cells[0][:1],))
    static.draw(matrix_chart(tiny._replace(rows=(label,)))).draw_without_rendering()


def test_targeted_attacks_stand_apart(configs):
    assert targeted_matrix(configs).columns == ()
    aimed = configs[0].trials.assign(
        **{"metric.test/tmap.clean": 0.1, "metric.test/tmap.dhta": 0.6}
    )
    data = targeted_matrix([replace(configs[0], trials=aimed)])
    assert data.columns == ("dhta",)
    assert "dhta" not in untargeted_matrix([replace(configs[0], trials=aimed)]).columns


def test_without_settings_there_is_no_matrix():
    assert not matrix_chart(untargeted_matrix([])).panels


def met_by(config: ConfirmedConfig, attack: str, ap: list[float]) -> ConfirmedConfig:
    """The setting with one more attack, that the seeds met for which ``ap`` is a number."""
    trials = config.trials.assign(**{f"metric.test/map.{attack}": ap})
    rows = [np.full(80, value) for value in ap if not np.isnan(value)]
    queries = config.queries | {attack: np.stack(rows)}
    return replace(config, trials=trials, queries=queries)


def test_a_cell_over_fewer_seeds_says_so(configs):
    attack = "apgd_mainstay.leaky"
    mixed = [met_by(configs[0], attack, [0.5, np.nan, 0.6]), configs[1]]
    data = untargeted_matrix(mixed)
    at = data.columns.index(attack)
    cell = data.cells[0][at]
    assert cell.mean == pytest.approx(0.55)
    assert (cell.seeds, data.seeds[0]) == (2, 3)
    assert cell.low < 0.55 < cell.high
    assert [c.seeds for c in data.cells[0]].count(3) == len(data.columns) - 1
    table = matrix_table(mixed, data, "matrix")
    assert table.frame[f"{attack} seeds"][0] == 2
    row = to_markdown(table).splitlines()[4]
    assert row.count("n = 2") == 1
    assert "A cell with n = … is over" in table.caption
    assert "….leaky: the attack … again" in table.caption
    shown = shown_rows(data)[0][1][at]
    assert shown.text == "55.0"
    assert shown.detail == f"n = 2 [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
    drawn = [text.get_text() for text in static.draw(matrix_chart(data)).axes[0].texts]
    assert "55.0\nn = 2" in drawn
    assert sum("n =" in text for text in drawn) == 1
    listed = attacks_table(mixed).frame
    assert listed[listed["attack"] == attack]["seeds"].tolist() == [2]


def test_where_every_seed_met_every_attack_no_cell_has_a_number(configs):
    data = untargeted_matrix(configs)
    assert {cell.seeds for cells in data.cells for cell in cells} == {3}
    table = matrix_table(configs, data, "matrix")
    assert "n =" not in to_markdown(table)


def test_attacks_that_one_seed_kept_are_read_from_its_file(tmp_path):
    run = write_run(tmp_path / "run", explore=False)
    loaded = load_search(run)
    trial = str(confirmed_configs(loaded)[0].trials["trial_id"].iloc[1])
    path = run / "trials" / trial / "per_query.parquet"
    table = pd.read_parquet(path)
    more = table[table["attack"] == "hag"].assign(attack="hag.leaky", ap=0.25)
    pd.concat([table, more]).to_parquet(path)
    trials = loaded.trials.assign(
        **{"metric.test/map.hag.leaky": np.where(loaded.trials["trial_id"] == trial, 0.25, np.nan)}
    )
    configs = confirmed_configs(replace(loaded, trials=trials))
    data = untargeted_matrix(configs)
    cell = data.cells[0][data.columns.index("hag.leaky")]
    assert (cell.mean, cell.low, cell.high, cell.seeds) == (0.25, 0.25, 0.25, 1)
    other = data.cells[1][data.columns.index("hag.leaky")]
    assert (np.isnan(other.mean), other.seeds) == (True, 0)
