"""Work of a trial at the papers' scale, counted: ``python -m benchmarks.work``.

Ours is ``search_spaces/saat_lambda_mu.yaml`` as it is. The plain way encodes the whole database and
training set after every epoch, and confirms with a battery that leaves nothing out and has HAG and
SDHA as they were published. Units are thousands of forward passes of one image (F).
"""

import argparse
from pathlib import Path

from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment
from harness.session.data_sizes import DataSizes
from harness.session.trial_costs import TrialCosts
from saat.work import Work

FILE = Path(__file__).parents[1] / "search_spaces" / "saat_lambda_mu.yaml"
PLAIN = ("validation.database=all", "confirm.battery=exhaustive")
# Training, database and test images of the papers' splits.
SETS = {
    "FLICKR-25K": (5000, 23_300, 1700),
    "NUS-WIDE": (10_500, 193_734, 2100),
    "MS-COCO": (10_000, 117_218, 5000),
}


def stages(experiment: Experiment, name: str) -> dict[str, Work]:
    """What the parts of a trial and of its confirmation cost, on a set of :data:`SETS`."""
    train, database, test = SETS[name]
    queries = experiment.data.val_queries  # of the database
    rows = database - queries
    # The training images lie in the database.
    sizes = DataSizes(train, database, rows, queries, test, database + test, train)
    costs, config = TrialCosts(experiment, sizes), experiment.config
    return {
        "epoch of SAAT": costs.training(config, 0, 1),
        "validation after an epoch": costs.validation(config),
        "re-attack of a trial": costs.reattack,
        "test attacks of a confirmed model": costs.test,
        "battery, where everything is needed": costs.battery(config),
        "battery, on its sample alone": costs.battery(config, "least"),
    }


def table() -> list[str]:
    """Lines of Markdown: ours, the plain way and their ratio for each set."""
    ours = load_experiment(FILE)[0]
    plain = load_experiment(FILE, PLAIN)[0]
    found = [(stages(ours, name), stages(plain, name)) for name in SETS]
    lines = [f"| thousand F | {' | '.join(f'{name} | plain | ours' for name in SETS)} |"]
    lines.append("|---|" + "---:|" * 3 * len(SETS))
    for stage in found[0][0]:
        pairs = [(mine[stage].passes, theirs[_plain(stage)].passes) for mine, theirs in found]
        cells = (f"{m / 1000:,.0f} | {p / 1000:,.0f} | {m / p:.0%}" for m, p in pairs)
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return lines


def _plain(stage: str) -> str:
    """The plain stage to compare with: that battery has no sample."""
    return "battery, where everything is needed" if stage.startswith("battery") else stage


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print("\n".join(table()))


if __name__ == "__main__":
    main()
