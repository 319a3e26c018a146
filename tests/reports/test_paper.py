"""The paper's numbers, the tables that hold them, and the pages that show ours beside them."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from reports.csv_files import read_csv
from reports.figures.chart import Band
from reports.paper.cells import STEPS, Cell, Setting, cell_at
from reports.paper.charts import curves_chart, weight_cells
from reports.paper.declared import (
    SCALES,
    Item,
    check_data,
    chosen_items,
    items,
    needed_runs,
    run_named,
    runs,
    scale_content,
)
from reports.paper.entries import Entry, entries, references
from reports.paper.findings import findings
from reports.paper.grid import markdown_table
from reports.paper.measured import Measured, Value
from reports.paper.numbers import TOLERANCE, inconsistencies, paper_numbers
from reports.paper.page import write_index, write_page
from reports.results import SearchResults
from saat.errors import InputError

TABLES = [item for item in items().values() if item.kind == "table"]
BACKBONES = {"AlexNet": "alexnet", "VGG11": "vgg11", "VGG16": "vgg16", "VGG19": "vgg19"}


def undefended(bits: int = 32) -> Setting:
    return Setting("none", "dph", "AlexNet", bits)


def measured(
    item: Item, wrong: float = 0.0, data: str = "flickr25k", scale: str = "full", **more: Any
) -> Measured:
    """Runs in which every number is the paper's, plus ``wrong`` points."""
    found: dict[str, dict[Setting, dict[str, float]]] = {}
    for (name, of_data, cell), number in paper_numbers().items():
        if name == item.name and of_data == data:
            metric, factor = cell.metric
            row = found.setdefault(item.source(cell).name, {}).setdefault(cell.setting, {})
            row[metric] = (number + wrong) / factor
    results = {}
    for name, by_setting in found.items():
        rows = [
            {
                "trial_id": setting.name,
                "role": setting.name,
                "status": "completed",
                "stop_reason": "",
                "cost_s": 36.0,
                **{f"metric.test/{key}": value for key, value in row.items()},
                "metric.test/chance_map": 0.5,
            }
            for setting, row in by_setting.items()
        ]
        results[name] = SearchResults(name, Path(name), {}, {}, pd.DataFrame(rows), pd.DataFrame())
    given: dict[str, Any] = {"backbones": BACKBONES, "bits": (), "runs": results, **more}
    return Measured(data, scale, **given)


def test_there_is_every_table_and_figure() -> None:
    tables, figures = range(2, 9), range(3, 8)
    assert list(items()) == [f"table{n}" for n in tables] + [f"figure{n}" for n in figures]


def test_every_printed_number_has_one_cell_and_every_cell_one_number() -> None:
    cells = Counter(
        (item.name, data, cell)
        for item in TABLES
        for data in item.paper_data
        for _, _, cell in item.cells()
    )
    assert set(cells.values()) == {1}
    assert set(cells) == set(paper_numbers())
    assert len(cells) == 600 + 32 + 36  # retrieval, iterations, perceptibility


@pytest.mark.parametrize("item", TABLES, ids=lambda item: item.name)
def test_every_cell_of_a_table_comes_from_one_of_its_runs(item: Item) -> None:
    used: set[str] = set()
    for _, _, cell in item.cells():
        sources = [run for run in map(run_named, item.runs) if run.has(cell)]
        # Benign queries are measured with every attack; the first run counts.
        assert len(sources) == 1 or cell.attack == "none"
        assert item.source(cell) == sources[0]
        used.update(run.name for run in sources)
    assert used == set(item.runs)  # none is run for nothing


def test_every_run_is_needed_and_has_an_untargeted_attack() -> None:
    assert {run.name for run in needed_runs(list(items().values()))} == set(runs())
    assert all("mainstay" in run.attacks for run in runs().values())


@pytest.mark.parametrize("scale", SCALES)
def test_iterations_of_the_protocol_are_those_of_table_vi(scale: str) -> None:
    assert scale_content(scale)["experiment"]["evaluation"]["steps"] == STEPS


def test_the_cells_of_table_vi_are_of_these_iterations() -> None:
    item = items()["table6"]
    sources = {
        row["iterations"]: (item.source(cell).name, cell.metric[0])
        for row, column, cell in item.cells()
        if column["bits"] == 32
    }
    assert sources[0] == ("undefended", "clean_map")
    assert sources[10] == ("iterations_10", "map.mainstay")
    assert sources[100] == ("undefended", "map.mainstay")
    assert sources["theory"] == ("undefended", "theory.mainstay")


