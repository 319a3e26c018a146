"""Files of a run: what is written is read, and what is broken is named."""

import json
import math
import re
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.checksums import with_checksum
from reports.protocol import protocol_terms
from reports.results import (
    EPOCH_COLUMNS,
    TRIAL_COLUMNS,
    SearchResults,
    load_search,
    write_epochs,
    write_trials,
)
from reports.trial_arrays import read_adversarial, read_examples, read_histograms
from saat.errors import InputError
from tests.reports.synthetic import write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def bare_run(path: Path, rows: list[dict[str, Any]]) -> SearchResults:
    path.mkdir()
    (path / "experiment.yaml").write_text("name: bare\n")
    write_trials(path, rows)
    return load_search(path)


def test_phases(run):
    results = load_search(run)
    assert results.name == "quickstart"
    assert len(results.explore) == 12
    assert len(results.tested) == 18
    assert results.explore["status"].value_counts().to_dict() == {
        "completed": 6,
        "stopped": 5,
        "failed": 1,
    }
    assert results.provenance["git"]["revision"] == "0bb66e4"


def test_zero_rows_keep_every_column(tmp_path):
    results = bare_run(tmp_path / "run", [])
    write_epochs(tmp_path / "run", [])
    assert list(results.trials.columns) == list(TRIAL_COLUMNS)
    assert list(load_search(tmp_path / "run").epochs.columns) == list(EPOCH_COLUMNS)
    assert results.trials["cost_s"].dtype == "float64"


def test_a_parameter_of_mixed_types_is_stored_as_text(tmp_path):
    rows = [
        {"trial_id": "a", "param.defense.step_size": "auto", "param.model.bits": 16},
        {"trial_id": "b", "param.defense.step_size": 0.01, "param.model.bits": 32},
        {"trial_id": "c", "param.model.freeze": True},
    ]
    trials = bare_run(tmp_path / "run", rows).trials
    assert trials["param.defense.step_size"].tolist()[:2] == ["auto", "0.01"]
    assert pd.isna(trials["param.defense.step_size"][2])
    assert trials["param.model.bits"].tolist()[:2] == [16, 32]
    assert pd.isna(trials["param.model.bits"][2])
    assert trials["param.model.freeze"][2]


def test_numbers_keep_full_precision(tmp_path):
    value = 0.1 + 0.2
    rows = [{"trial_id": "a", "metric.reattack/robust_map": value, "param.defense.lambda": 1}]
    trials = bare_run(tmp_path / "run", [*rows, {"param.defense.lambda": value}]).trials
    assert trials["metric.reattack/robust_map"][0] == value
    assert trials["param.defense.lambda"].tolist() == [1.0, value]
    assert np.isnan(trials["metric.val/clean_map"][0])


