"""Schedulers by their name in ``search.scheduler``; none is imported before it is asked for."""

from typing import TYPE_CHECKING, Any

from saat.registry import Registry, first_line, subclass_of

if TYPE_CHECKING:
    from harness.search.schedulers.interface import Scheduler


def _problem(entry: Any) -> str | None:
    from harness.search.schedulers.interface import Scheduler

    return subclass_of(Scheduler)(entry)


SCHEDULERS: "Registry[type[Scheduler]]" = Registry(
    "scheduler",
    "saat.schedulers",
    {
        "pareto_asha": "harness.search.schedulers.pareto_asha:ParetoSuccessiveHalving",
        "asha": "harness.search.schedulers.asha:ScalarSuccessiveHalving",
        "none": "harness.search.schedulers.none:NeverStop",
    },
    problem=_problem,
    describe=first_line,
)
