"""Bytes that a run will write, and the space that is free for them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import nn

from harness.experiment.config import Experiment, TrialConfig
from harness.files import existing_parent
from harness.options import Options
from harness.session.sizes import DataSizes
from harness.session.stage_costs import Stage
from harness.session.trial_costs import deployed
from harness.tracking.store import default_uri
from harness.trial.artifacts import EXAMPLES, RETRIEVED
from harness.trial.attempt import TRANSFERRING
from saat.battery import BATTERIES
from saat.data_source import default_cache_dir

# Checkpoints of a trial at once: the newest two, and the one that is being written.
_CHECKPOINTS = 3
# Queries whose images are kept as examples, each before and after the attack with what it finds.
_EXAMPLE_IMAGES = EXAMPLES * 2 * (1 + RETRIEVED)
# The rest is bytes, measured in searches of the digits (docs/how-to/plan.md).
# trials.parquet, nearly all of it for its columns; a finished trial's result, setting and lines of
# the journal; an epoch's line there; an AP in per_query.parquet.
_TABLES, _TRIAL, _EPOCH, _AP = 90_000, 7_000, 720, 12
# MLflow's empty database; what it holds of a trial, whose last metrics are most, and of an epoch.
_STORE, _TRIAL_TRACKED, _EPOCH_TRACKED = 950_000, 31_000, 1_000
# 2.8 MB of a training and 2.9 MB of a comparison; most of it is plotly, the rest is figures.
_REPORT = 3_000_000


@dataclass(frozen=True)
class DiskItem:
    """What is written: so many, of so many bytes each, below a folder."""

    name: str
    count: float
    each: float
    folder: Path

    @property
    def bytes(self) -> float:
        """All of them."""
        return self.count * self.each


class Space(NamedTuple):
    """A file system: what is needed of it, what is free there, and a folder on it."""

    folder: Path
    needed: float
    free: int


def disk_needs(
    experiment: Experiment,
    configs: Sequence[TrialConfig],
    stages: Sequence[Stage],
    sizes: DataSizes,
    at_once: int,
    options: Options,
) -> list[DiskItem]:
    """What a run writes, each at its largest among ``configs``; compression is not counted on."""

    def often(name: str) -> float:
        return sum(stage.count for stage in stages if stage.name == name)

    tested, epochs = often("test attacks"), often("validation")
    finished, network = often("re-attack") + tested, max(_bytes(deployed(c)) for c in configs)
    bits, attacks = max(config.model.bits for config in configs), _attacks(experiment)
    codes, image = 4 * sizes.train * bits, 3 * experiment.data.image_size**2
    images = image * sizes.test * attacks
    # Two int32 at each distance, for every query and attack, and for the clean queries.
    histograms = 2 * 4 * (bits + 1) * sizes.test * (attacks + 1)
    trial = _TRIAL + _AP * sizes.test * (attacks + 2)
    runs, cache = options.runs_dir, Path(options.cache_dir or default_cache_dir())
    # Weights, and what an optimiser keeps of each: one number of SGD, two of Adam at the most.
    checkpoint = 3 * network + 2 * codes
    rows = [
        ("pretrained models", often("pretraining"), network + codes),
        ("models of trials", finished, network),
        ("checkpoints of trials at once", _CHECKPOINTS * at_once, checkpoint),
        ("attacked images of test trials", tested, images),
        ("the same while trials run", min(at_once, tested), images),
        ("histograms and example images", tested, histograms + image * _EXAMPLE_IMAGES),
        ("journal and tables", 1, _TABLES + trial * finished + _EPOCH * epochs),
        ("report", 1, _REPORT),
    ]
    if (options.tracking_uri or default_uri(runs)).startswith("sqlite:"):
        store = _STORE + _TRIAL_TRACKED * finished + _EPOCH_TRACKED * epochs
        rows += [
            ("MLflow's database", 1, store),
            ("its copies of models", finished, network),
            ("its copy of the report", 1, _REPORT),
        ]
    items = [DiskItem(*row, runs) for row in rows]
    if sizes.missing:
        items.append(DiskItem("decoded images", sizes.images, image, cache))
    return [item for item in items if item.bytes]


def spaces(items: Sequence[DiskItem]) -> list[Space]:
    """The file systems that things are written to, each with what it has free."""
    found: dict[int, Space] = {}
    for item in items:
        folder = existing_parent(item.folder)
        device = folder.stat().st_dev
        before = found.get(device, Space(folder, 0.0, shutil.disk_usage(folder).free))
        found[device] = before._replace(needed=before.needed + item.bytes)
    return list(found.values())


def _attacks(experiment: Experiment) -> int:
    """Attacks of which a trial's images are kept."""
    name, own = experiment.confirm.battery, len(experiment.evaluation.attacks)
    if name == "none":
        return own
    # Beside its white box: noise, Square, and transfer.
    white_box = len(BATTERIES[name].white_box)
    return own + white_box + 2 + int(name in TRANSFERRING)


def _bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())
