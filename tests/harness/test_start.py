"""Commands that only read start at once: they import nothing that takes seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.harness.fakes import experiment, finished
from tests.harness.tiny import tiny_raw

HEAVY = {
    "torch", "torchvision", "ray", "mlflow", "optuna", "pandas", "sklearn", "scipy", "matplotlib",
    "plotly", "pyarrow",
}  # fmt: skip
# Runs commands one after the other; a line of JSON each: status, output, packages imported so far.
PROGRAM = """
import io, json, sys
from contextlib import redirect_stdout
from harness.__main__ import main
for command in sys.argv[1:]:
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            main(command.split())
    except SystemExit as end:
        status = end.code
    print(json.dumps([status, out.getvalue(), [n for n in sys.modules if "." not in n]]))
"""
COMMANDS = [
    "--version", "--help", "search --help", "resume --help", "evaluate --help", "preflight --help",
    "list spaces", "list datasets", "list backbones", "list hashing", "list attacks",
    "list defenses", "list searches", "list samplers", "list schedulers", "list metrics",
    "list attacks --json", "-h", "status -h", "validate tiny.yaml", "status done",
    "status done --json",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with experiments, a finished run and a cache that has been used before."""
    folder = tmp_path_factory.mktemp("world")
    raw = tiny_raw()
    raw["space"] = {
        "defense.lambda": {"choice": [1.0, 2.0]},
        "defense.eps": {"float": ["2/255", "12/255"], "when": {"defense.lambda": 1.0}},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    (folder / "wrong.yaml").write_text(yaml.safe_dump(tiny_raw({"defense.eps": 2})))
    searched = experiment(name="done")
    finished(folder / "runs" / "done", searched)
    text = yaml.safe_dump(searched.dump(), sort_keys=False)
    (folder / "runs" / "done" / "experiment.yaml").write_text(text)
    return folder


def ran(folder: Path, *commands: str) -> list[tuple[int, str, set[str]]]:
    """Status, standard output and imported packages of each command, in one process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *commands], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "SAAT_CACHE": str(folder / "cache"), "SAAT_DATA": ""},
    )  # fmt: skip
    lines = map(json.loads, done.stdout.splitlines())
    found = [(status, out, set(imported)) for status, out, imported in lines]
    assert len(found) == len(commands), done.stderr
    return found


def test_commands_that_only_read_import_nothing_heavy(world: Path) -> None:
    ((status, listed, imported),) = ran(world, "list attacks")
    assert status == 0
    assert "torch" in imported, "the first command of an installation makes the catalogue"
    for command, (status, out, imported) in zip(COMMANDS, ran(world, *COMMANDS), strict=True):
        assert (command, status) == (command, 0)
        assert out, command
        assert (command, imported & HEAVY) == (command, set())
        if command == "list attacks":
            assert out == listed
    ((status, _, imported),) = ran(world, "validate wrong.yaml")
    assert status == 2
    assert not imported & HEAVY


def test_the_version_and_help_need_no_more_than_the_command_line(world: Path) -> None:
    for _, _, imported in ran(world, "--version", "--help"):
        assert "typer" in imported
        assert not imported & {"pydantic", "yaml", "numpy"}
