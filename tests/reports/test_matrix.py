"""Settings × attacks: cells equal the stored AP per query, and what was not run says so."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.confirmed import confirmed_settings
from reports.figures.matrix import matrix_interactive, matrix_static
from reports.matrix import matrix_table, targeted_matrix, untargeted_matrix
from reports.results import load_search
from reports.table_formats import to_markdown
from tests.reports.synthetic import write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load_search(write_run(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def settings(results):
    return confirmed_settings(results)


def test_cells_are_means_over_seeds_and_queries(results, settings):
    data = untargeted_matrix(settings)
    assert data.columns[0] == "clean"
    assert data.columns[-1] == "worst"
    assert len(data.columns) == 4
    for setting, cells in zip(settings, data.cells, strict=True):
        for column, cell in zip(data.columns, cells, strict=True):
            tables = [results.per_query(trial) for trial in setting.trials["trial_id"]]
            means = [t[t["attack"] == column]["ap"].mean() for t in tables]
            assert cell.mean == pytest.approx(np.mean(means))
            assert cell.low < cell.mean < cell.high
    worst = [cells[-1].mean for cells in data.cells]
    assert all(w <= cell.mean for w, cells in zip(worst, data.cells, strict=True) for cell in cells)


def test_an_attack_that_one_setting_never_met_is_missing_there(settings):
    more = settings[0].trials.assign(**{"metric.test/map.square": 0.25})
    mixed = [replace(settings[0], trials=more), settings[1]]
    data = untargeted_matrix(mixed)
    at = data.columns.index("square")
    assert data.cells[0][at].mean == 0.25
    assert np.isnan(data.cells[0][at].low)
    assert np.isnan(data.cells[1][at].mean)
    table = matrix_table(mixed, data, "matrix")
    cells = [line.split("|")[-3].strip() for line in to_markdown(table).splitlines()[4:6]]
    assert cells == ["25.0", "–"]
    shown = matrix_interactive(data).data[0].text
    assert shown[0][at] == "25.0"
    assert shown[1][at] == "not measured"
    assert matrix_static(data).axes


def test_the_table_names_chance_and_the_theoretical_results(settings):
    data = untargeted_matrix(settings)
    table = matrix_table(settings, data, "matrix")
    assert "a random order scores 15.8 %" in table.caption
    theory = table.frame.iloc[-1]
    assert theory["role"].startswith("theoretical")
    assert theory[data.columns[1]] == pytest.approx(0.05)
    assert pd.isna(theory["clean"])


def test_targeted_attacks_stand_apart(settings):
    assert targeted_matrix(settings).columns == ()
    aimed = settings[0].trials.assign(
        **{"metric.test/tmap.clean": 0.1, "metric.test/tmap.dhta": 0.6}
    )
    data = targeted_matrix([replace(settings[0], trials=aimed)])
    assert data.columns == ("dhta",)
    assert "dhta" not in untargeted_matrix([replace(settings[0], trials=aimed)]).columns


def test_nothing_to_show_says_so():
    empty = untargeted_matrix([])
    assert matrix_static(empty).axes
    assert "no attacked settings" in matrix_interactive(empty).layout.annotations[0].text
