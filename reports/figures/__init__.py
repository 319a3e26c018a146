"""Every figure of a report: a pure function for its data, and the chart that shows them."""

from collections.abc import Sequence

from reports.confirmed import ConfirmedConfig
from reports.figures.ap_per_query import ap_per_query_chart
from reports.figures.chart import Chart
from reports.figures.confirmed import confirmed_chart
from reports.figures.coordinates import coordinates_chart
from reports.figures.cost import cost_chart
from reports.figures.early_stopping import early_stopping_chart
from reports.figures.examples import examples_data, examples_static
from reports.figures.explained import explained_figures, explained_notes
from reports.figures.frontier import frontier_chart
from reports.figures.importance import importance_chart
from reports.figures.learning_curves import learning_curves_chart
from reports.figures.matrix import matrix_chart
from reports.figures.parameters import parameters_chart
from reports.figures.precision_recall import precision_at_chart, precision_recall_chart
from reports.figures.report_figure import ReportFigure, by_name
from reports.figures.spread import overlaid_spread, search_spread, spread_notes
from reports.figures.timeline import stages_chart, timeline_chart
from reports.matrix import matrix_notes, targeted_matrix, untargeted_matrix
from reports.objectives import is_default, label_of, listed, names_listed, reference_text
from reports.results import SearchResults
from reports.stopping import saved_sentence
from reports.wording import capital
from saat.feasibility import Aims

__all__ = ["ReportFigure", "notes", "overlaid_figures", "search_figures"]

# Clean, two attacks and the worst case; such a small table needs no colours.
_FEW = 4


def overlaid_figures(
    searches: Sequence[SearchResults], configs: Sequence[ConfirmedConfig], by: str = ""
) -> dict[str, ReportFigure]:
    """Figures that show all searches of one protocol together, by name.

    The searches have equal objectives, and ``configs`` are the confirmed settings of all of them.
    The values of the searched key ``by`` have fronts of their own; without it, the code lengths do.
    """
    aims = searches[0].aims
    grouped = f"Each value of {by} has a front of its own. " if by else ""
    untargeted, targeted = untargeted_matrix(configs), targeted_matrix(configs)
    rendered = [
        ReportFigure(
            "frontier",
            f"{capital(names_listed(aims.names))} of all explored trials",
            f"Validation queries under the full protocol. {_better(aims)} "
            f"{grouped}Letters name the recommended settings. Crosses are trials that "
            "were stopped early: their last values come from the short attack of the search and "
            "cannot be compared with the points. The axes fit the completed trials; stopped "
            "trials, chance and floor may lie outside.",
            frontier_chart(searches, by),
        ),
        ReportFigure(
            "coordinates",
            "Explored settings on parallel axes",
            "Every line is a setting; it meets each axis at its value, and the axes at the right "
            "are what it reached. Lines of one colour share a front. Grey settings were not "
            "trained to the end, so they have no values at the right.",
            coordinates_chart(searches, by),
        ),
        ReportFigure(
            "confirmed",
            "Confirmed settings on test queries",
            "Bars are 95 % intervals of the mean over training seeds and test queries; faint "
            "points are single seeds.",
            confirmed_chart(configs),
        ),
        ReportFigure(
            "hypervolume",
            "Hypervolume over cost",
            f"{_dominated(aims)}, against the work of all explore trials, stopped and failed ones "
            "included.",
            cost_chart(searches),
        ),
        *overlaid_spread(searches),
        ReportFigure(
            "matrix",
            "Every setting under every attack",
            "MAP on test queries in %, mean over seeds and queries. The worst case takes the "
            "minimum over all columns for every query and seed, so it is at most any cell "
            "that is over the same seeds" + matrix_notes(untargeted) + ".",
            matrix_chart(untargeted) if len(untargeted.columns) > _FEW else Chart(()),
        ),
        ReportFigure(
            "targeted",
            "Every setting under every targeted attack",
            "t-MAP on test queries in %: how well an attacked query retrieves items with the "
            "target label. High is bad" + matrix_notes(targeted) + ".",
            matrix_chart(targeted),
        ),
    ]
    return by_name(rendered)


