"""docs/extending.md works as it stands: one file and one entry each, and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (file|entry): (\S+)(?: : (\w+))? -->\n```\w+\n(.*?)```", re.DOTALL)

# `saat list` of each argument, a page each, in one process.
LISTS = """
import sys
from harness.__main__ import main
for what in sys.argv[1:]:
    try:
        main(["list", what])
    except SystemExit as end:
        assert not end.code
    print("\\f", flush=True)
"""


def apply(page: str, root: Path) -> list[str]:
    """Carry out what the page says in a copy of the project; the files it touched."""
    touched = []
    for kind, name, registry, code in BLOCK.findall(page):
        path = root / name
        touched.append(name)
        if kind == "file":
            assert not path.exists(), f"{name} exists already"
            path.write_text(code, encoding="utf-8")
            continue
        text = path.read_text(encoding="utf-8")
        imported, _, entry = code.partition("\n\n")
        text, count = re.subn(rf"(\n{registry}: [^{{]*{{\n)", rf"\1{entry}", text)
        assert count == 1, f"{registry} of {name}"
        first = text.index("\nfrom saat")
        path.write_text(f"{text[:first]}\n{imported}{text[first:]}", encoding="utf-8")
    return touched


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "SAAT_CACHE": str(root / "cache")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.mark.lengthy
def test_the_page_can_be_followed_to_the_letter(tmp_path: Path) -> None:
    for package in ("saat", "harness", "reports", "search_spaces"):
        shutil.copytree(ROOT / package, tmp_path / package)
    assert len(apply(PAGE, tmp_path)) == 9

    ended = run(tmp_path, "-m", "harness", "train", "example.yaml")
    assert ended.returncode == 0, ended.stderr
    (trial,) = pd.read_parquet(tmp_path / "runs/extended/trials.parquet").to_dict("records")
    assert trial["status"] == "completed"
    assert trial["param.model.hashing"] == "contrast"
    assert trial["param.defense.method"] == "noise"
    assert trial["param.defense.eps"] == 12 / 255
    assert trial["metric.test/robust_map"] <= trial["metric.test/map.fgsm"]
    assert trial["metric.test/clean_map"] > trial["metric.test/chance_map"] + 0.2

    new = {"attacks": "fgsm", "hashing": "contrast", "defenses": "noise", "datasets": "squares"}
    listed = run(tmp_path, "-c", LISTS, *new)
    assert listed.returncode == 0, listed.stderr
    *pages, _ = listed.stdout.split("\f")
    for text, name in zip(pages, new.values(), strict=True):
        assert re.search(rf"^{name}\s", text, re.M)
    wrong = run(tmp_path, "-m", "harness", "train", "example.yaml", "--set", "defense.eps=2")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert "defense.eps: 2" in wrong.stderr


@pytest.mark.lengthy
def test_the_code_of_the_page_is_clean(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "saat", tmp_path / "saat")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    files = [name for name in apply(PAGE, tmp_path) if name.startswith("saat/")]
    checked = run(tmp_path, "-m", "ruff", "check", "--ignore=I001", *files)
    assert checked.returncode == 0, checked.stdout
    if (ROOT / ".mypy_cache").is_dir():  # of `make lint`: torch alone takes a minute
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    typed = run(tmp_path, "-m", "mypy", "--config-file", "pyproject.toml", "saat")
    assert typed.returncode == 0, typed.stdout


SEARCH_BLOCK = re.compile(r"<!-- search (file|entry): (\S+) -->\n```python\n(.*?)```", re.DOTALL)
SEARCH = """
from pathlib import Path
from saat.errors import InputError
from tests.harness.fakes import experiment, finished
searched = experiment(search__sampler="local", search__scheduler="median", search__num_samples=20)
for record in finished(Path("run"), searched).state.of_phase("explore"):
    print(record.status, "|", record.stop_reason, "|", record.point["defense.lambda"])
try:
    experiment(search__sampler="lokal")
except InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_sampler_and_a_scheduler_are_one_file_and_one_line_each(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "harness", tmp_path / "harness")
    for kind, name, code in SEARCH_BLOCK.findall(PAGE):
        path = tmp_path / name
        if kind == "file":
            path.write_text(code, encoding="utf-8")
        else:
            text, count = re.subn(r"(\n    \{\n)", rf"\1{code}", path.read_text(encoding="utf-8"))
            assert count == 1
            path.write_text(text, encoding="utf-8")
    paths = os.pathsep.join((str(tmp_path), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", SEARCH]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    *trials, refused = ran.stdout.splitlines()
    assert len(trials) == 22
    stopped = [line.split(" | ")[1] for line in trials if line.startswith("stopped")]
    assert set(stopped) <= {f"below the median of epoch {epoch}" for epoch in (1, 2, 3)}
    assert len(stopped) >= 4
    rates = [line.rpartition(" | ")[2] for line in trials]
    assert len(set(rates)) < len(rates) - 4, "local search keeps values, random search none"
    assert "did you mean local?" in refused
    code = [str(tmp_path / name) for kind, name, _ in SEARCH_BLOCK.findall(PAGE) if kind == "file"]
    config = str(ROOT / "pyproject.toml")
    checked = run(tmp_path, "-m", "ruff", "check", "--config", config, *code)
    assert checked.returncode == 0, checked.stdout
