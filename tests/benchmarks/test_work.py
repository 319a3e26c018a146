"""The counted work of the papers' scale, against counts by hand."""

import pytest

from benchmarks.work import FILE, PLAIN, SETS, defenses, stages, table
from harness.experiment.file import load_experiment
from saat.defenses import DEFENSES


@pytest.mark.parametrize(
    ("name", "epoch", "validation", "plain"),
    [
        # 20 F a training image; the rows that are searched, 500 queries under 10 steps of 2 F in
        # batches of 32, their codes, and what is asked of the network before.
        ("FLICKR-25K", 100_000, 20_000, 27_300),
        ("NUS-WIDE", 210_000, 20_000, 203_234),
        ("MS-COCO", 200_000, 20_000, 126_218),
    ],
)
def test_stages_cost_what_they_are_made_of(
    name: str, epoch: int, validation: int, plain: int
) -> None:
    ours, literal = (load_experiment(FILE, overrides)[0] for overrides in ((), PLAIN))
    found, whole = stages(ours, name), stages(literal, name)
    assert found["epoch of SAAT"].passes == whole["epoch of SAAT"].passes == epoch
    attacked = 512 * 20 + 2 * 500
    for rows, work in (
        (validation, found["validation after an epoch"]),
        (plain, whole["validation after an epoch"]),
    ):
        assert rows + attacked < work.passes < 1.05 * (rows + attacked)
    shares = [
        found[f"battery, {part}"].passes / whole["battery, where everything is needed"].passes
        for part in ("on its sample alone", "where everything is needed")
    ]
    assert shares[0] < 0.1 < 0.5 < shares[1] < 0.7


def test_the_table_has_a_column_for_every_set() -> None:
    lines = table()
    assert all(line.count("|") == 3 * len(SETS) + 2 for line in lines)
    assert len(lines) == 8


def test_every_defense_has_its_cost_relative_to_saat() -> None:
    lines = defenses(repeats=1, batch_size=4, width=1 / 16)
    rows = {cells[0].strip(" `"): cells[1:] for cells in (x.strip("|").split("|") for x in lines)}
    assert list(rows)[2:] == list(DEFENSES)
    counted = {name: row[1].strip() for name, row in rows.items()}
    assert counted.pop("comdefend") == "", "it counts passes of another network"
    expected = {
        "saat": "1.00", "cgat": "1.00", "atrdh": "1.00", "crdat": "0.90", "trades": "1.00",
        "awp": "1.07", "fgsm_rs": "0.40", "hm": "1.57", "ca_tride": "1.46",
    }  # fmt: skip
    assert {name: counted[name] for name in expected} == expected
    assert float(rows["saat"][2]) == 1
    assert all(float(row[2]) > 0 for row in list(rows.values())[2:])
