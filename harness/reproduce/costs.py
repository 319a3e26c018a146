"""``saat reproduce --dry-run``: trainings, attacks and device-hours of runs that share them."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from harness.experiment.config import TrialConfig
from harness.journal.state import load_state
from harness.options import Options
from harness.reproduce.profile import Profile
from harness.reproduce.reproduce import Planned, planned_runs
from harness.search.plan import PlannedTraining, fixed_trainings
from harness.session.calibration import Rates, Spread, calibrate, seconds
from harness.session.checks import check_folders
from harness.session.sizes import DataSizes, data_sizes
from harness.session.trial_costs import Passed, TrialCosts
from reports.paper.declared import Item, needed_runs, runs
from saat.wording import counted
from saat.work import Work


@dataclass
class Known:
    """What is trained already, or counted already for another run."""

    pretrained: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    attacked: set[tuple[str, str]] = field(default_factory=set)  # run, training

    def copy(self) -> "Known":
        """The same, to count further."""
        return Known(set(self.pretrained), set(self.trained), set(self.attacked))


@dataclass
class Cost:
    """What is left to do of a run, or of several."""

    pretrained: int = 0
    trained: int = 0
    attacks: int = 0
    work: dict[Passed, Work] = field(default_factory=lambda: defaultdict(Work))

    def add(self, other: "Cost") -> None:
        """Count another one's work too."""
        self.pretrained += other.pretrained
        self.trained += other.trained
        self.attacks += other.attacks
        for passed, work in other.work.items():
            self.work[passed] += work

    @property
    def passes(self) -> float:
        """Forward passes of one image."""
        return sum(work.passes for work in self.work.values())

    def hours(self, rates: Mapping[Passed, Rates]) -> Spread | None:
        """Device-hours: lower quartile, median and upper quartile; None without a device."""
        if not rates:
            return None
        parts = (seconds(work, rates[passed]) for passed, work in self.work.items())
        return sum(parts, np.zeros(3)) / 3600


@dataclass(frozen=True)
class DryRun:
    """What tables and figures would cost.

    Attributes:
        runs: run → its state, and what is left of it, in the order in which they run.
        items: table or figure → what is left of its runs, if nothing else is run before.
        rates: what images pass → seconds a forward pass; empty without a device.
        device: ``cpu``, the name of a GPU, or empty.
        notes: what else to know, in sentences.
    """

    runs: Mapping[str, tuple[str, Cost]]
    items: Mapping[str, Cost]
    rates: Mapping[Passed, Rates]
    device: str
    notes: Sequence[str]

    @property
    def total(self) -> Cost:
        """What all runs need together."""
        total = Cost()
        for _, cost in self.runs.values():
            total.add(cost)
        return total


def dry_run(
    items: Sequence[Item], profile: Profile, options: Options, say: Callable[[str], None]
) -> DryRun:
    """Count what is left to do for some tables and figures, and measure what it takes.

    Raises:
        InputError: what the runs themselves would refuse about data and folders.
    """
    check_folders(options)
    planned = {one.run.name: one for one in planned_runs(items, profile, options.runs_dir)}
    first = next(iter(planned.values())).experiment
    sizes = data_sizes(first, options.cache_dir, say)
    costs = {name: TrialCosts(one.experiment, sizes) for name, one in planned.items()}
    done = _done(profile, options)
    shared, of_runs = done.copy(), dict[str, tuple[str, Cost]]()
    for name, one in planned.items():
        of_runs[name] = one.state, _cost(one, costs[name], shared)
    of_items = {}
    for item in items:
        known, own = done.copy(), Cost()
        for run in needed_runs([item]):
            if run.name in planned:
                own.add(_cost(planned[run.name], costs[run.name], known))
        of_items[item.name] = own
    device, notes = _device(first.resources.gpus, sizes)
    rates: dict[Passed, Rates] = {}
    if device:
        rates = _measured(costs.values(), device, first.resources.cpus_per_trial, say)
    learning = sorted({name for one in costs.values() for name in one.learning})
    if learning:
        notes.append(f"not counted: what {', '.join(learning)} learn before they attack")
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return DryRun(of_runs, of_items, rates, name, notes)


def _done(profile: Profile, options: Options) -> Known:
    """What the finished trials of all runs of the profile have trained."""
    known = Known()
    for name, run in runs().items():
        run_dir = options.runs_dir / profile.run_name(run)
        if not (run_dir / "events.jsonl").exists():
            continue
        _, state = load_state(run_dir)
        for record in state.completed:
            known.pretrained.add(_pretrained_key(record.config, record.spec.seed))
            known.trained.add(_trained_key(record.config, record.spec.seed))
            known.attacked.add((name, _trained_key(record.config, record.spec.seed)))
    return known


def _cost(planned: Planned, costs: TrialCosts, known: Known) -> Cost:
    """What is left of a run; adds it to what is known."""
    cost = Cost()
    for training in fixed_trainings(planned.experiment, "compare"):
        _count(planned, training, costs, known, cost)
    return cost


def _count(
    planned: Planned, training: PlannedTraining, costs: TrialCosts, known: Known, cost: Cost
) -> None:
    config, seed, name = training.config, training.seed, planned.run.name
    trained = _trained_key(config, seed)
    if (name, trained) in known.attacked:
        return
    known.attacked.add((name, trained))
    pretrained = _pretrained_key(config, seed)
    if pretrained not in known.pretrained:
        known.pretrained.add(pretrained)
        cost.pretrained += 1
        cost.work[costs.pretrained(config)] += costs.pretraining(config)
    passed = costs.passed(config)
    if config.epochs and trained not in known.trained:
        known.trained.add(trained)
        cost.trained += 1
        cost.work[passed] += costs.training(config, 1, config.epochs)
        cost.work[passed] += costs.validation(config) * config.epochs
    cost.attacks += len(planned.run.attacks)
    cost.work[passed] += costs.test


def _pretrained_key(config: TrialConfig, seed: int) -> str:
    return f"{config.model} {config.pretrain} {seed}"


def _trained_key(config: TrialConfig, seed: int) -> str:
    return f"{_pretrained_key(config, seed)} {config.defense}"


def _device(gpus: float, sizes: DataSizes) -> tuple[str, list[str]]:
    notes = [f"{sizes.missing.split(';')[0]}; counted with the published lists"]
    notes = notes if sizes.missing else []
    if not gpus:
        return "cpu", notes
    if torch.cuda.is_available():
        return "cuda", notes
    return "", [*notes, "no GPU that torch can use is here, so F alone; --gpus 0 for hours of CPUs"]


def _measured(
    costs: Iterable[TrialCosts], device: str, threads: int, say: Callable[[str], None]
) -> dict[Passed, Rates]:
    examples: dict[Passed, TrialConfig] = {}
    for one in costs:
        examples |= one.examples
    say(f"calibration: some seconds on {device} for {counted(len(examples), 'network')}")
    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, os.cpu_count() or 1))
    try:
        return {passed: calibrate(config, device) for passed, config in examples.items()}
    finally:
        torch.set_num_threads(before)
