"""Views of MLflow's runs page: its columns, order and charts for one search.

MLflow keeps a view that a user saves as a tag of the experiment, and lists it under *Views*. The
address of a page names one with ``viewStateShareKey``. The tag holds JSON: a name, two times, and
the state of the page as JSON within a string. A page leaves out keys that it does not know.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import headline_metrics, varied_keys
from reports.tracked_runs import TRAINING
from saat.metrics import OBJECTIVES

_TAG = "mlflow.sharedViewState."
LANDING = "saat-all"
COMPARISON = "saat-tested"
EXPLORED = "saat-explored"
FRONT = "saat-front"
ON_FRONT = "saat.on_front"  # tag of the runs of that view
_VIEWS = {
    LANDING: ("All trials", ""),
    EXPLORED: ("Explored settings", "tags.`saat.phase` = 'explore'"),
    FRONT: ("The front", f"tags.`{ON_FRONT}` = 'yes'"),
    COMPARISON: ("Tested settings", "tags.`saat.phase` != 'explore'"),
    "saat-search": ("The search itself", "tags.`saat.trial_id` = 'search'"),
}
_SECTION = "saat-trade-off"
_ENDS = ("status", "warnings")
# Pixels of the columns that are always there, by their ids in MLflow's table.
_WIDTHS = {"attributes.`Run Name`": 310, "attributes.`Created`": 120}


def view_tags(experiment: Experiment) -> dict[str, str]:
    """Tags of an experiment that make the saved views of a search."""
    return {
        f"{_TAG}{key}": _envelope(name, _state(experiment, only))
        for key, (name, only) in _VIEWS.items()
    }


def runs_page(experiment_id: str, view: str = "", charts: bool = False) -> str:
    """The part of an address behind the server's: the runs of an experiment, in a view."""
    shown = f"&viewStateShareKey={view}" if view else ""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"#/experiments/{experiment_id}/runs?{TRAINING}{shown}{mode}"


def search_links(experiment_id: str, has_front: bool) -> dict[str, str]:
    """Links of a search's description; that of the front once exploring is done."""
    links = {
        "trials": runs_page(experiment_id, LANDING),
        "comparison": runs_page(experiment_id, COMPARISON, charts=True),
    }
    if has_front:
        links["front"] = runs_page(experiment_id, FRONT, charts=True)
    return links


def has_view(tags: Mapping[str, str], view: str) -> bool:
    """Whether an experiment with such tags has the view."""
    return f"{_TAG}{view}" in tags


def _envelope(name: str, state: dict[str, Any]) -> str:
    # Times are the same whenever it is written: writing it again changes nothing.
    return json.dumps(
        {"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)},
        ensure_ascii=False,
    )


def _state(experiment: Experiment, only: str) -> dict[str, Any]:
    metrics, keys = headline_metrics(experiment), varied_keys(experiment)
    values = [f"metrics.`{name}`" for name in metrics]
    params = [f"params.`{key}`" for key in (*keys, "seed")]
    what, how = ([f"tags.`saat.{n}`" for n in names] for names in (("role", "phase"), _ENDS))
    columns = [*values, *what, *params, *how]
    return {
        "searchFilter": only,
        "orderByKey": f"metrics.`{metrics[1]}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": [*_WIDTHS, *columns],
        "columnWidths": _WIDTHS | dict.fromkeys(columns, 100),
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": _charts(metrics, keys),
        "compareRunSections": _sections(),
        "isAccordionReordered": True,
    }


def _charts(metrics: Sequence[str], keys: list[str]) -> list[dict[str, Any]]:
    """The trade-off as a scatter, every setting as a line, and validation by epoch."""
    first, second = metrics[:2]
    scatter = {
        "type": "SCATTER",
        "xaxis": {"key": first, "type": "METRIC"},
        "yaxis": {"key": second, "type": "METRIC"},
        "runsCountToCompare": 1000,
        "displayName": f"{second} over {first}",
    }
    parallel = {
        "type": "PARALLEL",
        "selectedParams": keys,
        "selectedMetrics": list(metrics),
        "showAllRuns": False,
        "displayName": "Settings and what they reach",
    }
    lines = [
        {
            "type": "LINE",
            "metricKey": f"val/{name}",
            "selectedMetricKeys": [f"val/{name}"],
            "displayName": f"val/{name} by epoch",
            "lineSmoothness": 0,
            "scaleType": "linear",
            "xAxisScaleType": "linear",
            "xAxisKey": "step",
            "selectedXAxisMetricKey": "",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
        for name in OBJECTIVES
    ]
    shared = {"metricSectionId": _SECTION, "deleted": False, "isGenerated": False}
    charts: list[dict[str, Any]] = [scatter, parallel, *lines]
    return [{"uuid": f"saat-{i}", **chart, **shared} for i, chart in enumerate(charts)]


def _sections() -> list[dict[str, Any]]:
    """Sections of the charts page: ours, then those that MLflow makes of every metric."""
    named = {_SECTION: "Trade-off", "saat-model": "Model metrics", "saat-system": "System metrics"}
    return [
        {
            "uuid": uuid,
            "name": name,
            "display": uuid == _SECTION,
            "isReordered": uuid == _SECTION,
            "deleted": False,
            "isGenerated": uuid != _SECTION,
            "columns": 2 if uuid == _SECTION else 3,
        }
        for uuid, name in named.items()
    ]
