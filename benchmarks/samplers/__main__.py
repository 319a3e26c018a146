"""Compare samplers on foreign tables: ``python -m benchmarks.samplers -o RESULTS.csv``.

Every run of a sampler on a table, under a seed, is a row of the file: its share of the table's best
hypervolume, in percent, after 10, 20, 30 and 40 trials, and the median CPU seconds of its
suggestions. What the file has is not run again, so an interrupted comparison goes on where it was.
In the end the medians, quartiles and ranks are printed.
"""

import argparse
import csv
import statistics
from itertools import product
from pathlib import Path

import optuna
import pandas as pd

from benchmarks.samplers.play import PLAYERS, play
from benchmarks.samplers.summary import markdown
from benchmarks.samplers.tables import TABLES, load

MARKS = (10, 20, 30, 40)
KEYS = ("table", "sampler", "at_once", "seed")
COLUMNS = (*KEYS, *(f"after_{mark}" for mark in MARKS), "suggestion_s")


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RESULTS.csv")
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--samplers", nargs="+", default=list(PLAYERS), choices=PLAYERS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 4])
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not given.output.exists():
        given.output.write_text(",".join(COLUMNS) + "\n")
    with given.output.open() as file:
        done = {tuple(row[key] for key in KEYS) for row in csv.DictReader(file)}
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    for seed, at_once, table, name in product(seeds, given.at_once, given.tables, given.samplers):
        key = (table, name, str(at_once), str(seed))
        if key in done:
            continue
        played = play(load(table), PLAYERS[name], seed, max(MARKS), at_once)
        shares = [f"{100 * played.shares[mark - 1]:.4f}" for mark in MARKS]
        row = ",".join([*key, *shares, f"{statistics.median(played.seconds):.4f}"])
        with given.output.open("a") as file:
            file.write(row + "\n")
        print(row, flush=True)
    print(markdown(pd.read_csv(given.output), f"after_{max(MARKS)}"))


if __name__ == "__main__":
    main()
