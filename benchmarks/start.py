"""How long a search takes to begin, and what it costs beside its trials.

``python -m benchmarks.start search_spaces/quickstart.yaml`` runs the experiment through Ray, as a
person would, in a folder of its own, and prints the seconds from the command to the first training
step and the overhead: what the trials' slots spent on anything but the trials' own work, as a share
of that work.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from harness.journal import Event, read


class Overhead(NamedTuple):
    """Of a finished search."""

    work: float  # seconds of work of all trials
    within: float  # from being suggested to the last report, beyond the trial's own work
    between: float  # from the end of a trial to the start of the next one in its slot

    @property
    def share(self) -> float:
        """Of the work."""
        return (self.within + self.between) / self.work


def overhead(events: list[Event]) -> Overhead:
    """Read the overhead off a journal.

    A trial that begins takes the slot that has been free for the longest time; the first trials
    find slots that nothing ran in.
    """
    begun: dict[str, float] = {}
    cost: dict[str, float] = {}
    free: list[float] = []
    within = between = 0.0
    for event in events:
        kind = event["event"]
        if kind == "suggested":
            if free:
                between += event["time"] - free.pop(0)
            begun[event["trial"]["trial_id"]] = event["time"]
        elif kind in ("epoch", "completed", "failed"):
            name = event["trial_id"]
            cost[name] = event.get("cost_s", cost.get(name, 0.0))
            if kind != "epoch" or event.get("stop_reason"):
                within += event["time"] - begun[name] - cost[name]
                free.append(event["time"])
    return Overhead(sum(cost.values()), within, between)


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


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", type=Path, metavar="SPACE.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="saat-start-") as folder:
        first, whole = first_step(args.space, Path(folder), args.set)
        found = overhead(read(Path(folder) / "start" / "events.jsonl"))
    print(f"first training step after           {first:8.1f} s")
    print(f"the whole search                    {whole:8.1f} s")
    print(f"work of all trials                  {found.work:8.1f} s")
    print(f"beside it, within trials            {found.within:8.1f} s")
    print(f"beside it, between trials           {found.between:8.1f} s")
    print(f"overhead, of the work               {100 * found.share:8.1f} %")


if __name__ == "__main__":
    main()
