"""What the harness costs, and that it does not grow: a search of many trials without training.

``python -m benchmarks.scale --trials 1000`` runs a whole search (journal, sampler, scheduler,
executor, MLflow, tables, report) whose trials only write the files that a training leaves. It
prints, for every hundred trials, the wall-clock seconds and the driver's CPU time a trial and the
driver's memory, then how long ``saat status``, the tables and the report take.
"""

import argparse
import contextlib
import logging
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.measure import status_bytes
from harness.executors import executor
from harness.experiment.resolve import resolve_experiment
from harness.files import write_json
from harness.journal.journal import Event, read
from harness.journal.state import load_state
from harness.options import Options
from harness.session import session
from harness.session.result_tables import write_tables
from harness.trial.attempt import Status
from harness.trial.interface import EpochReport, FinalReport, TrialContext, TrialSpec, trial_folder
from reports.html import write_report
from reports.results import load_search
from saat import tensor_file
from saat.seeding import derive_seed
from saat.wording import counted

EXPERIMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": "scale",
    "data": {"name": "digits", "image_size": 16},
    "defense": {"epochs": 9, "step_size": "auto"},
    "space": {
        "model.bits": {"choice": [16, 32]},
        "defense.lambda": {"float": [0.1, 10.0], "log": True},
        "defense.mu": {"float": [1e-5, 1e-2], "log": True},
        "defense.eps": {"float": ["2/255", "16/255"]},
        "defense.steps": {"int": [1, 10]},
    },
    "confirm": {"max_configs": 2, "seeds": 3, "battery": "none"},
    "evaluation": {"top_k": 1000},
}
_QUERIES = 200


def stand_in(
    spec: TrialSpec, context: TrialContext, status: Status | None = None
) -> Iterator[EpochReport | FinalReport]:
    """In place of :func:`harness.trial.trial.run_trial`: its reports and files, made up in no time.

    Clean MAP falls and robust MAP rises with λ and ε; both are a little rough and rise with the
    epochs.
    """
    del status
    started = time.monotonic()
    folder = trial_folder(context, spec.trial_id)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", spec.dump())
    history: list[EpochReport] = []
    for epoch in range(1, spec.config.epochs + 1):
        clean, robust = _objectives(spec, epoch)
        values = {"val/clean_map": clean, "val/robust_map": robust, "val/zero_grad": 0.01}
        spent = time.monotonic() - started
        metrics = {"train/loss": 1 / epoch, "train/lr": 0.05} | values
        history.append(EpochReport(epoch, metrics, spent, spent))
        yield history[-1]
    clean, robust = _objectives(spec, math.inf)
    prefix = "reattack" if spec.phase == "explore" else "test"
    metrics = {"clean_map": clean, "robust_map": robust, "chance_map": 0.33, "floor_map": 0.2}
    metrics |= {"map.mainstay": robust, "theory.mainstay": 0.2, "zero_grad.mainstay": 0.01}
    _write_files(folder, robust)
    named = {f"{prefix}/{name}": value for name, value in metrics.items()}
    final = FinalReport(len(history), named, time.monotonic() - started)
    records = [asdict(report) for report in history]
    write_json(folder / "result.json", {**asdict(final), "history": records})
    yield final


def _objectives(spec: TrialSpec, epoch: float) -> tuple[float, float]:
    defense = spec.config.dump()["defense"]
    weight, eps = math.log10(defense.get("lambda", 0.1)), defense.get("eps", 0.0)
    rough = [derive_seed(spec.trial_id, name) % 1000 / 2e4 for name in ("clean", "robust")]
    share = 1 - 0.5 * 0.6**epoch
    clean = 0.75 - 0.1 * weight - 2 * eps - rough[0]
    robust = 0.3 + 0.1 * weight + 2 * eps + 0.015 * defense.get("steps", 0) - rough[1]
    return share * clean, share * robust


def _write_files(folder: Path, robust: float) -> None:
    ap = np.full(_QUERIES, robust)
    frame = pd.DataFrame({"query": np.arange(_QUERIES), "attack": "worst", "restart": 0, "ap": ap})
    frame.to_parquet(folder / "per_query.parquet", index=False)
    tensor_file.save(folder / "model.safetensors", {"network.weight": torch.zeros(64)}, {})


def use_stand_in() -> None:
    """From now on trials of this process train nothing."""
    vars(executor)["run_trial"] = stand_in


