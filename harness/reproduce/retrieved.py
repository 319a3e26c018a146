"""What benign and attacked queries retrieve, computed from stored images (Fig. 5 of the paper)."""

from collections.abc import Callable
from pathlib import Path

import torch

from harness.evaluation.verify import stored_images, stored_victim
from reports.figures.examples import ExamplePanel, amplify
from reports.paper.cells import cell_at
from reports.paper.declared import Item
from reports.paper.grid import label
from reports.paper.measured import Measured
from reports.run_folder import trial_folder
from saat.codes import hamming_distance
from saat.labels import relevance

_QUERIES, _RETRIEVED = 2, 5


def retrieved_panels(
    item: Item, measured: Measured, cache_dir: str | None, say: Callable[[str], None]
) -> list[ExamplePanel]:
    """A panel for each attack of a figure whose run is there."""
    panels = []
    for title, (attack,) in item.panels.items():
        cell = cell_at({**item.fixed, "attack": attack})
        run = item.source(cell)
        trial = measured.trained(run, cell.setting)
        if trial.missing:
            continue
        folder = trial_folder(measured.runs[run.name].path, str(trial.row["trial_id"]))
        if not (folder / "adversarial.npz").is_file():
            continue
        say(f"{item.name}: what queries of {attack} retrieve")
        panels.append(_panel(f"{title}: {label('attack', attack)}", folder, attack, cache_dir))
    return panels


def _panel(title: str, folder: Path, attack: str, cache_dir: str | None) -> ExamplePanel:
    victim, stored = stored_victim(folder, cache_dir), stored_images(folder)
    attacked = stored[attack]
    targets = stored.get(f"{attack}_target", victim.labels)
    arrays = {
        "query": victim.images[:_QUERIES].numpy(),
        "adversarial": attacked[:_QUERIES].numpy(),
    }
    codes = {"clean": victim.query_codes, "attacked": victim.codes(attacked[:_QUERIES])}
    labels = {"clean": victim.labels, "attacked": targets}
    for name, of_queries in codes.items():
        distance = hamming_distance(of_queries[:_QUERIES], victim.database_codes)
        order = distance.sort(dim=1, stable=True).indices[:, :_RETRIEVED].cpu()
        relevant = relevance(labels[name][:_QUERIES], victim.database_labels).cpu()
        arrays[f"{name}_relevant"] = relevant.gather(1, order).numpy()
        rows = victim.database_rows[order.numpy()]
        arrays[f"{name}_top"] = torch.stack([victim.data.batch(row) for row in rows]).numpy()
    change, factor = amplify(arrays["query"], arrays["adversarial"])
    return ExamplePanel(title, arrays, change, factor)
