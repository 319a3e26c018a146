"""The section ``validation``: which rows are searched, which epochs are validated, what is told."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.experiment.protocols import validation_protocol, validation_top_k
from harness.experiment.sections import ValidationSection
from harness.journal.protocol_identity import validation_hash
from harness.options import Options
from harness.provenance import provenance
from harness.search.plan import deciding_epochs
from harness.session.checks import open_data
from harness.session.progress import Progress
from harness.session.session import trial_context
from harness.trial.interface import EpochReport, FinalReport
from harness.trial.stages import trial_data
from harness.trial.trial import run_trial
from saat.errors import InputError
from saat.protocol import validate
from tests.harness.fakes import open_search
from tests.harness.tiny import context_of, spec_of, tiny
from tests.toy import raised

ROWS = 800  # of the database of digits_mini


@pytest.mark.parametrize(
    ("asked", "rows", "part"),
    [
        ("auto", 193_734, 20_000),
        ("auto", 800, 800),
        ("all", 193_734, 193_734),
        (500, 193_734, 500),
        (500, 400, 400),
    ],
)
def test_a_part_of_the_database(asked: Any, rows: int, part: int) -> None:
    assert ValidationSection(database=asked).part_of(rows) == part


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_ranking_is_cut_to_the_same_share(top_k: int, part: int, rows: int) -> None:
    top_k, part = min(top_k, rows), min(part, rows)
    scaled = validation_top_k(top_k, part, rows)
    assert 1 <= scaled <= part
    assert scaled == max(1, round(top_k * part / rows))
    if part == rows:
        assert scaled == top_k


def test_the_protocol_of_an_epoch_has_the_scaled_depth() -> None:
    experiment = tiny({"validation.database": 200})
    found = validation_protocol(experiment.validation, experiment.evaluation, ROWS)
    assert found.top_k == 25  # 100 of 800
    whole = tiny({"validation.database": "all"})
    assert validation_protocol(whole.validation, whole.evaluation, ROWS).top_k == 100


@pytest.mark.parametrize(
    ("key", "value"),
    [("database", 0), ("database", "some"), ("database", 2.5), ("every", 0), ("every", "two")],
)
def test_a_wrong_value_is_told_in_one_line(key: str, value: Any) -> None:
    line = raised(lambda: tiny({f"validation.{key}": value}), InputError)
    assert len(line.splitlines()) == 1
    assert f"validation.{key}" in line
    assert str(value) in line


def test_a_part_larger_than_the_database_is_refused_before_any_work() -> None:
    experiment = tiny({"validation.database": 801})
    line = raised(lambda: open_data(experiment, None, print), InputError)
    assert line.startswith("validation.database: 801: at most 800, the database without the ")
    open_data(tiny({"validation.database": 800}), None, print)


def test_numbers_of_different_parts_are_not_mixed() -> None:
    def hashed(rows: int = ROWS, **changes: Any) -> str:
        return validation_hash(tiny({f"validation.{k}": v for k, v in changes.items()}), rows)

    different = [
        hashed(database="all"),
        hashed(database=200),
        hashed(database=201),
        hashed(),
        hashed(every=2),
        hashed(steps=2),
    ]
    assert len(set(different)) == len(different)
    assert hashed() == hashed(database=ROWS)  # the same rows
    assert hashed() != hashed(900)


def test_where_a_run_came_from_names_the_part() -> None:
    experiment = tiny({"validation.database": 200})
    data = trial_data(experiment.config, None)
    found = provenance(experiment, data, "cpu", {})["validation"]
    assert found == {"database": 800, "searched": 200, "top_k": 25}


@given(st.integers(1, 9), st.integers(1, 30), st.sets(st.integers(1, 30)))
def test_validated_epochs(every: int, epochs: int, deciding: set[int]) -> None:
    section = ValidationSection(every=every)
    found = [e for e in range(1, epochs + 1) if section.is_due(e, epochs, deciding)]
    assert found[-1] == epochs
    expected = {*range(every, epochs + 1, every), *(e for e in deciding if e <= epochs), epochs}
    assert set(found) == expected


def test_workers_are_told_the_epochs_that_decide(tmp_path: Path) -> None:
    experiment = tiny({"defense.epochs": 9, "search.grace_period": 2})
    context = trial_context(experiment, Options(tmp_path), tmp_path, "cpu", "data")
    assert context.deciding_epochs == deciding_epochs(experiment) == (2, 4, 8)
    free = tiny({"search.scheduler": "none"})
    assert deciding_epochs(free) == ()


@pytest.mark.slow
def test_a_trial_validates_what_decides_and_the_same_part_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int | None, Any, Any]] = []

    def watched(model: Any, data: Any, protocol: Any, searched: Any, codes: Any, *rest: Any) -> Any:
        calls.append((protocol.top_k, searched, codes))
        return validate(model, data, protocol, searched, codes, *rest)

    monkeypatch.setattr("harness.trial.attempt.validate", watched)
    experiment = tiny(
        {"defense.epochs": 5, "validation.every": 3, "validation.database": 200, "seed": 1}
    )
    context = replace(context_of(experiment, tmp_path), deciding_epochs=(1,))
    validated = {}
    for seed in (0, 1):
        *epochs, final = run_trial(spec_of(experiment, seed=seed), context)
        assert isinstance(final, FinalReport)
        assert all("train/loss" in report.metrics for report in epochs)
        validated[seed] = [
            r.epoch for r in epochs if isinstance(r, EpochReport) and "val/clean_map" in r.metrics
        ]
    assert validated == {0: [1, 3, 5], 1: [1, 3, 5]}
    data = trial_data(experiment.config, None)
    for top_k, searched, codes in calls:
        assert top_k == 25
        assert np.array_equal(searched, data.validation_part(200))
        assert codes.shape == (len(data.train), 16)
    whole = tiny({"defense.epochs": 1, "validation.database": "all"})
    calls.clear()
    list(run_trial(spec_of(whole), context_of(whole, tmp_path / "whole")))
    assert calls == [(100, None, None)]


def test_an_epoch_that_was_not_validated_is_shown_so(tmp_path: Path) -> None:
    search = open_search(tmp_path, tiny({"defense.epochs": 4, "validation.every": 4}))
    spec: Any = search.next_trial()
    log = io.StringIO()
    progress = Progress(search, Console(file=log, width=200))
    search.journal.on_event(progress.handle)
    search.on_epoch(spec.trial_id, EpochReport(1, {"train/loss": 1.0}, 1.0, 1.0))
    search.on_epoch(
        spec.trial_id,
        EpochReport(2, {"val/clean_map": 0.5, "val/robust_map": 0.25}, 1.0, 2.0),
    )
    search.on_epoch(spec.trial_id, EpochReport(3, {"train/loss": 1.0}, 1.0, 3.0))
    first, second, third = log.getvalue().splitlines()
    assert first == f"{spec.trial_id} epoch 1/4 not validated"
    assert second == f"{spec.trial_id} epoch 2/4 clean 50.0 robust 25.0"
    assert third == f"{spec.trial_id} epoch 3/4 not validated"
    view = io.StringIO()
    with Progress(search, Console(file=view, width=200, force_terminal=True)):
        pass
    assert re.search(r"3/4 +50\.0 +25\.0", view.getvalue())
    search.journal.close()
