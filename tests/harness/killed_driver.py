"""A driver that is killed with SIGKILL at any moment, then resumed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient

from harness.journal.journal import read
from harness.tracking.store import default_uri

SEED = 20261121

EXPERIMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": "killed",
    "data": {"name": "digits_mini", "image_size": 16, "val_queries": 60},
    "model": {"bits": 12},
    "pretrain": {"epochs": 2, "lr": 0.3, "batch_size": 40},
    "defense": {"method": "saat", "epochs": 3, "step_size": "auto", "batch_size": 40},
    "space": {
        "defense.lambda": {"float": [0.1, 10.0], "log": True},
        "defense.steps": {"int": [1, 2]},
    },
    "search": {"num_samples": 3, "reduction_factor": 2, "max_concurrent": 1},
    "confirm": {"max_configs": 1, "seeds": 1, "battery": "none"},
    "validation": {"steps": 1, "queries": 32},
    "evaluation": {"top_k": 200, "steps": 2},
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", *arguments]


def facts(run_dir: Path) -> dict[str, Any]:
    """What a search found, without times."""
    out: dict[str, Any] = {"order": [], "epochs": {}, "ends": {}, "recommended": None}
    for event in read(run_dir / "events.jsonl"):
        if event["event"] == "suggested":
            out["order"].append((event["trial"]["trial_id"], event["point"]))
        elif event["event"] == "epoch":
            key = (event["trial_id"], event["epoch"])
            assert key not in out["epochs"], f"epoch counted twice: {key}"
            out["epochs"][key] = (event["metrics"], event.get("stop_reason"))
        elif event["event"] in ("completed", "failed"):
            assert event["trial_id"] not in out["ends"], "a trial ended twice"
            out["ends"][event["trial_id"]] = event["metrics"]
        elif event["event"] == "recommended":
            out["recommended"] = event["trial_ids"]
    return out


def mlflow_steps(runs_dir: Path) -> dict[str, list[int]]:
    """Steps of the validation metric of every child run."""
    client = MlflowClient(default_uri(runs_dir))
    experiment = client.get_experiment_by_name("killed")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    names = [run.data.tags["saat.trial_id"] for run in runs]
    assert len(set(names)) == len(names), "one run a trial, and one parent"
    assert all(run.info.status != "RUNNING" for run in runs)
    return {
        name: [m.step for m in client.get_metric_history(run.info.run_id, "val/clean_map")]
        for name, run in zip(names, runs, strict=True)
        if name != "search"
    }


def undisturbed(folder: Path) -> dict[str, Any]:
    """What the search finds when nobody disturbs it."""
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(EXPERIMENT))
    arguments = ["search", str(file), "--executor", "inline", "--runs-dir", str(folder / "runs")]
    subprocess.run(command(*arguments), check=True, capture_output=True, timeout=900)
    return facts(folder / "runs" / "killed")


def run_and_kill(arguments: list[str], journal: Path, moments: random.Random) -> bool:
    """Kill a driver at a random moment after it got on by some events; whether it was alive."""
    wanted = len(read(journal)) + moments.randint(1, 6)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(*arguments), stdout=quiet, stderr=quiet)
    while process.poll() is None and len(read(journal)) < wanted:
        time.sleep(0.05)
    time.sleep(moments.uniform(0, 1.5))
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def check_killed(executor: str, kills: int, expected: dict[str, Any], tmp_path: Path) -> None:
    """A search that is killed and resumed ``kills`` times ends as ``expected``."""
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(EXPERIMENT))
    runs = tmp_path / "runs"
    journal = runs / "killed" / "events.jsonl"
    moments = random.Random(f"{SEED} {executor}")
    search = ["search", str(file), "--executor", executor, "--runs-dir", str(runs)]
    resume = ["resume", "killed", "--runs-dir", str(runs)]
    killed = [run_and_kill(resume if journal.exists() else search, journal, moments)]
    killed += [run_and_kill(resume, journal, moments) for _ in range(kills - 1)]
    assert sum(killed) >= 2
    end = subprocess.run(command(*resume), capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stderr
    assert facts(journal.parent) == expected
    steps = mlflow_steps(runs)
    assert steps.keys() == {trial_id for trial_id, _ in expected["order"]}
    for trial_id, logged in steps.items():
        epochs = [epoch for trial, epoch in expected["epochs"] if trial == trial_id]
        assert sorted(logged) == epochs, "MLflow has every epoch once"