def test_a_key_outside_the_schema_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no column 'metrics'"):
        write_trials(tmp_path, [{"metrics": 1}])


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_trials(tmp_path, [{"trial_id": "old"}])

    def full_disk(*_args, **_kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_trials(tmp_path, [{"trial_id": "new"}])
    assert pd.read_parquet(tmp_path / "trials.parquet")["trial_id"].tolist() == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["trials.parquet"]


@pytest.mark.parametrize("name", ["trials.parquet", "experiment.yaml"])
def test_missing_and_broken_files_are_named(run, name):
    (run / name).write_bytes(b"\x00: [not anything")
    with pytest.raises(InputError, match=name) as broken:
        load_search(run)
    assert "\n" not in str(broken.value)
    (run / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: missing"):
        load_search(run)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such run"):
        load_search(tmp_path / "nowhere")


def test_a_foreign_parquet_file_is_refused(run):
    pd.DataFrame({"x": [1]}).to_parquet(run / "trials.parquet")
    with pytest.raises(InputError, match="column 'trial_id' is missing"):
        load_search(run)


def test_epochs_and_provenance_may_be_missing(run):
    (run / "epochs.parquet").unlink()
    (run / "provenance.json").unlink()
    results = load_search(run)
    assert len(results.epochs) == 0
    assert results.provenance == {}


def test_files_of_a_trial(run):
    results = load_search(run)
    trial = results.tested["trial_id"].iloc[0]
    table, histograms, examples = (
        results.per_query(trial),
        results.histograms(trial),
        results.examples(trial),
    )
    assert table is not None
    assert set(table["attack"]) == {"clean", "mainstay", "hag", "worst"}
    assert histograms is not None
    assert histograms["clean_total"].dtype == np.int32
    assert examples is not None
    assert examples["query"].shape[1:] == (3, 32, 32)
    assert results.per_query(results.explore["trial_id"].iloc[0]) is None


def test_arrays_with_pickles_are_refused(run):
    results = load_search(run)
    trial = results.tested["trial_id"].iloc[0]
    np.savez(run / "trials" / trial / "histograms.npz", bad=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"histograms\.npz: not readable"):
        results.histograms(trial)


def test_a_trial_id_cannot_leave_the_run(run):
    with pytest.raises(InputError, match="not a trial id"):
        load_search(run).per_query("../../etc")


IMAGES = np.zeros((4, 3, 8, 8), np.uint8)
ROWS = np.arange(4)


COUNTS = np.zeros((4, 17), np.int32)


@pytest.mark.parametrize(
    ("read", "arrays", "named"),
    [
        (read_histograms, {"hag_total": COUNTS}, "'hag_relevant' is missing"),
        (read_histograms, {"hag_relevant": COUNTS}, "'hag_total' is missing"),
        (read_histograms, {"hag": COUNTS}, "'hag': not of this file"),
        (read_examples, {"query": IMAGES}, "'adversarial' is missing"),
        (read_examples, {"queries": IMAGES}, "'queries': not of this file"),
    ],
)
def test_stored_arrays_are_all_of_their_file_and_no_others(tmp_path, read, arrays, named):
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=re.escape(named)):
        read(path)


def claims(path: Path, shape: tuple[int, ...], version: bytes = b"\x01") -> None:
    """An archive of an array that says it is larger than it is."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    size = 64 * (-(-(len(header) + 11) // 64)) - 10
    start = b"\x93NUMPY" + version + b"\x00" + size.to_bytes(2, "little")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mainstay.npy", start + header.encode().ljust(size - 1) + b"\n" + b"0" * 9)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"mainstay": IMAGES}, "'rows' is missing"),
        ({"rows": ROWS, "mainstay": IMAGES.astype(float)}, "'mainstay': float64"),
        ({"rows": ROWS, "mainstay": IMAGES.astype(np.uint16)}, "'mainstay': uint16"),
        ({"rows": ROWS, "mainstay": IMAGES[:3]}, "'mainstay': uint8"),
        ({"rows": ROWS, "mainstay": IMAGES[:, :1]}, "'mainstay': uint8"),
        ({"rows": ROWS, "mainstay": IMAGES, "hag": IMAGES[..., 1:]}, "'hag': uint8"),
        ({"rows": ROWS[:, None], "mainstay": IMAGES}, "'rows': int64"),
        ({"rows": ROWS.astype("U"), "mainstay": IMAGES}, "'rows': <U"),
        ({"rows": ROWS, "mainstay_target": ROWS}, "'mainstay_target': int64"),
        ({"rows": ROWS, "mainstay": IMAGES, "mainstay_queries": ROWS + 1}, "not positions of 4"),
        ({"rows": ROWS, "mainstay": np.array([{}], dtype=object)}, "has no numbers or text"),
    ],
)
def test_stored_images_of_another_form_are_refused(tmp_path, arrays, named):
    path = tmp_path / "adversarial.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=re.escape(named)):
        read_adversarial(path)


def test_positions_of_queries_are_read_under_their_older_name(tmp_path):
    np.savez(tmp_path / "adversarial.npz", rows=ROWS, mainstay=IMAGES, mainstay_taken=ROWS)
    arrays = read_adversarial(tmp_path / "adversarial.npz")
    assert sorted(arrays) == ["mainstay", "mainstay_queries", "rows"]
    assert np.array_equal(arrays["mainstay_queries"], ROWS)


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        *(((length,), "not as large as it says") for length in (10**15, 10**30, 2**63, 8)),
        ((-1,), "has no numbers or text"),
        ((-3, -3), "has no numbers or text"),  # the product is the size of what is there
    ],
)
def test_an_array_that_claims_another_size_is_never_made(tmp_path, shape, named):
    claims(tmp_path / "adversarial.npz", shape)
    with pytest.raises(InputError, match=f"not readable as arrays: mainstay.npy .*{named}"):
        read_adversarial(tmp_path / "adversarial.npz")


def test_an_array_of_a_version_that_we_never_write_is_refused(tmp_path):
    claims(tmp_path / "adversarial.npz", (9,), b"\x07")
    with pytest.raises(InputError, match="not readable as arrays"):
        read_adversarial(tmp_path / "adversarial.npz")


def test_an_archive_that_claims_more_than_deflate_can_hold_is_not_unpacked(tmp_path):
    claims(tmp_path / "adversarial.npz", (10**9,))
    with zipfile.ZipFile(tmp_path / "adversarial.npz", "a") as archive:
        archive.infolist()[0].file_size += 10**9 - 9  # as large as the array says
        archive.writestr("rows.npy", b"")  # so that the list of members is written again
    with pytest.raises(InputError, match=r"mainstay\.npy is not as large as it says"):
        read_adversarial(tmp_path / "adversarial.npz")


def test_every_flipped_byte_of_stored_arrays_shows_or_changes_nothing(tmp_path):
    path = tmp_path / "adversarial.npz"
    noise = np.random.default_rng(0).integers(0, 255, IMAGES.shape).astype(np.uint8)
    np.savez_compressed(path, mainstay=noise, rows=ROWS)
    whole, content = read_adversarial(path), path.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with suppress(InputError):
            found = read_adversarial(path)
            assert all(np.array_equal(found[name], whole[name]) for name in found)


def test_every_flipped_byte_of_average_precisions_shows_or_changes_nothing(run):
    results = load_search(run)
    trial = results.tested["trial_id"].iloc[0]
    path = run / "trials" / trial / "per_query.parquet"
    whole = results.per_query(trial)
    assert whole is not None
    whole.to_parquet(path, index=False, write_page_checksum=True)
    content = path.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 150)):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with suppress(InputError):
            found = results.per_query(trial)
            assert found is not None
            pd.testing.assert_frame_equal(found, whole)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("ap", value) for value in (1.5, math.nan, "0.5")),
        *(("query", value) for value in (-1, 0.5)),
        ("attack", 3),
    ],
)
def test_average_precisions_that_cannot_be_are_refused(run, column, value):
    results = load_search(run)
    trial = results.tested["trial_id"].iloc[0]
    path = run / "trials" / trial / "per_query.parquet"
    pd.read_parquet(path).assign(**{column: value}).to_parquet(path)
    with pytest.raises(InputError, match=r"per_query\.parquet: .*damaged"):
        results.per_query(trial)


@pytest.mark.parametrize("column", ["query", "attack", "restart", "ap"])
def test_a_cell_that_is_missing_among_average_precisions_is_damage(run, column):
    results = load_search(run)
    trial = results.tested["trial_id"].iloc[0]
    path = run / "trials" / trial / "per_query.parquet"
    frame = pd.read_parquet(path).convert_dtypes()
    frame.loc[0, column] = pd.NA
    frame.to_parquet(path)
    with pytest.raises(InputError, match=rf"column '{column}' has values of another type"):
        results.per_query(trial)


@pytest.mark.parametrize(
    ("changes", "provenance", "told"),
    [
        ({}, {}, "after every epoch, 200 queries"),
        ({}, {}, "they search the whole database. reattack"),
        ({"every": 5}, {}, "after every 5 epochs, at rungs and at the end, 200"),
        (
            {},
            {"validation": {"database": 193234, "searched": 20000, "top_k": 518}},
            "they search the same 20000 of 193234 rows of the database, to the same share of the "
            "ranking (top 518), so val/* and reattack/* differ by the part too. reattack",
        ),
        (
            {},
            {"validation": {"database": 800, "searched": 800, "top_k": 100}},
            "they search the whole database without themselves. reattack",
        ),
    ],
)
def test_the_protocol_says_what_validation_queries_search(run, changes, provenance, told):
    results = load_search(run)
    validation = {**results.experiment["validation"], **changes}
    changed = replace(
        results,
        experiment={**results.experiment, "validation": validation},
        provenance=provenance,
    )
    assert told in dict(protocol_terms(changed))["Validation"]


def test_a_changed_character_of_the_provenance_shows(run):
    path = run / "provenance.json"
    path.write_text(json.dumps(with_checksum({"versions": {"torch": "2.1"}})))
    assert load_search(run).provenance == {"versions": {"torch": "2.1"}}
    path.write_text(path.read_text().replace("2.1", "2.7"))
    with pytest.raises(InputError, match=r"provenance\.json: damaged: the checksum"):
        load_search(run)