def _better(aims: Aims) -> str:
    """Sentences on which way is better in the figure of the front, and what shows the front."""
    if len(aims.objectives) == 2:
        x, y = aims.objectives
        ways = f"{'Up' if y.maximise else 'Down'} and to the {'right' if x.maximise else 'left'}"
        return f"{ways} is better; the lines are the Pareto fronts."
    ways = listed(
        [f"{'more' if o.maximise else 'less'} {label_of(o.name)}" for o in aims.objectives]
    )
    return (
        f"Better is {ways}. Every panel has two of the objectives; a ring marks the trials on the "
        "Pareto front of all three, which may seem to be behind others in a panel."
    )


def _dominated(aims: Aims) -> str:
    """What the hypervolume is, and from which reference point it is measured."""
    if is_default(aims):
        return "Area of clean × robust MAP that the completed trials dominate"
    product = " × ".join(label_of(name) for name in aims.names)
    kind = "Area" if len(aims.objectives) == 2 else "Volume"
    return (
        f"{kind} of {product} that the completed trials dominate, up to the reference point "
        f"{reference_text(aims)}"
    )


def search_figures(
    results: SearchResults, configs: Sequence[ConfirmedConfig]
) -> dict[str, ReportFigure]:
    """Figures of one search, by name."""
    rendered = [
        ReportFigure(
            "learning_curves",
            "Learning curves",
            "Validation queries under the short attack of the search, after every epoch that was "
            "validated, in the part of the database that the protocol names. Letters name the "
            "recommended settings. At a rung the scheduler stops trials that are behind; a probe "
            "ends early whatever it reaches, because it only teaches the sampler.",
            learning_curves_chart(results),
        ),
        ReportFigure(
            "early_stopping",
            "What early stopping saved",
            f"{saved_sentence(results)}. The lines say how many explore trials trained each epoch, "
            "and how many would have; what lies between them was saved. Failed and running trials "
            "are left out.",
            early_stopping_chart(results),
        ),
        ReportFigure(
            "timeline",
            "The search over the clock",
            "Every bar is a trial, from its suggestion to its last event, in the colour of its "
            "end. Trials that ran at the same time on a machine have rows of their own. An "
            "interruption of the search is a gap, or lengthens the trials that ran then.",
            timeline_chart(results),
        ),
        ReportFigure(
            "stages",
            "Time of each stage",
            "Seconds of work of all trials of a phase, summed by stage. Stopped trials count "
            "up to their last epoch.",
            stages_chart(results),
        ),
        ReportFigure(
            "parameters",
            "Searched parameters",
            "Completed explore trials, validation queries under the full protocol; stars are the "
            "paper's default, and letters name the recommended settings. Dotted lines are the ends "
            "of the searched range: a front that lies there may go on outside. Trials differ in "
            "all parameters at once, so a slope is no proof of cause.",
            parameters_chart(results),
        ),
        *explained_figures(results),
        ReportFigure(
            "importance",
            "Which parameters matter",
            "PED-ANOVA on completed explore trials, for each objective: how far the places of the "
            "best trials in the range of a parameter differ from those of all trials, as a share "
            "of all parameters. Bars are 80 % intervals over resamples of the trials. A parameter "
            "without importance may be left at the paper's default.",
            importance_chart(results.importances),
        ),
        *search_spread(results, configs),
        ReportFigure(
            "precision_recall",
            "Precision and recall on test queries",
            "From distance histograms with ties in random order, averaged over all queries and "
            "seeds. A query without a relevant item counts with precision 0 at every recall, as "
            "its AP of 0 counts in MAP. Recall is of all relevant items of the database. The "
            "attack is the one with the lowest MAP.",
            precision_recall_chart(results, configs),
        ),
        ReportFigure(
            "precision_at",
            "Precision within the first N items",
            "P@N on test queries from the same histograms and under the same attack, up to the "
            "depth of the protocol's AP.",
            precision_at_chart(results, configs),
        ),
        ReportFigure(
            "ap_per_query",
            "AP of single test queries",
            "Which share of the queries, over all seeds, has at most which AP. A line that rises "
            "early at the left has many queries that retrieve nothing relevant.",
            ap_per_query_chart(configs),
        ),
        ReportFigure(
            "examples",
            "Attacked queries and what they retrieve",
            "Top 5 before and after the attack; solid green frames are relevant items, dashed "
            "orange frames irrelevant ones.",
            examples_static(examples_data(results, configs)),
        ),
    ]
    return by_name(rendered)


def notes(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> list[str]:
    """Which figures a search lacks, and why: a sentence each."""
    return [*explained_notes(results), *spread_notes(results, configs)]
