"""Replay four ways of searching over one recording, and say what compute they save.

``python -m benchmarks.efficiency.compare SPACE.yaml TABLE.parquet -o FOLDER`` writes ``TABLE.png``
and ``TABLE.csv``, a row for every method and replay seed, and prints the medians. Random search
runs its trials to the end; every other method gets the compute that random search spent under the
same seed (``search.stop.cost``) and is compared at that cost.

``FOLDER/replays.jsonl`` keeps every replay. What it has is not replayed again, so an interrupted
comparison goes on where it was, and ``--methods`` adds one method to the others.
"""

import argparse
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.efficiency.kept import KeptReplays
from benchmarks.efficiency.recording import Recording
from benchmarks.efficiency.replay import Replay, replay, with_search
from benchmarks.efficiency.summary import RANDOM, draw, markdown, summary
from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment
from harness.experiment.resolve import resolve_experiment
from reports.frontier import hypervolume
from saat.errors import InputError

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
_Known = tuple[int, Mapping[str, Replay]]  # a replay seed, and its replays that are done


def replay_seed(
    known: _Known,
    raw: Mapping[str, Any],
    table: Path,
    trials: int,
    workers: int,
    methods: Mapping[str, Mapping[str, Any]],
) -> tuple[int, dict[str, Replay]]:
    """Every method under one replay seed; random search first, its cost is the others' budget.

    ``known`` is the seed and its replays that are done. ``raw`` is the content of the experiment,
    whose models cannot travel to another process.
    """
    seed, out = known[0], dict(known[1])
    experiment = resolve_experiment(raw, "experiment")
    recording = Recording(table, experiment)

    def run(search: Mapping[str, Any]) -> Replay:
        return replay(with_search(experiment, seed, search), recording, workers)

    if RANDOM not in out:
        defaults = len(recording.points) - len(recording.sampled)
        out[RANDOM] = run({**METHODS[RANDOM], "num_samples": trials - defaults})
    budget = {"num_samples": len(recording.sampled), "stop": {"cost": out[RANDOM].total_cost}}
    for name, keys in methods.items():
        if name not in out:
            out[name] = run({**keys, **budget})
    return seed, out


def compare(
    experiment: Experiment,
    table: Path,
    seeds: Sequence[int],
    trials: int,
    workers: int,
    methods: Mapping[str, Mapping[str, Any]] = METHODS,
    processes: int = 1,
    kept: KeptReplays | None = None,
) -> list[dict[str, Replay]]:
    """Every method under every replay seed; random search is always one of them.

    Args:
        experiment: of the recording.
        table: the recording.
        seeds: replay seeds.
        trials: of random search.
        workers: trials at once.
        methods: name → keys of ``search`` that differ from the experiment's.
        processes: replay seeds at once.
        kept: replays that are done, which gets the new ones.
    """
    known = kept.replays if kept else {}
    wanted = {RANDOM, *methods}
    missing = [seed for seed in seeds if not wanted <= known.get(seed, {}).keys()]
    found = {seed: known[seed] for seed in seeds if seed not in missing}
    run = partial(
        replay_seed,
        raw=experiment.dump(),
        table=table,
        trials=trials,
        workers=workers,
        methods=methods,
    )
    for seed, replays in _each(run, [(seed, known.get(seed, {})) for seed in missing], processes):
        found[seed] = replays
        if kept:
            kept.add(seed, replays)
    return [found[seed] for seed in seeds]


def _each(
    run: Callable[[_Known], tuple[int, dict[str, Replay]]], parts: Sequence[_Known], processes: int
) -> Iterator[tuple[int, dict[str, Replay]]]:
    if processes == 1:
        yield from map(run, parts)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, parts)


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
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        help="beside random search, which sets the budget",
    )
    args = parser.parse_args()
    experiment, _ = load_experiment(args.space)
    compared = {"table": args.table.stem, "trials": args.trials, "workers": args.workers}
    try:
        kept = KeptReplays(args.output / "replays.jsonl", compared)
    except InputError as error:
        parser.error(str(error))
    compare(
        experiment,
        args.table,
        range(args.first_seed, args.first_seed + args.seeds),
        args.trials,
        args.workers,
        {name: METHODS[name] for name in args.methods},
        args.processes,
        kept,
    )
    replays = [
        {name: known[name] for name in METHODS if name in known}
        for _, known in sorted(kept.replays.items())
    ]
    recorded = Recording(args.table, experiment).mean_objectives().values()
    best = hypervolume(list(recorded))
    frame = summary(replays, best)
    frame.to_csv(args.output / f"{args.table.stem}.csv", index=False, float_format="%.6g")
    draw(replays, best).savefig(args.output / f"{args.table.stem}.png")
    print(markdown(frame))


if __name__ == "__main__":
    main()
