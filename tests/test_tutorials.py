"""The tutorials work as they stand: their files, their commands and their Python, in order."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.__main__ import main
from tests.command_lines import commands, written_files

ROOT = Path(__file__).parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
# Smaller trainings than the page's: its commands are tried here, not its numbers.
SMALLER = [
    "data.image_size=16",
    "pretrain.epochs=2",
    "defense.epochs=1",
    "confirm.seeds=1",
    "confirm.battery=none",
    "evaluation.steps=2",
]
QUICK = {"search": ["--executor", "inline", *(word for key in SMALLER for word in ("--set", key))]}
PYTHON = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)


def shell(page: str) -> Iterator[list[str]]:
    """The commands of its ``sh`` blocks."""
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        yield from commands(block, "saat")


@pytest.mark.lengthy
def test_the_search_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (TUTORIALS / "search.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAAT_CACHE", str(tmp_path / "cache"))
    for name, content in written_files(page).items():
        Path(name).write_text(content, encoding="utf-8")
    told = {}
    for words in shell(page):
        with pytest.raises(SystemExit) as ended:
            main([*words, *QUICK.get(words[0], [])])
        out, err = capsys.readouterr()
        assert ended.value.code == 0, f"{words}: {err}"
        told[" ".join(words)] = out
    assert len(told) >= 5
    trials = pd.read_parquet(tmp_path / "runs" / "first" / "trials.parquet")
    assert set(trials.phase) == {"explore", "confirm"}
    assert {"default", "sampled", "undefended"} <= set(trials.role)
    assert (tmp_path / "runs" / "first" / "report" / "report.html").is_file()
    assert "5 trials" in told["search first.yaml --dry-run"]
    assert re.search(r"\b0 differ", told["verify first"])
    # So short a training may end at chance, which is on no front.
    front = r"; (front \(clean MAP, robust MAP on validation\)|empty front)"
    assert re.search(front, told["status first"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own_model.md", "add_attack.md"])
def test_the_python_of_a_tutorial_runs(name: str, tmp_path: Path) -> None:
    """In a process of its own: what it registers is not there for other tests."""
    blocks = PYTHON.findall((TUTORIALS / name).read_text(encoding="utf-8"))
    assert len(blocks) >= 3
    one_thread = {"OMP_NUM_THREADS": "1", "SAAT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, **one_thread, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_tutorial_is_tried_somewhere() -> None:
    tried = {"search.md", "own_model.md", "add_attack.md", "cluster.md"}
    assert {path.name for path in TUTORIALS.glob("*.md")} == tried
