"""What replays say: shares of random search's compute, as rows, as a table and as a figure."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.efficiency.replay import Replay
from reports.figures.static import STATIC_STYLE, legend_below, new_figure
from reports.figures.style import colour

RANDOM = "random search, FIFO"
_GRID = 200


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
        bottom = 85.0
        for index, name in enumerate(dict.fromkeys(name for one in replays for name in one)):
            curves = [
                [methods[name].at(share * methods[RANDOM].total_cost) for share in shares]
                for methods in replays
                if name in methods
            ]
            quartiles = np.quantile(np.array(curves) / best, (0.25, 0.5, 0.75), axis=0)
            low, middle, high = 100 * quartiles
            # The steep beginning may lie below the figure; what a third of the compute has may not.
            bottom = min(bottom, 5 * np.floor(middle[_GRID // 3] / 5))
            axes.fill_between(100 * shares, low, high, color=colour(index), alpha=0.15, lw=0)
            axes.plot(100 * shares, middle, color=colour(index), lw=1.8, label=name)
        goal = 100 * np.median([m[RANDOM].at(np.inf) for m in replays]) / best
        axes.axhline(goal, color="#444444", ls=":", lw=1.2)
        axes.axvline(100 / 3, color="#444444", ls=":", lw=1.2)
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom, 100)
        legend_below(figure, columns=4)
    return figure
