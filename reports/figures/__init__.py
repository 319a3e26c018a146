"""Every figure of a report: one pure function for its data, two renderers that share it."""

from collections.abc import Sequence

from reports.confirmed import ConfirmedSetting
from reports.figures import (
    confirmed,
    cost,
    examples,
    frontier,
    learning_curves,
    matrix,
    parameters,
    precision_recall,
)
from reports.figures.style import RenderedFigure
from reports.matrix import fewer_seeds, targeted_matrix, untargeted_matrix
from reports.results import SearchResults
from reports.wording import attack_notes, sentences

# Clean, two attacks and the worst case: a table of that size needs no colours.
_FEW = 4


def overlaid_figures(
    searches: Sequence[SearchResults], settings: Sequence[ConfirmedSetting]
) -> dict[str, RenderedFigure]:
    """Figures that show all searches of one protocol together, by name.

    Args:
        searches: searches with equal protocol hashes.
        settings: the confirmed settings of all of them.
    """
    front, points = frontier.frontier_data(searches), confirmed.confirmed_data(settings)
    spent = cost.cost_data(searches)
    rendered = [
        RenderedFigure(
            "frontier",
            "Clean and robust MAP of all explored trials",
            "Validation queries under the full protocol. Up and to the right is better; the lines "
            "are the Pareto fronts. Crosses are trials that were stopped early: their last values "
            "come from the short attack of the search and cannot be compared with the points.",
            frontier.frontier_static(front),
            [frontier.frontier_interactive(front)],
        ),
        RenderedFigure(
            "confirmed",
            "Confirmed settings on test queries",
            "Bars are 95 % intervals of the mean over training seeds and test queries; faint "
            "points are single seeds.",
            confirmed.confirmed_static(points),
            [confirmed.confirmed_interactive(points)],
        ),
        RenderedFigure(
            "hypervolume",
            "Hypervolume over cost",
            "Area of clean × robust MAP that the completed trials dominate, against the work of "
            "all explore trials, stopped and failed ones included.",
            cost.cost_static(spent),
            [cost.cost_interactive(spent)],
        ),
    ]
    untargeted, targeted = untargeted_matrix(settings), targeted_matrix(settings)
    if len(untargeted.columns) > _FEW:
        rendered.append(
            RenderedFigure(
                "matrix",
                "Every setting under every attack",
                "MAP on test queries in %, mean over seeds and queries. The worst case takes the "
                "minimum over all columns for every query and seed, so it is at most any cell "
                "that is over the same seeds"
                + sentences(fewer_seeds(untargeted), attack_notes(untargeted.columns))
                + ".",
                matrix.matrix_static(untargeted),
                [matrix.matrix_interactive(untargeted)],
            )
        )
    if targeted.columns:
        rendered.append(
            RenderedFigure(
                "targeted",
                "Every setting under every targeted attack",
                "t-MAP on test queries in %: how well an attacked query retrieves what carries the "
                "target label. High is bad"
                + sentences(fewer_seeds(targeted), attack_notes(targeted.columns))
                + ".",
                matrix.matrix_static(targeted),
                [matrix.matrix_interactive(targeted)],
            )
        )
    return {figure.name: figure for figure in rendered}


def search_figures(
    results: SearchResults, settings: Sequence[ConfirmedSetting]
) -> dict[str, RenderedFigure]:
    """Figures of one search, by name."""
    curves = learning_curves.learning_curves_data(results)
    searched = parameters.parameters_data(results)
    recall = precision_recall.precision_recall_data(results, settings)
    images = examples.examples_data(results, settings)
    rendered = [
        RenderedFigure(
            "learning_curves",
            "Learning curves",
            "Validation queries under the short attack of the search, after every epoch.",
            learning_curves.learning_curves_static(curves),
            [learning_curves.learning_curves_interactive(curves)],
        ),
        RenderedFigure(
            "parameters",
            "Searched parameters",
            "Completed explore trials, validation queries under the full protocol; stars are the "
            "paper's default. Trials differ in all parameters at once, so a slope is no proof of "
            "cause.",
            parameters.parameters_static(searched),
            parameters.parameters_interactive(searched),
        ),
        RenderedFigure(
            "precision_recall",
            "Precision and recall on test queries",
            "From distance histograms with ties in random order, averaged over all queries and "
            "seeds. A query without a relevant item counts with precision 0 at every recall, as "
            "its AP of 0 counts in MAP. Recall is of all relevant items of the database. The "
            "attack is the one with the lowest MAP.",
            precision_recall.precision_recall_static(recall),
            precision_recall.precision_recall_interactive(recall),
        ),
        RenderedFigure(
            "examples",
            "Attacked queries and what they retrieve",
            "Top 5 before and after the attack; solid green frames are relevant items, dashed "
            "orange frames irrelevant ones.",
            examples.examples_static(images),
            [],
        ),
    ]
    return {figure.name: figure for figure in rendered}
