"""An installed package brings entries of every registry, and a search uses them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = {
    "attacks": "one_step",
    "hashing": "contrast",
    "datasets": "channels",
    "backbones": "flat",
    "defenses": "blurred",
}
REGISTRIES = """
import json
from saat.attacks import ATTACKS
from saat.battery import BATTERIES
from saat.data import DATASETS
from saat.defenses import DEFENSES
from saat.hashing import OBJECTIVES
from saat.models import BACKBONES
from saat.reliability import GATES

found = {}
for registry in (ATTACKS, BATTERIES, DATASETS, DEFENSES, OBJECTIVES, BACKBONES, GATES):
    for name in registry:
        if registry.package(name) != "saat-harness" and name != "broken":
            found[registry.group] = [name, registry.package(name), repr(registry[name])]
print(json.dumps(found))
"""
COMMANDS = """
import contextlib, io, json, sys
from harness.__main__ import main

ended = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            ended.append([end.code, out.getvalue(), err.getvalue()])
print(json.dumps(ended))
"""
EXPERIMENT = {
    "schema_version": 1,
    "name": "extended",
    "data": {"name": "channels", "image_size": 16, "val_queries": 30},
    "model": {"hashing": "contrast", "bits": 16},
    "pretrain": {"epochs": 2, "lr": 0.1},
    "defense": {"epochs": 1, "steps": 1},
    "space": {"defense.method": {"choice": ["saat", "blurred"]}},
    "search": {"num_samples": 1, "sampler": "random", "scheduler": "none"},
    "confirm": {"max_configs": 1, "seeds": 1, "undefended": False, "battery": "brief"},
    "validation": {"steps": 1, "queries": 20},
    "evaluation": {
        "top_k": 50, "steps": 1, "attacks": ["one_step"], "options": {"one_step": {"alpha": 0.5}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package is installed, without a network."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "packages"))
    for path in (ROOT / "tests" / "external_package").iterdir():
        if path.is_file():  # a build leaves folders beside the sources
            (source / path.name).write_bytes(path.read_bytes())
    command = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    ended = run(source, *command, "--target", str(target), str(source))
    assert ended.returncode == 0, ended.stderr
    return target


class Ended(NamedTuple):
    """A command's exit status and what it said."""

    status: int
    out: str
    err: str


def commands(cwd: Path, packages: Path | None, *given: list[str]) -> list[Ended]:
    """Commands of saat, one after the other in one new process."""
    ended = run(cwd, "-c", COMMANDS, json.dumps(given), packages=packages)
    assert ended.returncode == 0, ended.stderr
    return [Ended(*end) for end in json.loads(ended.stdout)]


def run(
    cwd: Path, *arguments: str, packages: Path | None = None
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder) for folder in (ROOT, packages) if folder)
    environment = {**os.environ, "PYTHONPATH": path, "SAAT_CACHE": str(cwd / "cache")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.lengthy
def test_every_registry_has_the_entry_of_the_package(packages: Path, tmp_path: Path) -> None:
    ended = run(tmp_path, "-c", REGISTRIES, packages=packages)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    names = {group: name for group, (name, _, _) in found.items()}
    assert names == {
        **{f"saat.{what}": name for what, name in ENTRIES.items()},
        "saat.gates": "counted",
        "saat.batteries": "brief",
    }
    assert {package for _, package, _ in found.values()} == {"saat-extras"}
    assert "saat_extras.OneStep" in found["saat.attacks"][2]


@pytest.mark.lengthy
def test_a_search_uses_what_the_package_brings(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    search = ["search", "file.yaml", "--executor", "inline"]
    searched, verified, attacks, datasets, hashing, broken = commands(
        tmp_path,
        packages,
        search,
        ["verify", "extended"],
        ["list", "attacks"],
        ["list", "datasets"],
        ["list", "hashing"],
        ["validate", "file.yaml", "--set", "model.hashing=broken"],
    )
    assert searched.status == 0, searched.err
    folder = tmp_path / "runs" / "extended"
    trials = pd.read_parquet(folder / "trials.parquet")
    assert set(trials["status"]) == {"completed"}
    assert set(trials["param.model.hashing"]) == {"contrast"}
    confirmed = trials[trials["phase"] == "confirm"]
    assert (confirmed["metric.test/robust_map"] <= confirmed["metric.test/map.one_step"]).all()
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["versions"]["saat-extras"] == "0.3"
    started = json.loads((folder / "events.jsonl").read_text().splitlines()[0])
    assert started["versions"] == {"one_step": 3, "noise": 2}
    assert verified.status == 0, verified.err
    assert " 0 differ" in verified.out

    for listed, name in ((attacks, "one_step"), (datasets, "channels")):
        rows = dict(line.split("  ", 1) for line in listed.out.splitlines())
        assert rows[name].endswith("[saat-extras]")
        assert sum(line.endswith("]") for line in rows.values()) == 1, "own entries name no package"
    problem = "hashing objective broken of saat-extras: saat_extras:Nothing cannot be imported"
    for refused in (hashing, broken):
        assert (refused.status, refused.err.count("\n")) == (2, 1)
        assert problem in refused.err
    assert {"dph", "contrast"} <= {line.split()[0] for line in hashing.out.splitlines()}

    (without,) = commands(tmp_path, None, [*search, "--name", "without"])
    assert without.status == 2
    assert "channels" in without.err
