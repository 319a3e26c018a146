"""Train every setting of a design to its end, under several seeds, and keep all that was seen.

``python -m benchmarks.efficiency.record SPACE.yaml --folder FOLDER -o TABLE.parquet`` appends a
line for every finished training to ``FOLDER/recording.jsonl``; started again, it goes on with what
is missing. The table has a row for every setting, seed and epoch. Costs are seconds of CPU time of
the one thread that worked, so other work on the machine hardly changes them.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.efficiency.design import design
from benchmarks.efficiency.recording import Line, write_recording
from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, undefended
from harness.experiment.file import load_experiment
from harness.experiment.resolve import resolve_experiment
from harness.experiment.section import parsed
from harness.journal.state import config_hash
from harness.options import Options
from harness.session.session import trial_context
from harness.trial.interface import EpochReport, TrialSpec, trial_folder
from harness.trial.stages import trial_data
from harness.trial.trial import run_trial
from saat.training import TrainingFailed


class Task(NamedTuple):
    """One training."""

    name: str  # the trial's id, and the name of its line
    seed: int
    config: dict[str, Any]
    facts: Line  # written with the line


def tasks(experiment: Experiment, settings: int, seeds: int) -> list[Task]:
    """All trainings, setting by setting, so that a recording cut short has all seeds of some."""
    fingerprint = _fingerprint(experiment)
    out = []
    for number, (role, point) in enumerate(design(experiment, settings)):
        config = config_at(experiment, point)
        facts = {"setting": number, "role": role, "point": point}
        out += _under_seeds(config, config_hash(config, fingerprint), facts, seeds)
    return out


def pretrainings(experiment: Experiment, seeds: int) -> list[Task]:
    """The undefended model of every bit length, under every seed."""
    bits = experiment.space.get("model.bits")
    fingerprint = _fingerprint(experiment)
    out = []
    for length in bits.samples() if bits else [experiment.model.bits]:
        config = undefended(config_at(experiment, {"model.bits": length}))
        out += _under_seeds(config, config_hash(config, fingerprint), {"pretrained": length}, seeds)
    return out


def _fingerprint(experiment: Experiment) -> str:
    return trial_data(config_at(experiment, {}), None).fingerprint


def _under_seeds(config: TrialConfig, full_hash: str, facts: Line, seeds: int) -> list[Task]:
    facts = {"config_hash": full_hash, **facts}
    return [
        Task(f"{full_hash[:10]}-explore-{seed}", seed, config.dump(), facts)
        for seed in range(seeds)
    ]


def train(task: Task, raw: Mapping[str, Any], folder: Path) -> Line:
    """Run one training from its beginning; what it reported, and the CPU seconds of every part.

    The experiment comes as its content: its models cannot travel to another process.
    """
    experiment = resolve_experiment(raw, "experiment")
    context = trial_context(experiment, Options(folder, executor="inline"), folder, "cpu", "")
    spec = TrialSpec(
        task.name, "explore", "sampled", 0, task.seed, parsed(TrialConfig, task.config)
    )
    # What an interrupted training had done cost CPU time that nobody counted.
    shutil.rmtree(trial_folder(context, task.name), ignore_errors=True)
    epochs: list[dict[str, float]] = []
    final: dict[str, float] = {}
    before = time.process_time()
    for report in run_trial(spec, context):
        spent = {"cpu_s": time.process_time() - before}
        if isinstance(report, EpochReport):
            epochs.append(report.metrics | spent)
        else:
            final = report.metrics | spent
        before = time.process_time()
    shutil.rmtree(trial_folder(context, task.name))
    return {"name": task.name, "seed": task.seed, **task.facts, "epochs": epochs, "final": final}


def pretrain(task: Task, raw: Mapping[str, Any], folder: Path) -> Line:
    """Train a pretrained model of the store; its line says what that cost.

    The model is evaluated twice and pretrained once: what the first time costs more than the second
    is the pretraining.
    """
    first, again = (train(task, raw, folder) for _ in range(2))
    cost = first["final"]["cpu_s"] - again["final"]["cpu_s"]
    return {**again, "cpu_s": cost}


def read_lines(path: Path) -> list[Line]:
    """Finished trainings; a line that a kill left unfinished is not one."""
    text = path.read_text() if path.exists() else ""
    complete = text[: text.rfind("\n") + 1]
    if complete != text:
        path.write_text(complete)
    return [json.loads(line) for line in complete.splitlines()]


def record(experiment: Experiment, folder: Path, table: Path, args: argparse.Namespace) -> None:
    """Do what is missing, ``args.processes`` at once; then write the table."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = read_lines(folder / "recording.jsonl")
    done = {line["name"] for line in lines}
    models = [t for t in pretrainings(experiment, args.seeds) if t.name not in done]
    planned = tasks(experiment, args.settings, args.seeds)
    missing = [task for task in planned if task.name not in done]
    whole = len(lines) + len(models) + len(missing)
    raw = experiment.dump()
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with torch may hang
    stages: list[tuple[Callable[..., Line], Sequence[Task]]]
    stages = [(pretrain, models), (train, missing)]
    with (
        (folder / "recording.jsonl").open("a") as file,
        ProcessPoolExecutor(args.processes, spawn) as pool,
    ):
        for work, parts in stages:
            begun: list[Future[Line]] = [pool.submit(work, part, raw, folder) for part in parts]
            for future in as_completed(begun):
                try:
                    line = future.result()
                except TrainingFailed as error:  # its setting will not be in the table
                    print(f"failed: {error}", flush=True)
                    continue
                lines.append(line)
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
                print(f"{len(lines)} of {whole}: {describe(line)}", flush=True)
    write_recording(table, experiment, lines, args.seeds)


def describe(line: Line) -> str:
    """A finished training in a few words."""
    final = line["final"]
    spent = final["cpu_s"] + sum(epoch["cpu_s"] for epoch in line["epochs"])
    values = (100 * final[f"reattack/{name}_map"] for name in ("clean", "robust"))
    return f"{line['name']} clean {next(values):.1f} robust {next(values):.1f}, {spent:.1f} CPU s"


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", type=Path, metavar="SPACE.yaml")
    parser.add_argument("--folder", type=Path, required=True, help="where the work lies")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="TABLE.parquet")
    parser.add_argument("--settings", type=int, default=256, help="beside the paper's defaults")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    experiment, _ = load_experiment(args.space)
    record(experiment, args.folder.resolve(), args.output, args)


if __name__ == "__main__":
    main()