class Hundred(NamedTuple):
    """Some trials that ended one after the other."""

    trials: int  # ended until then
    seconds: float  # wall clock, a trial
    cpu_s: float  # CPU time of the driver, a trial; with what the stand-in does, if inline
    megabytes: float  # of the driver, at the end


class Usage(threading.Thread):
    """Samples the memory and the CPU time of this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stop_now = threading.Event()
        self.samples: list[tuple[float, float, float]] = []

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._stop_now.wait(0.2):
            used = status_bytes("VmRSS") / 2**20
            self.samples.append((time.time(), used, time.process_time()))

    def stop(self) -> None:
        """End the thread."""
        self._stop_now.set()
        self.join()

    def at(self, moment: float) -> tuple[float, float]:
        """(megabytes, CPU seconds so far) at a time."""
        times = [when for when, _, _ in self.samples]
        index = min(int(np.searchsorted(times, moment)), len(times) - 1)
        return self.samples[index][1:]


def run(
    trials: int, runs_dir: Path, name: str = "inline", size: int = 100, sampler: str = "ehvi"
) -> list[Hundred]:
    """Search with ``trials`` samples, below ``runs_dir/scale``; what every ``size`` of them took.

    Args:
        trials: ``search.num_samples``.
        runs_dir: where the run lies.
        name: the executor.
        size: trials a row.
        sampler: ``search.sampler``.
    """
    search = {"num_samples": trials, "sampler": sampler}
    experiment = resolve_experiment({**EXPERIMENT, "search": search}, "scale")
    usage = Usage()
    usage.start()
    with (runs_dir / "log").open("w") as log, contextlib.redirect_stderr(log):
        options = Options(runs_dir, executor="ray" if name == "ray" else "inline")
        session.start(experiment, options, "search", lambda text: print(text, file=log))
    usage.stop()
    return rows(read(runs_dir / "scale" / "events.jsonl"), usage, size)


def rows(events: list[Event], usage: Usage, size: int) -> list[Hundred]:
    """The search cut into parts of ``size`` ended trials."""
    ends = [
        event["time"]
        for event in events
        if event["event"] in ("completed", "failed") or event.get("stop_reason")
    ]
    before, out = events[0]["time"], []
    for ended in range(size, len(ends) + 1, size):
        now = ends[ended - 1]
        megabytes, cpu = usage.at(now)
        took, used = now - before, cpu - usage.at(before)[1]
        out.append(Hundred(ended, took / size, used / size, megabytes))
        before = now
    return out


def timed(what: str, work: Any) -> None:
    """Print how long a call takes."""
    started = time.perf_counter()
    work()
    print(f"{what:<44}{time.perf_counter() - started:8.2f} s", flush=True)


def after(runs_dir: Path) -> None:
    """Time what is done with a finished search."""
    run_dir = runs_dir / "scale"
    saat = [sys.executable, "-m", "harness", "status", "scale", "--runs-dir", str(runs_dir)]
    timed("saat status (a process)", lambda: subprocess.run(saat, check=True, capture_output=True))
    timed("trials.parquet and epochs.parquet", lambda: write_tables(run_dir, *load_state(run_dir)))
    timed("report", lambda: write_report([load_search(run_dir)], run_dir / "report"))
    for path in (run_dir / "report" / "report.html", run_dir / "events.jsonl"):
        print(f"{f'size of {path.name}':<44}{path.stat().st_size / 2**20:8.2f} MB")


def start_ray(setup: Callable[[], None] = use_stand_in, cpus: int | None = None) -> None:
    """A Ray of our own, with so many CPUs, whose workers begin with a call of ``setup``."""
    import ray

    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=256 * 1024**2,
        runtime_env={"worker_process_setup_hook": setup},
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--executor", choices=["inline", "ray"], default="inline")
    args = parser.parse_args()
    if args.executor == "ray":
        start_ray()
    else:
        use_stand_in()
    with tempfile.TemporaryDirectory(prefix="saat-scale-") as folder:
        started = time.perf_counter()
        found = run(args.trials, Path(folder), args.executor)
        seconds = time.perf_counter() - started
        print(f"{counted(args.trials, 'trial')}, {args.executor}: {seconds:.0f} s")
        print("| trials | s a trial | driver's CPU ms a trial | driver MB |\n|---:|---:|---:|---:|")
        for row in found:
            cells = f"{row.seconds:.3f} | {1000 * row.cpu_s:.1f} | {row.megabytes:.0f}"
            print(f"| {row.trials} | {cells} |")
        after(Path(folder))


if __name__ == "__main__":
    main()
