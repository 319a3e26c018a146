"""``saat search --dry-run``: what a search would do, and about how long that takes.

Nothing is started and nothing is written to the folder of runs (images are decoded into their
cache, as ``saat search`` would).
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from harness.experiment.config import Experiment
from harness.experiment.confirmation import confirmed_settings
from harness.experiment.settings import longest_training, paper_defaults, setting_at
from harness.experiment.space import Dimension, points
from harness.journal.state import config_hash, protocol_hash
from harness.options import Options
from harness.search.schedulers import SCHEDULERS
from harness.search.search import MOST_POINTS
from harness.search.warm_start import warm_start
from harness.session.calibration import Costs, calibrate
from harness.session.checks import check_folders, check_tracking, device_of_run, open_data
from saat.wording import counted


@dataclass(frozen=True)
class Plan:
    """The size of a search, as far as can be told before it.

    Attributes:
        defaults: the paper's default settings that are to run.
        sampled: settings to sample.
        known: trials of earlier searches.
        confirmed: settings to confirm, each under all seeds.
        seeds: confirm seeds.
        explore_pretrained: pretrained models that exploring needs, at most.
        confirm_pretrained: the same for confirming.
        rungs: (epochs, sampled trials expected to go on after them), by the rung rule.
        margin: MAP that a trial may lack to go on whatever its rank.
    """

    defaults: int
    sampled: int
    known: int
    confirmed: int
    seeds: int
    explore_pretrained: int
    confirm_pretrained: int
    rungs: list[tuple[int, int]]
    margin: float

    @property
    def explored(self) -> int:
        """Explore trials."""
        return self.defaults + self.sampled


def dry_run(experiment: Experiment, options: Options, say: Callable[[str], None]) -> str:
    """The plan of a search and its estimated cost, in lines for a person.

    Raises:
        InputError: what ``saat search`` itself would refuse about file, data and folders.
    """
    check_folders(options)
    check_tracking(options.tracking_uri, options.runs_dir)
    device = device_of_run(experiment, options)
    here = device if torch.cuda.is_available() else "cpu"  # the workers may have what we have not
    data = open_data(experiment, options.cache_dir, say)
    protocol = protocol_hash(experiment, data.fingerprint)
    warm = warm_start(experiment, options.runs_dir, data.fingerprint, protocol)
    known = {entry["config_hash"] for entry in warm["trials"]}
    plan = plan_of(experiment, data.fingerprint, known)
    say("calibration: a second of pretraining and a second of adversarial training")
    threads = torch.get_num_threads()
    # As a trial has them, where this machine has as many.
    torch.set_num_threads(min(experiment.resources.cpus_per_trial, os.cpu_count() or 1))
    try:
        costs = calibrate(experiment, data, here)
    finally:
        torch.set_num_threads(threads)
    lines = [*_described(experiment, plan), *_estimated(experiment, plan, costs)]
    if refused := _refused_here(experiment, options):
        lines.append(f"saat search would refuse it on this machine: {refused}")
    if here != device:
        lines.append("this machine has no GPU that torch can use: hours of its CPU, not of a GPU")
    return "\n".join(lines)


def _refused_here(experiment: Experiment, options: Options) -> str:
    """What a Ray that is started on this machine would have against the request of a trial."""
    if options.executor != "ray" or options.address:
        return ""
    from harness.executors.ray_cluster import request_error, resources_here, trials_on

    cpus, gpus = experiment.resources.cpus_per_trial, experiment.resources.gpus
    here = resources_here()
    if trials_on(here, cpus, gpus):
        return ""
    return str(request_error(cpus, gpus, [here]))


def plan_of(experiment: Experiment, fingerprint: str, known: set[str]) -> Plan:
    """How many trials, pretrained models and survivors; ``known`` settings are not run again."""
    search, confirm = experiment.search, experiment.confirm
    settings = [setting_at(experiment, point) for point in paper_defaults(experiment)]
    hashes = {config_hash(setting, fingerprint) for setting in settings}
    defaults = len(hashes - known)
    sampled = _sampled(experiment, fingerprint, known | hashes)
    confirmed = confirmed_settings(experiment, sampled + len(known))
    models = math.prod(
        _values(dimension)
        for key, dimension in experiment.space.items()
        if key.startswith(("model.", "pretrain."))
    )
    rungs = _rungs(experiment, sampled)
    return Plan(
        defaults,
        sampled,
        len(known),
        confirmed,
        confirm.seeds,
        int(min(models, defaults + sampled)),
        int(min(models, confirmed)) * confirm.seeds,
        rungs,
        (search.margin or 0.0) if rungs else 0.0,
    )


def _values(dimension: Dimension) -> float:
    """Distinct values of a dimension; infinite where a range has no grid."""
    if dimension.choice is not None:
        return len(dimension.choice)
    low, high = dimension.bounds
    step = dimension.step or (1 if dimension.int_range is not None else None)
    if low == high or step is None:
        return 1 if low == high else math.inf
    return math.floor((high - low) / step + 1e-9) + 1


def _sampled(experiment: Experiment, fingerprint: str, known: set[str]) -> int:
    """How many settings can be sampled: no more than a space without a continuous range has.

    Args:
        experiment: the resolved experiment.
        fingerprint: of the data.
        known: hashes of settings that are not sampled again.
    """
    wanted = experiment.search.num_samples
    size = math.prod(map(_values, experiment.space.values()))
    if size - len(known) >= wanted or size > MOST_POINTS:  # more are never gone through
        return wanted
    base = setting_at(experiment, {}).flat()
    settings = (setting_at(experiment, point) for point in points(experiment.space, base))
    return min(wanted, len({config_hash(s, fingerprint) for s in settings} - known))


def _rungs(experiment: Experiment, sampled: int) -> list[tuple[int, int]]:
    """Epochs grace · ηᵏ below the last epoch; of n sampled trials at a rung about n / η go on."""
    search, epochs = experiment.search, longest_training(experiment)
    rungs, left = [], sampled
    for epoch in SCHEDULERS[search.scheduler].for_search(search, epochs).rungs(epochs):
        if left >= search.reduction_factor:  # fewer at a rung go on, all of them
            left //= search.reduction_factor
        rungs.append((epoch, left))
    return rungs


def _described(experiment: Experiment, plan: Plan) -> list[str]:
    lines = [f"{experiment.name}: a dry run; nothing is started, nothing written", "space:"]
    for key, dimension in experiment.space.items():
        parts = dimension.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        lines.append(f"  {key}: " + ", ".join(f"{name} {value}" for name, value in parts.items()))
    lines[-1] += "" if experiment.space else " nothing is searched"
    known = f", {plan.known} known from earlier searches" if plan.known else ""
    lines += [
        f"explore: {counted(plan.explored, 'trial')} ({plan.defaults} of the paper's default, "
        f"{plan.sampled} sampled){known}",
        f"confirm: about {counted(plan.confirmed * plan.seeds, 'trial')} "
        f"({counted(plan.confirmed, 'setting')} under {counted(plan.seeds, 'seed')})",
        f"pretrained models: at most {plan.explore_pretrained} to explore and "
        f"{plan.confirm_pretrained} to confirm",
    ]
    count = plan.sampled
    for epoch, left in plan.rungs:
        of_them = counted(count, "sampled trial")
        lines.append(f"rung at epoch {epoch}: of {of_them} about {left} will go on")
        count = left
    if plan.margin:
        lines.append(f"more go on if they lie within {plan.margin:g} MAP of the front of a rung")
    if not plan.rungs:
        lines.append("rungs: none; every trial runs to its end")
    return lines


def device_seconds(experiment: Experiment, plan: Plan, costs: Costs) -> tuple[float, float, float]:
    """Estimated seconds of one device: pretraining, exploring, confirming."""
    epochs = longest_training(experiment)
    pretrain = int(experiment.pretrain.model_dump()["epochs"]) * costs.pretrain_epoch
    epoch = costs.defense_epoch + costs.validation
    done, at, count = 0, 0, plan.sampled  # epochs of sampled trials
    for rung, left in plan.rungs:
        done, at, count = done + count * (rung - at), rung, left
    done += count * (epochs - at)
    explore = (done + plan.defaults * epochs) * epoch + (count + plan.defaults) * costs.reattack
    defended = plan.confirmed - (experiment.confirm.undefended and plan.confirmed > 0)
    confirm = plan.seeds * (defended * epochs * epoch + plan.confirmed * costs.test)
    return pretrain * (plan.explore_pretrained + plan.confirm_pretrained), explore, confirm


def _estimated(experiment: Experiment, plan: Plan, costs: Costs) -> list[str]:
    stages = [part / 3600 for part in device_seconds(experiment, plan, costs)]
    pretraining, exploring, confirming = stages
    battery = experiment.confirm.battery
    without = "" if battery == "none" else f", without the {battery} battery of the confirmation"
    return [
        f"one epoch here: {costs.pretrain_epoch:.3g} s of pretraining, {costs.defense_epoch:.3g} s "
        f"of adversarial training and about {costs.validation:.3g} s of validation",
        f"about {sum(stages):.2g} device-hours: {pretraining:.2g} pretraining, {exploring:.2g} "
        f"exploring, {confirming:.2g} confirming{without}",
        "an estimate from two seconds on this machine at the file's own setting; other settings, "
        "devices and trials that share one change it",
    ]
