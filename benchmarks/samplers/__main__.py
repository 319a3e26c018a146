"""Compare samplers on foreign problems: ``python -m benchmarks.samplers -o RESULTS.csv``.

Every run of a sampler on a table or function, under a seed, is a row of the file: its share of the
best hypervolume, in percent, after the compute of 10, 20, 30 and 40 whole trainings, and the median
CPU seconds of its suggestions. What the file has is not run again, so an interrupted comparison
goes on where it was; ``--seeds 0`` runs nothing. In the end the medians, quartiles, ranks and tests
of the whole file are printed.
"""

import argparse
import csv
import statistics
import sys
from itertools import product
from pathlib import Path

import optuna
import pandas as pd

from benchmarks.samplers import functions, tables
from benchmarks.samplers.figure import draw
from benchmarks.samplers.page import around_tables, markdown, write_into
from benchmarks.samplers.play import OPTUNAS, PLAYERS, play
from benchmarks.samplers.problem import Problem
from saat.errors import InputError

MARKS = (10, 20, 30, 40)
KEYS = ("table", "sampler", "at_once", "seed")
COLUMNS = (*KEYS, *(f"after_{mark}" for mark in MARKS), "suggestion_s")
PROBLEMS = (*tables.TABLES, *functions.FUNCTIONS)


def load(name: str) -> Problem:
    """One of :data:`PROBLEMS`."""
    return functions.load(name) if name in functions.FUNCTIONS else tables.load(name)


def run_missing(given: argparse.Namespace) -> None:
    """Append a row for every run that the file does not have."""
    if not given.output.exists():
        given.output.write_text(",".join(COLUMNS) + "\n")
    with given.output.open() as file:
        done = {tuple(row[key] for key in KEYS) for row in csv.DictReader(file)}
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    for seed, at_once, table, name in product(seeds, given.at_once, given.tables, given.samplers):
        key = (table, name, str(at_once), str(seed))
        if key in done:
            continue
        # A search of the product stops trainings early; Optuna's samplers have no scheduler here.
        stopping = name not in OPTUNAS
        played = play(load(table), PLAYERS[name], seed, max(MARKS), at_once, stopping)
        shares = [f"{100 * played.at(mark):.4f}" for mark in MARKS]
        with given.output.open("a", newline="") as file:
            for target in (file, sys.stdout):
                row = [*key, *shares, f"{statistics.median(played.seconds):.4f}"]
                csv.writer(target, lineterminator="\n").writerow(row)
                target.flush()


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RESULTS.csv")
    parser.add_argument("--tables", nargs="+", default=PROBLEMS, choices=PROBLEMS)
    parser.add_argument("--samplers", nargs="+", default=list(PLAYERS), choices=PLAYERS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--page", type=Path, help="page whose tables are replaced")
    parser.add_argument("--figure", type=Path, help="where the figure is drawn")
    given = parser.parse_args()
    if given.page:  # before hours of work
        try:
            around_tables(given.page)
        except InputError as error:
            parser.error(str(error))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    run_missing(given)
    runs = pd.read_csv(given.output)
    if runs.empty:
        return
    text = markdown(runs, MARKS)
    print(text)
    if given.page:
        write_into(given.page, text)
    if given.figure:
        draw(runs, MARKS).savefig(given.figure)


if __name__ == "__main__":
    main()