@pytest.mark.parametrize(
    ("item", "data", "cell", "value", "note"),
    [
        ("table8", "nuswide", Cell(Setting("none", "csq", "VGG19", 32), "none"), 81.60, "0.8160"),
        ("table2", "flickr25k", Cell(undefended(16), "hag"), 22.53, "22.67 in Table V"),
        ("table5", "mscoco", Cell(undefended(32), "hag", "theory"), 14.35, "13.97 in Table II"),
        ("table2", "nuswide", Cell(undefended(32), "sdha"), 12.98, "beyond the theoretical"),
        ("table2", "flickr25k", Cell(undefended(16), "prosgan"), 73.06, "13.4 points from"),
        ("table2", "flickr25k", Cell(undefended(64), "prosgan"), 87.15, "59.45 in Table V"),
        ("table2", "nuswide", Cell(undefended(64), "tha"), 70.29, "67.25 in Table V"),
        ("table7", "mscoco", Cell(undefended(), "hag", "map_percent"), 13.57, "match no column"),
        ("table3", "mscoco", Cell(Setting("saat", "dph", "AlexNet", 16), "none"), 46.91, "49.34"),
        ("table6", "nuswide", Cell(undefended(), "mainstay"), 11.97, "Table II prints 11.89"),
    ],
)
def test_the_paper_contradicts_itself_here(
    item: str, data: str, cell: Cell, value: float, note: str
) -> None:
    assert paper_numbers()[item, data, cell] == value
    assert any(note in text for text in inconsistencies(item, data, cell))


def test_nothing_speaks_against_most_printed_numbers() -> None:
    marked = [key for key in paper_numbers() if inconsistencies(*key)]
    assert len(marked) < len(paper_numbers()) / 4
    assert not inconsistencies("table2", "flickr25k", Cell(undefended(), "mainstay"))


def test_two_trainings_of_one_defense_differ_by_the_tolerance_at_most() -> None:
    """What the tolerance rests on: rows Original of Tables III and IV."""
    numbers = paper_numbers()
    differences = [
        abs(number - numbers["table4", data, cell])
        for (name, data, cell), number in numbers.items()
        if name == "table3" and cell.attack == "none"
    ]
    assert max(differences) == pytest.approx(2.43)
    assert max(differences) <= TOLERANCE


@pytest.mark.parametrize("item", TABLES, ids=lambda item: item.name)
def test_the_papers_own_numbers_are_all_within_its_tolerance(item: Item) -> None:
    data = item.paper_data[0]
    found = entries(item, measured(item, data=data))
    assert all(entry.difference == pytest.approx(0, abs=1e-9) for entry in found)
    assert {entry.verdict for entry in found if entry.cell.is_percent} == {"within"}


@pytest.mark.parametrize(
    ("wrong", "verdict"), [(2.5, "within"), (-2.5, "within"), (2.51, "outside")]
)
def test_the_tolerance_is_two_and_a_half_points(wrong: float, verdict: str) -> None:
    item = items()["table3"]
    assert {entry.verdict for entry in entries(item, measured(item, wrong))} == {verdict}


def test_numbers_of_other_data_or_a_shorter_schedule_are_not_judged() -> None:
    item = items()["table3"]
    for scale, data in (("small", "flickr25k"), ("full", "digits")):
        found = entries(
            item,
            measured(item, 0, "flickr25k", scale)
            if scale == "small"
            else Measured(data, scale, BACKBONES, (), {}),
        )
        assert {entry.verdict for entry in found} == {""}
        assert all(np.isnan(entry.difference) for entry in found)
        assert found[0].paper == 71.35  # of FLICKR-25K, the first of the paper


def test_norms_have_a_difference_and_no_verdict() -> None:
    item = items()["table7"]
    found = entries(item, measured(item))
    assert {e.verdict for e in found if not e.cell.is_percent} == {""}
    assert found[0].ours.number == pytest.approx(6.26)


def test_norms_of_smaller_images_are_said_to_be_smaller(tmp_path: Path) -> None:
    item = items()["table7"]
    some = measured(item)
    some.runs["undefended"].experiment["data"] = {"image_size": 32}
    said = "32 pixels wide here, 224 in the paper"
    assert said in write_page(item, some, tmp_path).read_text()
    some.runs["undefended"].experiment["data"] = {"image_size": 224}
    assert "pixels wide" not in write_page(item, some, tmp_path).read_text()


def test_robust_numbers_stand_beside_chance() -> None:
    item = items()["table3"]
    found = references(item, measured(item))
    assert [row.label for row in found] == ["MAP of a random order"]
    assert [value.number for value in found[0].values] == [50.0] * 4


