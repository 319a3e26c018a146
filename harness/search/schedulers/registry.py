"""Schedulers by their name in ``search.scheduler``; none is imported before it is asked for."""

from typing import TYPE_CHECKING

from saat.registry import Registry, first_line, subclass_of

if TYPE_CHECKING:
    from harness.search.schedulers.interface import Scheduler

SCHEDULERS: "Registry[type[Scheduler]]" = Registry(
    "scheduler",
    "saat.schedulers",
    {
        "pareto_asha": "harness.search.schedulers.pareto_asha:ParetoSuccessiveHalving",
        "asha": "harness.search.schedulers.asha:ScalarSuccessiveHalving",
        "none": "harness.search.schedulers.none:NeverStop",
    },
    problem=subclass_of("harness.search.schedulers.interface:Scheduler"),
    describe=first_line,
)
