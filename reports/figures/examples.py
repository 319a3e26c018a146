"""Images of single attacked queries, and of the items that they retrieve."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from reports.confirmed import ConfirmedConfig
from reports.figures.static import message, new_figure
from reports.figures.style import IRRELEVANT, RELEVANT
from reports.results import SearchResults

_PITCH = 1.12  # distance of images, in widths of one
EXAMPLES_PER_SETTING = 4


class ExamplePanel(NamedTuple):
    """Examples of one trained model."""

    title: str
    arrays: dict[str, NDArray]  # of `SearchResults.examples`, the first few queries
    amplified: NDArray[np.uint8]  # (n, 3, H, W), the perturbation around middle grey
    amplification: int


def examples_data(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> list[ExamplePanel]:
    """Examples of the undefended model beside the best defended one of the same bits.

    A collapsed setting is shown only if there is no other.
    """
    defended = [config for config in configs if config.role != "undefended"]
    best = max(defended, key=lambda s: (not s.collapsed, s.bands["robust_map"].mean), default=None)
    bare = [s for s in configs if s.role == "undefended" and (not best or best.bits == s.bits)]
    panels = (_panel(results, config) for config in [*bare[:1], best] if config)
    return [panel for panel in panels if panel]


def _panel(results: SearchResults, config: ConfirmedConfig) -> ExamplePanel | None:
    for seed, trial in zip(config.trials["seed"], config.trials["trial_id"], strict=True):
        arrays = results.examples(trial)
        if arrays is not None and len(arrays["query"]):
            title = f"{config.label}, seed {seed}, attack {arrays['attack']}"
            first = {
                name: array[:EXAMPLES_PER_SETTING] for name, array in arrays.items() if array.ndim
            }
            return ExamplePanel(title, first, *amplify(first["query"], first["adversarial"]))
    return None


def amplify(
    query: NDArray[np.uint8], adversarial: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], int]:
    """The perturbation around middle grey, times the largest whole factor that fits in uint8.

    Args:
        query: uint8 ``(n, 3, H, W)``.
        adversarial: the same images after the attack.

    Returns:
        uint8 images of the same shape, and the factor.
    """
    perturbation = adversarial.astype(np.int32) - query.astype(np.int32)
    factor = max(127 // max(int(np.abs(perturbation).max(initial=0)), 1), 1)
    return np.clip(128 + factor * perturbation, 0, 255).astype(np.uint8), factor


def examples_static(panels: Sequence[ExamplePanel]) -> Figure:
    """Draw the image grid; frames are green for relevant and orange for irrelevant items."""
    if not panels:
        return message("no example images of confirmed trials yet")
    rows = [len(panel.amplified) + 0.6 for panel in panels]
    figure = new_figure(width=12.5, height=0.95 * sum(rows) + 0.3)
    grid = figure.add_gridspec(len(panels), 1, height_ratios=rows)
    for i, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(grid[i]), panel)
    return figure


def _draw_panel(axes: Axes, panel: ExamplePanel) -> None:
    """Draw all images of a panel in one axes, because many axes are slow to lay out."""
    axes.set_axis_off()
    axes.set_title(panel.title, fontsize=12, loc="left")
    arrays = panel.arrays
    height = arrays["query"].shape[-2] / arrays["query"].shape[-1]
    step = _PITCH * height
    columns: list[tuple[str, NDArray[np.uint8], NDArray[np.bool_] | None]] = [
        ("query", arrays["query"], None),
        ("attacked", arrays["adversarial"], None),
        (f"change ×{panel.amplification}", panel.amplified, None),
    ]
    for when, name in (("before", "clean"), ("after", "attacked")):
        top, hits = arrays[f"{name}_top"], arrays[f"{name}_relevant"]
        columns += [(f"{when} {k + 1}", top[:, k], hits[:, k]) for k in range(top.shape[1])]
    for position, (title, images, relevant) in enumerate(columns):
        # Gaps separate the query, the ranking before the attack and the one after it.
        left = _PITCH * position + (0.3 if position > 2 else 0) + (0.3 if position > 7 else 0)
        axes.text(left + 0.5, -0.06, title, ha="center", va="bottom", fontsize=8.5)
        for row, image in enumerate(images):
            top = row * step
            extent = (left, left + 1, top + height, top)
            axes.imshow(image.transpose(1, 2, 0), interpolation="nearest", extent=extent)
            if relevant is not None:
                colour, style = (RELEVANT, "-") if relevant[row] else (IRRELEVANT, "--")
                frame = Rectangle((left, top), 1, height, fill=False, ec=colour, ls=style, lw=3)
                axes.add_patch(frame)
    axes.set(xlim=(-0.05, left + 1.05), ylim=(len(arrays["query"]) * step, -0.3), aspect="equal")