def test_what_was_not_run_is_a_dash_with_a_reason(tmp_path: Path) -> None:
    item = items()["table8"]
    some = measured(item, data="nuswide", backbones={"AlexNet": "alexnet"})
    text = write_page(item, some, tmp_path).read_text()
    assert "VGG11 is not trained at this scale" in text
    assert "**–** / 82.00" in text
    assert "**80.97** / 80.97 (+0.00 =)" in text
    frame = read_csv(tmp_path / "table8.csv")
    assert frame["ours"].notna().sum() == 36  # of 144: a backbone of four
    assert set(frame.loc[frame["ours"].isna(), "missing"]) == {
        f"{name} is not trained at this scale" for name in ("VGG11", "VGG16", "VGG19")
    }


def test_a_failed_trial_says_why_and_markup_is_text(tmp_path: Path) -> None:
    item = items()["table3"]
    some = measured(item)
    trials = some.runs["defended"].trials
    trials.loc[0, ["status", "stop_reason"]] = "failed", "<b>loss</b> is [nan](x)"
    page = write_page(item, some, tmp_path)
    assert r"&lt;b&gt;loss&lt;/b&gt; is \[nan\](x)" in page.read_text()
    assert "1 trial of the run defended did not complete" in page.read_text()


def test_a_page_marks_inconsistencies(tmp_path: Path) -> None:
    item = items()["table2"]
    text = write_page(item, measured(item), tmp_path).read_text()
    assert "(+0.00 =) <sup>1</sup>" in text
    assert "1. It is beyond the theoretical bound of the attack, 22.67 in Table V." in text
    assert "36 of 36 numbers are within 2.5 points" in text
    index = write_index(measured(item), tmp_path).read_text()
    assert "[Attacks on undefended models](table2.md)" in index
    assert "table3.md" not in index
    some = measured(item, bits=(32,))
    assert "complete at 32 bits" in write_index(some, tmp_path).read_text()


def test_a_figure_that_was_not_run_says_so(tmp_path: Path) -> None:
    for name in ("figure3", "figure4", "figure5", "figure6", "figure7"):
        item = items()[name]
        empty = Measured("digits", "small", {"AlexNet": "small_cnn"}, (), {})
        assert "Not run yet" in write_page(item, empty, tmp_path).read_text()
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_the_curves_of_figure_six_are_drawn_with_chance(tmp_path: Path) -> None:
    item, run = items()["figure6"], run_named("weights")
    rows = []
    for number, setting in enumerate(run.settings):
        metrics = {"clean_map": 0.8, "map.hag": 0.4, "map.sdha": 0.41, "map.mainstay": 0.3}
        metrics |= {"chance_map": 0.25}
        shown = {f"metric.test/{key}": value + number / 100 for key, value in metrics.items()}
        rows.append({"trial_id": str(number), "role": setting.name, "status": "completed",
                     "stop_reason": "", "cost_s": 1.0, **shown})  # fmt: skip
    results = SearchResults("weights", Path("weights"), {}, {}, pd.DataFrame(rows), pd.DataFrame())
    some = Measured("nuswide", "full", BACKBONES, (), {"weights": results})
    write_page(item, some, tmp_path)
    curves = read_csv(tmp_path / "figure6.csv")
    assert Counter(zip(curves["panel"], curves["attack"], strict=True)) == {
        **{("lambda", attack): 6 for attack in ("none", "hag", "sdha", "mainstay")},
        **{("mu", attack): 5 for attack in ("none", "hag", "sdha", "mainstay")},
    }
    first, second = curves_chart(item, some).panels
    assert (first.x.label, second.x.label, first.x.scale) == ("λ", "μ", "log")
    (chance,) = (mark for mark in first.marks if isinstance(mark, Band))
    assert (chance.low, chance.high) == pytest.approx((25, 25))
    assert first.y.limits == second.y.limits
    assert first.y.limits[1] == pytest.approx(1.05 * curves["y"].max())


@pytest.mark.parametrize("count", [0, 3])
def test_figure_six_says_how_many_models_retrieve_nothing(tmp_path: Path, count: int) -> None:
    item, run = items()["figure6"], run_named("weights")
    rows = []
    for number, setting in enumerate(run.settings):
        clean = 0.25 if number < count else 0.8
        metrics = {"clean_map": clean, "robust_map": 0.25, "chance_map": 0.25, "map.hag": 0.25}
        shown = {f"metric.test/{key}": value for key, value in metrics.items()}
        rows.append({"trial_id": str(number), "role": setting.name, "status": "completed",
                     "stop_reason": "", "cost_s": 1.0, **shown})  # fmt: skip
    results = SearchResults("weights", Path("weights"), {}, {}, pd.DataFrame(rows), pd.DataFrame())
    some = Measured("nuswide", "full", BACKBONES, (), {"weights": results})
    page = write_page(item, some, tmp_path).read_text()
    assert ("3 of 10 models here have a clean MAP that is not above chance" in page) == bool(count)
    assert ("not above chance" in page) == bool(count)


