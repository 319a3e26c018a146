"""``saat search --dry-run``: the size of a search, and about how long it takes.

Nothing is written to the folder of runs; images are decoded into their cache.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from harness.experiment.config import Experiment
from harness.experiment.configs import (
    config_at,
    confirmed_configs,
    longest_training,
    paper_defaults,
)
from harness.experiment.sections import to_settings
from harness.experiment.space import Dimension, points
from harness.journal.protocol import protocol_hash
from harness.journal.state import config_hash
from harness.options import Options
from harness.search.plan import deciding_epochs
from harness.search.schedulers import SCHEDULERS
from harness.search.search import MOST_POINTS
from harness.search.warm_start import warm_start
from harness.session.calibration import Costs, calibrate
from harness.session.checks import check_folders, check_tracking, device_of_run, open_data
from saat.pretrain import PretrainSettings
from saat.wording import counted


@dataclass(frozen=True)
class SearchSize:
    """How much a search will do, as far as is known before it.

    Numbers of pretrained models are the largest that exploring and confirming may need.
    """

    defaults: int  # settings of the paper
    sampled: int  # settings that the sampler will suggest
    known: int  # trials of earlier searches, which do not run again
    confirmed: int  # settings
    explore_pretrained: int
    confirm_pretrained: int
    rungs: list[tuple[int, int]]  # (epoch, number of sampled trials expected to go on after it)

    @property
    def explored(self) -> int:
        """Explore trials."""
        return self.defaults + self.sampled


def dry_run(experiment: Experiment, options: Options, say: Callable[[str], None]) -> str:
    """The size of a search and its estimated cost, as text.

    Raises:
        InputError: what ``saat search`` itself would refuse about file, data and folders.
    """
    check_folders(options)
    check_tracking(options.tracking_uri, options.runs_dir)
    device = device_of_run(experiment, options)
    here = device if torch.cuda.is_available() else "cpu"  # the workers may have GPUs
    data = open_data(experiment, options.cache_dir, say)
    protocol = protocol_hash(experiment, data.fingerprint)
    warm = warm_start(experiment, options.runs_dir, data.fingerprint, protocol)
    known = {entry["config_hash"] for entry in warm["trials"]}
    size = size_of_search(experiment, data.fingerprint, known)
    say("calibration: a second of pretraining and a second of adversarial training")
    threads = torch.get_num_threads()
    # As many as a trial has, or as this machine has.
    torch.set_num_threads(min(experiment.resources.cpus_per_trial, os.cpu_count() or 1))
    try:
        costs = calibrate(experiment, data, here)
    finally:
        torch.set_num_threads(threads)
    lines = [*_described(experiment, size), *_estimated(experiment, size, costs)]
    if refused := _refused_here(experiment, options):
        lines.append(f"saat search would refuse it on this machine: {refused}")
    if here != device:
        lines.append("this machine has no GPU that torch can use: hours of its CPU, not of a GPU")
    return "\n".join(lines)


def _refused_here(experiment: Experiment, options: Options) -> str:
    """Why Ray on this machine would refuse a trial's resources; empty if it would not."""
    if options.executor != "ray" or options.address:
        return ""
    from harness.executors.ray_slots import request_error, resources_here, slots_of_node

    cpus, gpus = experiment.resources.cpus_per_trial, experiment.resources.gpus
    here = resources_here()
    if slots_of_node(here, cpus, gpus):
        return ""
    return str(request_error(cpus, gpus, [here]))


def size_of_search(experiment: Experiment, fingerprint: str, known: set[str]) -> SearchSize:
    """Count trials and pretrained models; settings whose hashes are ``known`` do not run again."""
    configs = [config_at(experiment, point) for point in paper_defaults(experiment)]
    hashes = {config_hash(config, fingerprint) for config in configs}
    defaults = len(hashes - known)
    sampled = _sampled(experiment, fingerprint, known | hashes)
    confirmed = confirmed_configs(experiment, sampled + len(known))
    models = math.prod(
        _count_values(dimension)
        for key, dimension in experiment.space.items()
        if key.startswith(("model.", "pretrain."))
    )
    return SearchSize(
        defaults,
        sampled,
        len(known),
        confirmed,
        explore_pretrained=int(min(models, defaults + sampled)),
        confirm_pretrained=int(min(models, confirmed)) * experiment.confirm.seeds,
        rungs=_rungs(experiment, sampled),
    )


