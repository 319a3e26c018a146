"""The paper's pictures: what queries retrieve (Fig. 5), and how attacked images look (Fig. 7)."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.figures.examples import amplify
from reports.figures.static import message, new_figure
from reports.paper.cells import cell_at
from reports.paper.declared import Item
from reports.paper.measured import Measured
from reports.run_folder import trial_folder
from reports.trial_arrays import read_adversarial

_SHOWN = 6


def attacked_images(
    item: Item, measured: Measured
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The first test queries and their attacked versions, uint8 ``(n, 3, H, W)``; or None."""
    (attack,) = next(iter(item.panels.values()))
    cell = cell_at({**item.fixed, "attack": attack})
    run = item.source(cell)
    trial = measured.trained(run, cell.setting)
    if trial.missing:
        return None
    results, trial_id = measured.runs[run.name], str(trial.row["trial_id"])
    examples = results.examples(trial_id)
    stored = trial_folder(results.path, trial_id) / "adversarial.npz"
    if examples is None or not stored.is_file():
        return None
    queries = examples["query"]  # of any attack: the same first queries
    return queries[:_SHOWN], read_adversarial(stored)[attack][: len(queries)][:_SHOWN]


def attacked_images_figure(item: Item, measured: Measured) -> Figure:
    """Benign images, attacked images, and their amplified differences, a row each."""
    found = attacked_images(item, measured)
    if found is None:
        return message("not run yet")
    change, factor = amplify(*found)
    rows = {"benign": found[0], "attacked": found[1], f"change ×{factor}": change}
    figure = new_figure(width=1.3 * len(change) + 0.9, height=4.2)
    for number, (title, images) in enumerate(rows.items()):
        for column, image in enumerate(images):
            axes = figure.add_subplot(len(rows), len(images), number * len(images) + column + 1)
            axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
            axes.grid(False)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(title)
    return figure
