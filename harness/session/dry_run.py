"""``--dry-run``: what a search, a training or a comparison would do and cost.

Nothing is written to the folder of runs; images are decoded into their cache.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from harness.experiment.config import Experiment
from harness.journal.protocol_identity import protocol_hash
from harness.options import Options
from harness.search.plan import Plan, fixed_trainings
from harness.search.warm_start import warm_start
from harness.session.calibration import Rates, Spread, calibrate, seconds
from harness.session.checks import check_folders, check_tracking, device_of_run
from harness.session.data_sizes import data_or_sizes
from harness.session.disk import DiskItem, Space, disk_needs, spaces
from harness.session.search_size import SearchSize, size_of_search
from harness.session.stage_costs import (
    Costs,
    Stage,
    searched_configs,
    stages_given,
    stages_of_search,
)
from harness.session.trial_costs import Case, Passed, TrialCosts
from saat.errors import InputError
from saat.wording import counted


@dataclass(frozen=True)
class DryRun:
    """What a run would do and cost.

    Attributes:
        experiment: of the run.
        plan: what would be run.
        size: of a search.
        stages: its stages, in order.
        device: what was measured: ``cpu``, or the name of a GPU; empty where the run asks for a
            GPU and there is none here.
        measured_s: seconds that measuring took.
        rates: what images pass → seconds a forward pass; empty without a device.
        at_once: trials at once here; None on a cluster that was not asked.
        disk: what would be written.
        spaces: the file systems for it.
        notes: what else to know, in sentences.
    """

    experiment: Experiment
    plan: Plan
    size: SearchSize | None
    stages: Sequence[Stage]
    device: str
    measured_s: float
    rates: Mapping[Passed, Rates]
    at_once: int | None
    disk: Sequence[DiskItem]
    spaces: Sequence[Space]
    notes: Sequence[str]

    def hours(self, costs: Costs) -> Spread | None:
        """Device-hours of some costs: quick, median and slow; None without a device."""
        if not self.device:
            return None
        each = [(0.0, 0.0, 0.0), *(seconds(work, self.rates[p]) for p, work in costs.items())]
        low, middle, high = (sum(column) / 3600 for column in zip(*each, strict=True))
        return low, middle, high

    def total_hours(self, case: Case = "expected") -> Spread | None:
        """Device-hours of all stages."""
        each = [self.hours(stage.costs[case]) for stage in self.stages]
        known = [spread for spread in each if spread is not None]
        if not self.device:
            return None
        low, middle, high = (sum(column) for column in zip((0.0, 0.0, 0.0), *known, strict=True))
        return low, middle, high

    @property
    def wall_hours(self) -> float | None:
        """Hours by the clock, if as many trials run at once as fit; None where not known.

        Trials that share a GPU share its time.
        """
        if self.at_once is None or not self.device:
            return None
        share = min(1.0, self.experiment.resources.gpus or 1.0)
        total = 0.0
        for phase in dict.fromkeys(stage.phase for stage in self.stages):
            of_phase = [stage for stage in self.stages if stage.phase == phase]
            trials = max((s.count for s in of_phase if s.unit == "trial"), default=1.0)
            slots = max(1.0, min(self.at_once, trials) * share)
            hours = [self.hours(stage.costs["expected"]) for stage in of_phase]
            total += sum(spread[1] for spread in hours if spread) / slots
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
    data, sizes = data_or_sizes(experiment, options.cache_dir, say)
    notes = [f"{sizes.missing.split(';')[0]}; counted with the published lists"] * bool(
        sizes.missing
    )
    fingerprint, known = (data.fingerprint if data else ""), set[str]()
    if plan == "search" and experiment.search.warm_start:
        if data is None:
            notes.append("search.warm_start: not looked at without the data")
        else:
            protocol = protocol_hash(experiment, fingerprint)
            warm = warm_start(experiment, options.runs_dir, fingerprint, protocol)
            known = {entry["config_hash"] for entry in warm["trials"]}
    costs = TrialCosts(experiment, sizes)
    size = size_of_search(experiment, fingerprint, known) if plan == "search" else None
    if size is None:
        stages = stages_given(experiment, plan, costs)
        configs = [training.config for training in fixed_trainings(experiment, plan)]
    else:
        stages = stages_of_search(experiment, size, costs)
        configs = searched_configs(experiment)
    device, began = _device(experiment), time.monotonic()
    rates = _measured(experiment, costs, stages, device, say) if device else {}
    at_once = _at_once(experiment, options)
    disk = disk_needs(experiment, configs, stages, sizes, at_once or 1, options)
    return DryRun(
        experiment,
        plan,
        size,
        stages,
        torch.cuda.get_device_name() if device == "cuda" else device,
        time.monotonic() - began,
        rates,
        at_once,
        disk,
        spaces(disk),
        [*notes, *_notes(experiment, plan, options, costs, device)],
    )


def _device(experiment: Experiment) -> str:
    """Where the costs can be measured; empty if not here."""
    if not experiment.resources.gpus:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else ""


def _measured(
    experiment: Experiment,
    costs: TrialCosts,
    stages: Sequence[Stage],
    device: str,
    say: Callable[[str], None],
) -> dict[Passed, Rates]:
    """Calibrate everything that images pass, with as many threads as a trial has."""
    passed = {p: costs.examples[p] for stage in stages for of in stage.costs.values() for p in of}
    say(f"calibration: some seconds on {device} for {counted(len(passed), 'network')}")
    threads = torch.get_num_threads()
    torch.set_num_threads(min(experiment.resources.cpus_per_trial, os.cpu_count() or 1))
    try:
        return {key: calibrate(config, device) for key, config in passed.items()}
    finally:
        torch.set_num_threads(threads)


def _at_once(experiment: Experiment, options: Options) -> int | None:
    """Trials that run at once on this machine, or as many as the file says on a cluster."""
    wanted = experiment.search.max_concurrent
    if options.executor == "inline":
        return 1
    if options.address:
        return None if wanted == "auto" else wanted
    from harness.executors.ray_slots import resources_here, slots_of_node

    resources = experiment.resources
    fitting = slots_of_node(resources_here(), resources.cpus_per_trial, resources.gpus)
    return max(1, fitting if wanted == "auto" else min(wanted, fitting))


def _notes(
    experiment: Experiment, plan: Plan, options: Options, costs: TrialCosts, device: str
) -> list[str]:
    notes = []
    if costs.learning:
        notes.append(f"not counted: what {', '.join(costs.learning)} learn before they attack")
    if not device:
        notes.append(
            f"resources.gpus_per_trial: {experiment.resources.gpus_per_trial}: no GPU that torch "
            "can use is here, so F alone, and no hours"
        )
    if refused := _refused_here(experiment, options):
        notes.append(f"saat {plan} would refuse it on this machine: {refused}")
    return notes


def _refused_here(experiment: Experiment, options: Options) -> str:
    """Why this machine would refuse a trial's resources; empty if it would not."""
    try:
        device_of_run(experiment, options)
    except InputError as error:
        return str(error)
    if options.executor != "ray" or options.address:
        return ""
    from harness.executors.ray_slots import request_error, resources_here, slots_of_node

    cpus, gpus = experiment.resources.cpus_per_trial, experiment.resources.gpus
    here = resources_here()
    return "" if slots_of_node(here, cpus, gpus) else str(request_error(cpus, gpus, [here]))