def _count_values(dimension: Dimension) -> float:
    """Number of values of a dimension; infinite for a continuous range."""
    grid = dimension.grid()
    return math.inf if grid is None else len(grid)


def _sampled(experiment: Experiment, fingerprint: str, known: set[str]) -> int:
    """Number of settings to sample; a space without a continuous range may have fewer."""
    wanted = experiment.search.num_samples
    points_in_space = math.prod(map(_count_values, experiment.space.values()))
    # The search never goes through more points than that.
    if points_in_space - len(known) >= wanted or points_in_space > MOST_POINTS:
        return wanted
    base = experiment.config.flat()
    configs = (config_at(experiment, point) for point in points(experiment.space, base))
    return min(wanted, len({config_hash(s, fingerprint) for s in configs} - known))


def _rungs(experiment: Experiment, sampled: int) -> list[tuple[int, int]]:
    """Rungs at the epochs grace · ηᵏ; of n sampled trials at a rung about n / η go on."""
    search, epochs = experiment.search, longest_training(experiment)
    rungs, left = [], sampled
    for epoch in SCHEDULERS[search.scheduler].for_search(search, epochs).rungs(epochs):
        if left >= search.reduction_factor:  # fewer at a rung go on, all of them
            left //= search.reduction_factor
        rungs.append((epoch, left))
    return rungs


def _described(experiment: Experiment, size: SearchSize) -> list[str]:
    lines = [f"{experiment.name}: a dry run; nothing is started, nothing written", "space:"]
    for key, dimension in experiment.space.items():
        parts = dimension.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        lines.append(f"  {key}: " + ", ".join(f"{name} {value}" for name, value in parts.items()))
    lines[-1] += "" if experiment.space else " nothing is searched"
    known = f", {size.known} known from earlier searches" if size.known else ""
    seeds = experiment.confirm.seeds
    lines += [
        f"explore: {counted(size.explored, 'trial')} ({size.defaults} of the paper's default, "
        f"{size.sampled} sampled){known}",
        f"confirm: about {counted(size.confirmed * seeds, 'trial')} "
        f"({counted(size.confirmed, 'setting')} under {counted(seeds, 'seed')})",
        f"pretrained models: at most {size.explore_pretrained} to explore and "
        f"{size.confirm_pretrained} to confirm",
    ]
    count = size.sampled
    for epoch, left in size.rungs:
        of_them = counted(count, "sampled trial")
        lines.append(f"rung at epoch {epoch}: of {of_them} about {left} will go on")
        count = left
    margin = experiment.search.margin
    if margin and size.rungs:
        lines.append(f"more go on if they lie within {margin:g} MAP of the front of a rung")
    if not size.rungs:
        lines.append("rungs: none; every trial runs to its end")
    return lines


def device_seconds(
    experiment: Experiment, size: SearchSize, costs: Costs
) -> tuple[float, float, float]:
    """Estimate the seconds of one device for pretraining, exploring and confirming."""
    epochs = longest_training(experiment)
    pretrain = to_settings(PretrainSettings, experiment.pretrain).epochs * costs.pretrain_epoch
    deciding = deciding_epochs(experiment)
    due = sum(experiment.validation.is_due(n + 1, epochs, deciding) for n in range(epochs))
    epoch = costs.defense_epoch + costs.validation * due / max(epochs, 1)
    done, at, count = 0, 0, size.sampled  # epochs of sampled trials
    for rung, left in size.rungs:
        done, at, count = done + count * (rung - at), rung, left
    done += count * (epochs - at)
    explore = (done + size.defaults * epochs) * epoch + (count + size.defaults) * costs.reattack
    defended = size.confirmed - (experiment.confirm.undefended and size.confirmed > 0)
    confirm = experiment.confirm.seeds * (defended * epochs * epoch + size.confirmed * costs.test)
    return pretrain * (size.explore_pretrained + size.confirm_pretrained), explore, confirm


def _estimated(experiment: Experiment, size: SearchSize, costs: Costs) -> list[str]:
    stages = [part / 3600 for part in device_seconds(experiment, size, costs)]
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
