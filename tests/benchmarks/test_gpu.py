"""``python -m benchmarks.gpu --toy`` as it is called, on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import Row, Table, main

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_toy_measures_everything_that_a_cpu_has(tmp_path: Path) -> None:
    file = tmp_path / "table.md"
    command = [sys.executable, "-m", "benchmarks.gpu", "--toy", "--minutes", "4", "-o", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    text = file.read_text()
    assert done.stdout == text
    assert f"torch {torch.__version__}" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.count("|") == 8][2:]
    missing = {(row[0], row[1]): row[2] for row in rows if row[2].startswith("not measured")}
    for (work, precision), reason in missing.items():
        if "CUDA graph" in work and precision != "tf32":
            assert "needs CUDA" in reason
        else:
            assert precision == "tf32"
            assert "has no TF32" in reason
    measured = [row for row in rows if (row[0], row[1]) not in missing]
    assert len(measured) == 12
    assert all(float(row[2]) > 0 for row in measured)


def test_rows_without_time_and_failed_rows_say_so() -> None:
    def fail() -> list[float]:
        raise ArithmeticError("no | number")

    table = Table(torch.device("cpu"), seconds=60)
    assert "| failed (ArithmeticError: no / number) |" in table.line(Row("a", "fp32", fail))
    floor = Row("b", "fp32", lambda: [2.0, 1.0, 3.0], 4e12, floor=True)
    assert table.line(floor) == "| b | fp32 | 2000 | 1000 – 3000 | 2 | 100.0 % |  |"
    half = Row("c", "fp32", lambda: [4.0], 4e12, (20, "images/s"))
    assert table.line(half) == "| c | fp32 | 4000 | 4000 – 4000 | 1 | 50.0 % | 5 images/s |"
    assert table.failures == 1
    over = Table(torch.device("cpu"), seconds=0)
    assert "| not measured (time) |" in over.line(floor)


def test_a_machine_without_gpu_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "no GPU is there; --toy runs on the CPU" in capsys.readouterr().err