def test_findings_count_the_papers_claims() -> None:
    item = items()["table2"]
    untargeted, targeted = findings(entries(item, measured(item)))
    assert untargeted.endswith("in 4 of 4 cases here, in 4 of 4 cases in the paper.")
    assert targeted.endswith("in 4 of 4 cases here, in 4 of 4 cases in the paper.")
    defended = findings(entries(items()["table3"], measured(items()["table3"])))
    # HAG, SDHA and mainstay on SAAT's 16 bits are below those on ATRDH's.
    assert defended[1] == (
        "SAAT leaves attacks less than ATRDH in 9 of 12 cases here, in 9 of 12 cases in the paper."
    )


def test_a_stronger_attack_of_ours_is_counted() -> None:
    item = items()["table3"]
    found = [
        Entry(e.row, e.column, e.cell, Value(1.0), e.paper, True, ())
        if e.cell.attack == "hag"
        else e
        for e in entries(item, measured(item))
    ]
    assert findings(found)[0].startswith(
        "The mainstay attack is the strongest untargeted one in 0 of 8 cases here, in 8 of 8"
    )


def test_a_model_that_retrieves_nothing_counts_for_nothing() -> None:
    item = items()["table3"]
    found = measured(item)
    trials = found.runs["defended"].trials
    saat_of_32_bits = trials["role"] == "saat dph AlexNet 32 bits"
    trials.loc[saat_of_32_bits, "metric.test/chance_map"] = 0.99
    strongest, less, note = findings(entries(item, found))
    assert " in 7 of 7 cases here, in 8 of 8 cases in the paper." in strongest
    assert " in 6 of 9 cases here, in 9 of 12 cases in the paper." in less
    assert note == "Models of ours whose clean MAP is not above chance are not counted."
    table = markdown_table(item, found, entries(item, found))
    (number,) = [line.split(".")[0] for line in table if "this says nothing" in line]
    header, _, *rows = [line[2:-2].split(" | ") for line in table if line.startswith("|")]
    marked = [
        (row[0], column)
        for row in rows
        for column, cell in zip(header, row, strict=True)
        if number in cell.partition("<sup>")[2].removesuffix("</sup>").split(", ")
    ]
    assert set(marked) == {("SAAT", "32 bits")}
    assert len(marked) == 4  # without an attack, and under three


def test_curves_over_a_weight_hold_the_other_at_the_papers_default() -> None:
    item = items()["figure6"]
    lambdas, mus = (weight_cells(item, key, "hag") for key in ("lambda", "mu"))
    assert [x for x, _ in lambdas] == [0.01, 0.1, 0.5, 1, 2, 10]
    assert {cell.setting.weights[1] for _, cell in lambdas if cell.setting.weights} == {1e-4}
    assert [x for x, _ in mus] == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert {cell.setting.weights[0] for _, cell in mus if cell.setting.weights} == {1.0}


def test_names_are_known_or_refused_with_a_suggestion() -> None:
    assert len(chosen_items(["all"])) == len(items())
    assert [item.name for item in chosen_items(["figure3", "table2"])] == ["table2", "figure3"]
    with pytest.raises(InputError, match=r"reproduce 'tabel3': one of table2, .*table3"):
        chosen_items(["tabel3"])
    with pytest.raises(InputError, match=r"--data flickr25kk|'flickr25kk'.*flickr25k"):
        check_data("full", "flickr25kk")
    with pytest.raises(InputError, match="--data cifar10: not at --scale small; --scale full"):
        check_data("small", "cifar10")


def test_unknown_coordinates_are_an_error() -> None:
    place = {"defense": "none", "hashing": "dph", "backbone": "AlexNet", "bits": 32}
    with pytest.raises(ValueError, match="shape: not known"):
        cell_at({**place, "attack": "hag", "measure": "map", "shape": 3})


def test_declared_files_have_nothing_unknown() -> None:
    folder = Path("search_spaces") / "paper" / "tables"
    root = Path(__file__).parents[2]
    for path in (root / folder).glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        assert set(content) >= {"of_paper", "title", "paper_data", "kind", "runs", "fixed", "says"}
