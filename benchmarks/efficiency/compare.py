"""Replay four ways of searching over one recording, and say what compute they save.

``python -m benchmarks.efficiency.compare SPACE.yaml TABLE.parquet -o FOLDER`` writes
``search_efficiency.png`` and ``search_efficiency.csv``, a row for every method and replay seed,
and prints the table. Random search runs its trials to the end; every other method gets the compute
that random search spent under the same seed (``search.stop.cost``) and is compared at that cost.
"""

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.efficiency.recording import Recording
from benchmarks.efficiency.replay import Replay, replay, with_search
from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment
from harness.experiment.resolve import resolve_experiment
from reports.figures.static import STATIC_STYLE, legend_below, new_figure
from reports.figures.style import colour
from reports.frontier import hypervolume

RANDOM = "random search, FIFO"
# Keys of `search` that differ from the file, which is the product's own way of searching.
METHODS: Mapping[str, Mapping[str, Any]] = {
    RANDOM: {"sampler": "random", "scheduler": "none"},
    "Optuna (TPE), FIFO": {"sampler": "tpe", "scheduler": "none"},
    "ASHA on the mean": {
        "sampler": "random",
        "scheduler": "asha",
        "scalarisation": "mean",
        "margin": None,
    },
    "saat-harness": {},
}
_GRID = 200


def replay_seed(
    seed: int,
    raw: Mapping[str, Any],
    table: Path,
    trials: int,
    workers: int,
    methods: Mapping[str, Mapping[str, Any]],
) -> dict[str, Replay]:
    """Every method under one replay seed; random search first, its cost is the others' budget.

    ``raw`` is the content of the experiment, whose models cannot travel to another process.
    """
    experiment = resolve_experiment(raw, "experiment")
    recording = Recording(table, experiment)

    def run(search: Mapping[str, Any]) -> Replay:
        return replay(with_search(experiment, seed, search), recording, workers)

    defaults = len(recording.points) - len(recording.sampled)
    out = {RANDOM: run({**METHODS[RANDOM], "num_samples": trials - defaults})}
    budget = {"num_samples": len(recording.sampled), "stop": {"cost": out[RANDOM].total_cost}}
    others = {name: keys for name, keys in methods.items() if name != RANDOM}
    return out | {name: run({**keys, **budget}) for name, keys in others.items()}


def compare(
    experiment: Experiment,
    table: Path,
    seeds: Sequence[int],
    trials: int,
    workers: int,
    methods: Mapping[str, Mapping[str, Any]] = METHODS,
    processes: int = 1,
) -> list[dict[str, Replay]]:
    """Every method under every replay seed."""
    raw = experiment.dump()
    run = partial(
        replay_seed, raw=raw, table=table, trials=trials, workers=workers, methods=methods
    )
    if processes == 1:
        return list(map(run, seeds))
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(run, seeds))


def summary(replays: Sequence[Mapping[str, Replay]], best: float) -> pd.DataFrame:
    """A row for every method and seed.

    Columns: ``cost_share``, the cost at which the method reached random search's final
    hypervolume, as a share of all that random search spent (inf: not within that budget);
    ``hypervolume`` at the end of the budget, and ``of_best``, its share of what all recorded
    settings together have; ``behind``, whether random search ended above it.
    """
    rows = []
    for number, methods in enumerate(replays):
        random = methods[RANDOM]
        budget, goal = random.total_cost, random.at(random.total_cost)
        for name, one in methods.items():
            cost, volume = one.cost_to(goal), one.at(budget)
            rows.append(
                {
                    "method": name,
                    "replay": number,
                    "cost_share": cost / budget if cost <= budget else np.inf,
                    "hypervolume": volume,
                    "of_best": volume / best,
                    "behind": volume < goal,
                    "trials": one.trials,
                    "completed": len(one.settings),
                    "total_cost": one.total_cost,
                    "distance": one.distance,
                }
            )
    return pd.DataFrame(rows)


def markdown(frame: pd.DataFrame) -> str:
    """Medians and quartiles of a summary as a table."""
    lines = [
        "| method | share of random's compute to reach random's final hypervolume | quartiles | "
        "hypervolume at equal compute, of the best possible | behind random at the end | "
        "trials | completed |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rows in frame.groupby("method", sort=False):
        # "lower": the middle of a finite number and infinity is neither.
        low, middle, high = np.quantile(rows["cost_share"], (0.25, 0.5, 0.75), method="lower")
        cells = [
            _percent(middle),
            f"{_percent(low)} to {_percent(high)}",
            f"{100 * rows['of_best'].median():.2f} %",
            f"{int(rows['behind'].sum())} of {len(rows)}",
            *(f"{rows[column].median():.0f}" for column in ("trials", "completed")),
        ]
        lines.append(f"| {' | '.join([str(name), *cells])} |")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if np.isfinite(share) else "never"


def draw(replays: Sequence[Mapping[str, Replay]], best: float) -> Figure:
    """Median and quartiles of the hypervolume over the compute spent, one line a method."""
    shares = np.linspace(0, 1, _GRID)
    with matplotlib.rc_context(STATIC_STYLE):
        figure = new_figure(height=4.4)
        axes = figure.add_subplot(
            xlabel="compute spent, of random search's total (%)",
            ylabel="hypervolume, of all recorded settings' (%)",
        )
        for index, name in enumerate(replays[0]):
            curves = [
                [methods[name].at(share * methods[RANDOM].total_cost) for share in shares]
                for methods in replays
            ]
            quartiles = np.quantile(np.array(curves) / best, (0.25, 0.5, 0.75), axis=0)
            low, middle, high = 100 * quartiles
            axes.fill_between(100 * shares, low, high, color=colour(index), alpha=0.15, lw=0)
            axes.plot(100 * shares, middle, color=colour(index), lw=1.8, label=name)
        goal = 100 * np.median([m[RANDOM].at(np.inf) for m in replays]) / best
        axes.axhline(goal, color="#444444", ls=":", lw=1.2)
        axes.axvline(100 / 3, color="#444444", ls=":", lw=1.2)
        axes.set_xlim(0, 100)
        axes.set_ylim(85, 100)
        legend_below(figure, columns=4)
    return figure


def main() -> None:
    """Replay, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", type=Path, metavar="SPACE.yaml")
    parser.add_argument("table", type=Path, metavar="TABLE.parquet")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=120, help="replay seeds")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=64, help="of random search")
    parser.add_argument("--workers", type=int, default=4, help="trials at once")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    experiment, _ = load_experiment(args.space)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    replays = compare(
        experiment, args.table, seeds, args.trials, args.workers, processes=args.processes
    )
    recorded = Recording(args.table, experiment).mean_objectives().values()
    best = hypervolume(list(recorded))
    frame = summary(replays, best)
    args.output.mkdir(parents=True, exist_ok=True)
    frame.to_csv(args.output / "search_efficiency.csv", index=False, float_format="%.6g")
    draw(replays, best).savefig(args.output / "search_efficiency.png")
    print(markdown(frame))


if __name__ == "__main__":
    main()
