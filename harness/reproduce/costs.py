"""``saat reproduce --dry-run``: trainings, attacks and device-hours of runs that share them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.experiment.config import TrialConfig
from harness.journal.state import load_state
from harness.options import Options
from harness.reproduce.profile import Profile
from harness.reproduce.reproduce import Planned, begun_runs, planned_runs
from harness.search.plan import fixed_trainings
from harness.session.calibration import Calibration, Rates, Spread, calibrate_all, hours
from harness.session.checks import check_folders
from harness.session.sizes import data_sizes
from harness.session.trial_costs import Passed, TrialCosts
from reports.paper.declared import Item, needed_runs
from saat.work import Work


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
        return hours([self.work], rates)


@dataclass(frozen=True)
class DryRun:
    """What tables and figures would cost.

    Attributes:
        runs: run → its state, and what is left of it, in the order in which they run.
        items: table or figure → what is left of its runs, if nothing else is run before.
        calibration: seconds a forward pass on this device.
        notes: what else to know, in sentences.
    """

    runs: Mapping[str, tuple[str, Cost]]
    items: Mapping[str, Cost]
    calibration: Calibration
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
    shared, of_runs = set(done), dict[str, tuple[str, Cost]]()
    for name, one in planned.items():
        of_runs[name] = one.state, _cost(one, costs[name], shared)
    of_items = {}
    for item in items:
        known, own = set(done), Cost()
        for run in needed_runs([item]):
            if run.name in planned:
                own.add(_cost(planned[run.name], costs[run.name], known))
        of_items[item.name] = own
    examples = {passed: c for one in costs.values() for passed, c in one.examples.items()}
    calibration, notes = calibrate_all(examples, first.resources, say), sizes.notes
    if not calibration.device:
        notes.append("no GPU that torch can use is here, so F alone; --gpus 0 for hours of CPUs")
    learning = sorted({name for one in costs.values() for name in one.learning})
    if learning:
        notes.append(f"not counted: what {', '.join(learning)} learn before they attack")
    return DryRun(of_runs, of_items, calibration, notes)


def _done(profile: Profile, options: Options) -> set[str]:
    """Keys of what the finished trials of all runs of the profile have trained and attacked."""
    known: set[str] = set()
    for name, run_dir in begun_runs(profile, options.runs_dir).items():
        _, state = load_state(run_dir)
        for record in state.completed:
            known.update(_keys(name, record.config, record.spec.seed))
    return known


def _cost(planned: Planned, costs: TrialCosts, known: set[str]) -> Cost:
    """What is left of a run; adds its keys to those that are ``known``."""
    cost = Cost()
    for _, _, seed, config in fixed_trainings(planned.experiment, "compare"):
        pretrained, trained, attacked = keys = _keys(planned.run.name, config, seed)
        if attacked in known:
            continue
        if pretrained not in known:
            cost.pretrained += 1
            cost.work[costs.pretrained(config)] += costs.pretraining(config)
        passed = costs.passed(config)
        if config.epochs and trained not in known:
            cost.trained += 1
            cost.work[passed] += costs.training(config, 1, config.epochs)
            cost.work[passed] += costs.validation(config) * config.epochs
        cost.attacks += len(planned.run.attacks)
        cost.work[passed] += costs.test
        known.update(keys)
    return cost


def _keys(run: str, config: TrialConfig, seed: int) -> tuple[str, str, str]:
    """What is shared: the pretrained model, its training, and the attacks of a run on that."""
    pretrained = f"{config.model} {config.pretrain} {seed}"
    trained = f"{pretrained} {config.defense}"
    return pretrained, trained, f"{run} {trained}"
