"""How far results spread: over searches, over training seeds, over the strength of the attack.

Figures without panels are left out of a report. A note then says why.
"""

from collections.abc import Sequence

from reports.confirmed import ConfirmedConfig
from reports.figures.attainment import attainment_chart, seed_fronts, seeds_chart
from reports.figures.report_figure import ReportFigure
from reports.figures.strengths import strengths_chart
from reports.objectives import names_listed
from reports.results import SearchResults
from reports.strengths import StrengthCurve, strength_curves
from reports.wording import capital, percent
from saat.wording import counted

_SURFACES = (
    "A point is reached by a front that has a point at least as good in both. The thick line is "
    "the median: the border of what at least half of them reach. Between the dotted line, the "
    "best, and the dashed one, the worst, it depends on the {}"
)


def overlaid_spread(searches: Sequence[SearchResults]) -> list[ReportFigure]:
    """The attainment surfaces over searches, drawn from three searches of two objectives on."""
    names = names_listed(searches[0].aims.names)
    return [
        ReportFigure(
            "attainment",
            "How far the searches agree",
            f"Fronts of {len(searches)} searches in {names} on validation queries. "
            + _SURFACES.format("search. Letters name the recommended settings."),
            attainment_chart(searches),
        )
    ]


def search_spread(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> list[ReportFigure]:
    """The attainment surfaces over seeds, and MAP over ε and iterations, of one search."""
    fronts, curves = seed_fronts(configs), strength_curves(results, configs)
    return [
        ReportFigure(
            "seeds",
            "How far the training seeds agree",
            f"The recommended settings on test queries under {len(fronts)} training seeds, one "
            "front a seed; letters stand at the means. " + _SURFACES.format("seed."),
            seeds_chart(configs),
        ),
        ReportFigure(
            "strengths",
            "Robustness over the strength of the attack",
            f"{_strength_text(curves.eps)}MAP of confirmed settings under one attack of the "
            "battery, the one that its gates repeat, on the test queries that they draw"
            f"{_sample([*curves.eps, *curves.steps])}: at other radii, and with other numbers "
            "of iterations. Areas are 95 % intervals over seeds and queries. Other attacks "
            "count in no point, so the worst case of a setting is lower.",
            strengths_chart(results, configs, curves),
        ),
    ]


def spread_notes(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> list[str]:
    """Why a search has no robustness curves, in a sentence."""
    tested = [str(trial) for config in configs for trial in config.trials["trial_id"]]
    if not tested or any(results.strengths(trial) is not None for trial in tested):
        return []
    if results.section("confirm").get("battery") == "none":
        return [
            "No robustness curves over ε and iterations: confirm.battery is none, and the gates "
            "of a battery measure them."
        ]
    return [
        "No robustness curves over ε and iterations: the trials kept none, as those of earlier "
        "versions did not."
    ]


def _strength_text(curves: Sequence[StrengthCurve]) -> str:
    """What the strongest radius leaves of the first setting, in a sentence."""
    if not curves:
        return ""
    first = curves[0]
    return (
        f"{capital(first.label)}: MAP is {percent(first.maps[0].mean)} at ε = 0 and "
        f"{percent(first.maps[-1].mean)} at the largest radius. "
    )


def _sample(curves: Sequence[StrengthCurve]) -> str:
    return f" ({counted(curves[0].queries, 'query', 'queries')} a seed)" if curves else ""
