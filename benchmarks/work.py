"""Work of a trial at the papers' scale, counted: ``python -m benchmarks.work [--defenses]``.

Ours is ``search_spaces/saat_lambda_mu.yaml`` as it is. The plain way encodes the whole database and
training set after every epoch, and confirms with a battery that leaves nothing out and has HAG and
SDHA as they were published. Units are thousands of forward passes of one image (F).

``--defenses`` prints what an epoch of every defense costs relative to SAAT's with the published
settings: counted in F, and measured as process time on one core.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import kernels
from benchmarks.measure import machine
from benchmarks.steps import quartiles
from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment
from harness.session.sizes import DataSizes
from harness.session.trial_costs import TrialCosts
from saat.data import RetrievalData
from saat.defenses import DEFENSES
from saat.hashing import OBJECTIVES
from saat.models import build_network
from saat.optimiser_settings import OptimiserSettings
from saat.seeding import generator
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


class DefenseSteps:
    """Steps of one defense on ``small_cnn`` at 32 pixels, with labels as those of FLICKR-25K.

    A call makes four, one in each quarter of the epochs: AWP and CA-TRIDE change their work.
    """

    def __init__(self, name: str, settings: OptimiserSettings, rows: int) -> None:
        draws = generator("work of a defense", rows)
        labels = kernels.Rows.drawn(rows, *kernels.SETS["FLICKR-25K"][2:], draws).labels
        images = torch.randint(0, 256, (rows, 3, 32, 32), dtype=torch.uint8, generator=draws)
        data = RetrievalData.from_tensors(train=(images, labels), test=(images[:2], labels[:2]))
        network = build_network("small_cnn", "none", kernels.BITS, 32, 0)
        objective = OBJECTIVES["dph"](labels, kernels.BITS, 0)
        self.run = DEFENSES[name].training(network, objective, data, settings, 0)
        self.run.set_mode()
        self.batches = torch.arange(rows).split(settings.batch_size)[:4]

    @property
    def counted(self) -> float:
        """F an epoch and training image."""
        return self.run.settings.epoch_work.passes

    def __call__(self) -> None:
        """One batch in each quarter."""
        epochs = self.run.settings.epochs
        for quarter, batch in enumerate(self.batches):
            self.run.epoch = quarter * epochs // 4
            self.run.step(batch, self.run.settings.lr)


def defenses(repeats: int = 9, batch_size: int = 32, width: float = 1.0) -> list[str]:
    """Lines of Markdown: epochs of every defense relative to SAAT's; quartiles of ``repeats``.

    ``width`` is that of ComDefend's codec, whose F are passes of the codec.
    """
    works = {}
    for name, entry in DEFENSES.items():
        changes: dict[str, Any] = {"batch_size": batch_size} | (
            {"width": width} if name == "comdefend" else {}
        )
        works[name] = DefenseSteps(name, replace(entry.settings(), **changes), 16 * batch_size)
    times = dict(zip(works, quartiles(list(works.values()), repeats), strict=True))
    whole = works["saat"].counted
    lines = ["| defense | F | relative to SAAT, counted | measured | quartiles |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, work in works.items():
        low, median, high = (seconds / times["saat"].median for seconds in times[name])
        counted = "" if name == "comdefend" else f"{work.counted / whole:.2f}"
        cells = f"{work.counted:g} | {counted} | {median:.2f} | {low:.2f} to {high:.2f}"
        lines.append(f"| `{name}` | {cells} |")
    return lines


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--defenses", action="store_true", help="what an epoch of each costs")
    if not parser.parse_args().defenses:
        print("\n".join(table()))
        return
    torch.set_num_threads(1)
    print("\n".join([machine(), "", *defenses()]))


if __name__ == "__main__":
    main()
