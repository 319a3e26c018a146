"""``python -m benchmarks.memory`` at toy size."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import measure, memory
from saat.stopwatch import Stage

ROOT = Path(__file__).parents[2]
TOY = memory.Sizes(train=300, database=400, validation=40, test=40, batches=2)
linux = pytest.mark.skipif(sys.platform != "linux", reason="peaks are those of Linux's kernel")


@linux
@pytest.mark.slow
def test_every_stage_of_a_trial_has_a_peak(tmp_path: Path) -> None:
    for split, rows in (("train", 50), ("test", 20)):
        labels = np.eye(5, dtype=int)[np.arange(rows) % 5]
        np.savetxt(tmp_path / f"{split}_label.txt", labels, "%d")
    command = [sys.executable, "-m", "benchmarks.memory", "--labels", str(tmp_path)]
    command += [f"--{name}={value}" for name, value in TOY._asdict().items()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "300 training rows with 5 distinct label vectors, 400 database rows" in done.stdout
    cells = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    found = {row[0]: int(row[1]) for row in cells if re.fullmatch(r"-?\d+", row[-1])}
    stages = {"pretraining", "outer_step", "inner_pgd", "validation", "reattack", "battery"}
    assert stages | {"largest", "targets", *memory.AIMED} <= set(found)
    assert 0 < found["largest"] < 500
    assert found["largest"] == max(found[name] for name in (*stages, "largest"))


@linux
def test_a_peak_belongs_to_the_stage_in_which_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.PeakWatch, "peaks", {})
    watch, before = memory.PeakWatch(), measure.status_bytes("VmRSS")
    memory.new_peak()
    with watch.stage(Stage.VALIDATION), watch.stage(Stage.ENCODE):
        torch.ones(100 * memory.MEBIBYTE, dtype=torch.uint8)
    with watch.stage(Stage.REATTACK):
        torch.ones(10 * memory.MEBIBYTE, dtype=torch.uint8)
    grown = {k: (peak - before) / memory.MEBIBYTE for k, peak in memory.PeakWatch.peaks.items()}
    assert 95 < grown["validation"] < 150
    assert grown["reattack"] < 50
    assert "encode" not in grown


def test_rows_are_drawn_from_lists_or_at_random() -> None:
    drawn = memory.drawn_labels(TOY, None)
    assert drawn.shape == (440, 80)
    assert drawn.sum(1).mean() == pytest.approx(2.9, abs=0.4)
    data = memory.data_of(drawn, TOY)
    assert set(data.train) | set(data.validation) <= set(data.database)
    assert not set(data.test) & set(data.database)
    assert (len(data.train), len(data.test), len(data.validation_database)) == (300, 40, 360)
