"""How long commands and a search take to begin, and what a search costs beside its trials.

``python -m benchmarks.start`` prints the CPU seconds of the commands that only read, each the least
of several starts after a first one, beside those of importing torch.

``python -m benchmarks.start search_spaces/quickstart.yaml`` runs the experiment through Ray, as a
person would, in a folder of its own, and prints the seconds from the command to the first training
step and the overhead: what the trials' slots spent on anything but the trials' own work, as a share
of that work. A trial that waits for a pretrained model that another one is building counts too.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from harness.journal.journal import Event, read


class Overhead(NamedTuple):
    """What the slots of a finished search did beside its trials' own work, in seconds."""

    work: float  # of all trials
    workers: float  # until the first report of the first trial in every slot
    trials: float  # until the first report of all others
    epochs: float  # between the reports of a trial
    between: float  # from the end of a trial to the start of the next one in its slot

    @property
    def share(self) -> float:
        """Of the work."""
        return (self.workers + self.trials + self.epochs + self.between) / self.work


def overhead(events: list[Event]) -> Overhead:
    """Read the overhead off a journal.

    A trial that begins takes the slot that has been free for the longest time; the first trials
    find slots that nothing ran in, and wait for worker processes.
    """
    told: dict[str, tuple[float, float]] = {}  # trial → time and cost of its last report
    # Trials without a report yet → where the seconds until then count.
    silent: dict[str, str] = {}
    free: list[float] = []
    spent = dict.fromkeys(Overhead._fields, 0.0)
    for event in events:
        now = event["time"]
        if event["event"] == "suggested":
            name = event["trial"]["trial_id"]
            told[name] = now, 0.0
            silent[name] = "trials" if free else "workers"
            if free:
                spent["between"] += now - free.pop(0)
        elif event["event"] in ("epoch", "completed", "failed"):
            name = event["trial_id"]
            then, before = told[name]
            cost = event.get("cost_s", before)
            told[name] = now, cost
            spent["work"] += cost - before
            spent[silent.pop(name, "epochs")] += now - then - (cost - before)
            if event["event"] != "epoch" or event.get("stop_reason"):
                free.append(now)
    return Overhead(**spent)


_TITLES = {
    "work": "work of all trials",
    "workers": "start of the worker processes",
    "trials": "start of the other trials",
    "epochs": "between the reports of a trial",
    "between": "between trials",
}


def first_step(space: Path, runs_dir: Path, overrides: list[str]) -> tuple[float, float]:
    """Run a search; seconds until its first trial begins to train, and until it is over."""
    command = [sys.executable, "-m", "harness", "search", str(space), "--name", "start"]
    command += ["--runs-dir", str(runs_dir)]
    command += [part for pair in overrides for part in ("--set", pair)]
    started = time.monotonic()
    with (runs_dir / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        # The folder of a pretrained model is made just before its first batch.
        while process.poll() is None and not any((runs_dir / "pretrained").glob("*")):
            time.sleep(0.02)
        first = time.monotonic() - started
        if process.wait():
            raise RuntimeError((runs_dir / "log").read_text()[-2000:])
    return first, time.monotonic() - started


_STARTS = 7
_COMMANDS = (
    "--version",
    "--help",
    "search --help",
    "list attacks",
    "list datasets",
    "list searches --runs-dir {runs}",
    "validate search_spaces/quickstart.yaml",
    "status {run} --runs-dir {runs}",
)


def cpu_seconds(command: list[str]) -> float:
    """CPU time of a process and of those that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_commands(folder: Path) -> None:
    """Measure the commands that only read, on a search of 30 trials that trained nothing."""
    from benchmarks.scale import run, use_stand_in

    os.environ["SAAT_CACHE"] = str(folder / "cache")
    use_stand_in()
    run(30, folder, "inline")
    (journal,) = folder.glob("*/events.jsonl")
    torch = min(cpu_seconds([sys.executable, "-c", "import torch"]) for _ in range(_STARTS))
    print(f"{'import torch':<44}{torch:6.2f} s")
    for template in _COMMANDS:
        words = template.format(runs=folder, run=journal.parent.name).split()
        command = [sys.executable, "-m", "harness", *words]
        cpu_seconds(command)
        seconds = min(cpu_seconds(command) for _ in range(_STARTS))
        shown = f"saat {template.partition(' --runs-dir')[0].format(run='NAME')}"
        print(f"{shown:<44}{seconds:6.2f} s {seconds / torch:6.2f} of it")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", type=Path, nargs="?", metavar="SPACE.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="saat-start-") as folder:
        if args.space is None:
            print_commands(Path(folder))
        else:
            print_search(args.space, Path(folder), args.set)


def print_search(space: Path, folder: Path, overrides: list[str]) -> None:
    """Run a search and measure it."""
    first, whole = first_step(space, folder, overrides)
    found = overhead(read(folder / "start" / "events.jsonl"))
    print(f"first training step after           {first:8.1f} s")
    print(f"the whole search                    {whole:8.1f} s")
    for name, seconds in found._asdict().items():
        print(f"{_TITLES[name]:<36}{seconds:8.1f} s {100 * seconds / found.work:8.1f} %")
    print(f"{'overhead':<36}{'':>10} {100 * found.share:8.1f} %")


if __name__ == "__main__":
    main()
