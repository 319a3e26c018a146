"""``--dry-run``: what a search, a training or a comparison would do and cost.

Nothing is written to the folder of runs; images are decoded into their cache.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.experiment.config import Experiment
from harness.journal.protocol_identity import protocol_hash
from harness.options import Options
from harness.search.plan import Plan, fixed_trainings
from harness.search.warm_start import warm_start
from harness.session.calibration import Calibration, Spread, calibrate_all, hours
from harness.session.checks import check_folders, check_tracking, device_of_run, notes_of_search
from harness.session.disk import DiskItem, disk_needs
from harness.session.sizes import SearchSize, data_sizes, size_of_search
from harness.session.stage_costs import (
    Costs,
    Stage,
    searched_configs,
    stages_given,
    stages_of_search,
)
from harness.session.trial_costs import Case, TrialCosts
from saat.errors import InputError


@dataclass(frozen=True)
class DryRun:
    """What a run would do and cost."""

    experiment: Experiment
    plan: Plan
    size: SearchSize | None  # of a search
    stages: Sequence[Stage]  # in order
    measured_s: float  # what measuring took
    calibration: Calibration
    at_once: int | None  # trials at once here; None on a cluster that was not asked
    disk: Sequence[DiskItem]  # what would be written
    notes: Sequence[str]  # what else to know, in sentences

    def hours(self, *costs: Costs) -> Spread | None:
        """Device-hours of all these costs; None without a device."""
        return hours(costs, self.calibration.rates)

    def total_hours(self, case: Case = "expected") -> Spread | None:
        """Device-hours of all stages."""
        return self.hours(*(stage.costs[case] for stage in self.stages))

    @property
    def wall_hours(self) -> float | None:
        """Hours by the clock, if as many trials run at once as fit; None where not known.

        Trials that share a GPU share its time.
        """
        if self.at_once is None:
            return None
        share, total = min(1.0, self.experiment.resources.gpus or 1.0), 0.0
        for _, phase in groupby(self.stages, lambda stage: stage.phase):
            of_phase = list(phase)
            spread = self.hours(*(stage.costs["expected"] for stage in of_phase))
            if spread is None:
                return None
            trials = max(stage.count for stage in of_phase if stage.unit == "trial")
            total += float(spread[1]) / max(1.0, min(self.at_once, trials) * share)
        return total


def dry_run(
    experiment: Experiment, plan: Plan, options: Options, say: Callable[[str], None]
) -> DryRun:
    """Count and measure what a run would cost.

    Raises:
        InputError: what the run itself would refuse about file, data and folders.
    """
    check_folders(options)
    check_tracking(options.tracking_uri, options.runs_dir)
    sizes, known, notes = data_sizes(experiment, options.cache_dir, say), set[str](), list[str]()
    notes += sizes.notes
    notes += notes_of_search(experiment) if plan == "search" else []
    if plan == "search" and experiment.search.warm_start:
        if sizes.missing:
            notes.append("search.warm_start: not looked at without the data")
        else:
            protocol = protocol_hash(experiment, sizes.fingerprint)
            warm = warm_start(experiment, options.runs_dir, sizes.fingerprint, protocol)
            known = {entry["config_hash"] for entry in warm["trials"]}
    costs, size = TrialCosts(experiment, sizes), None
    if plan == "search":
        size = size_of_search(experiment, sizes.fingerprint, known)
        stages, configs = stages_of_search(experiment, size, costs), searched_configs(experiment)
    else:
        stages = stages_given(experiment, plan, costs)
        configs = [training.config for training in fixed_trainings(experiment, plan)]
    if costs.learning:
        notes.append(f"not counted: what {', '.join(costs.learning)} learn before they attack")
    began = time.monotonic()
    calibration = calibrate_all(costs.examples, experiment.resources, say)
    measured_s = time.monotonic() - began
    if not calibration.device:
        notes.append(
            f"resources.gpus_per_trial: {experiment.resources.gpus_per_trial}: no GPU that torch "
            "can use is here, so F alone, and no hours"
        )
    at_once, refused = _slots_here(experiment, options)
    if refused:
        notes.append(f"saat {plan} would refuse it on this machine: {refused}")
    return DryRun(
        experiment,
        plan,
        size,
        stages,
        measured_s,
        calibration,
        at_once,
        disk_needs(experiment, configs, stages, sizes, at_once or 1, options),
        notes,
    )


def _slots_here(experiment: Experiment, options: Options) -> tuple[int | None, str]:
    """Trials that run at once on this machine, or as many as the file says on a cluster.

    With them, why this machine would refuse a trial; empty if it would not.
    """
    wanted, resources, refused = experiment.search.max_concurrent, experiment.resources, ""
    try:
        device_of_run(experiment, options)
    except InputError as error:
        refused = str(error)
    if options.executor == "inline":
        return 1, refused
    if options.address:
        return None if wanted == "auto" else wanted, refused
    from harness.executors.ray_slots import request_error, resources_here, slots_of_node

    cpus, gpus, here = resources.cpus_per_trial, resources.gpus, resources_here()
    fitting = slots_of_node(here, cpus, gpus)
    if not fitting:
        refused = refused or str(request_error(cpus, gpus, [here]))
    return max(1, fitting if wanted == "auto" else min(wanted, fitting)), refused
