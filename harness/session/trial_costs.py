"""What the stages of one trial cost in forward passes (F)."""

from functools import cached_property
from typing import Literal, NamedTuple, get_args

from torch import nn

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import undefended
from harness.experiment.protocols import full_protocol, validation_protocol
from harness.experiment.sections import to_settings
from harness.search.plan import deciding_epochs
from harness.session.sizes import DataSizes
from harness.trial.attempt import TRANSFERRING
from saat.attacks import Attack
from saat.battery import BATTERIES
from saat.costs import attacks_work, battery_work, victim_work
from saat.defenses import DEFENSES, defended_network
from saat.models import HashingNetwork, network_structure
from saat.optimiser_settings import OptimiserSettings
from saat.pretrain import PretrainSettings
from saat.protocol import Protocol
from saat.rectifiers import has_rectifiers
from saat.threat_model import ThreatModel
from saat.training import Training
from saat.work import Work

# How a cost is counted: between what bounds, see harness.session.stage_costs.Stage.
Case = Literal["least", "expected", "most"]
CASES: tuple[Case, ...] = get_args(Case)


class Passed(NamedTuple):
    """What images pass: a backbone, from scratch or not, and a defense that wraps it, or none."""

    backbone: str
    from_scratch: bool
    wrapped: str = "none"


class TrialCosts:
    """Work of the stages of an experiment's trials, on data of given sizes."""

    def __init__(self, experiment: Experiment, sizes: DataSizes) -> None:
        # A setting for everything that images were found to pass.
        self.examples: dict[Passed, TrialConfig] = {}
        self._experiment = experiment
        self._sizes = sizes
        self._full = full_protocol(experiment.evaluation)
        self._wraps: dict[Passed, bool] = {}

    @cached_property
    def learning(self) -> list[str]:
        """Attacks of the protocol that train networks of their own, which is not counted."""
        kinds = {name: type(attack) for name, attack in self._full.attacks.items()}
        return [name for name, kind in kinds.items() if kind.fit is not Attack.fit]

    def passed(self, config: TrialConfig) -> Passed:
        """What is attacked in the end."""
        wrapped = self.pretrained(config)._replace(wrapped=config.method)
        if wrapped not in self._wraps:
            self._wraps[wrapped] = type(deployed(config)) is not HashingNetwork
        if not self._wraps[wrapped]:
            return self.pretrained(config)
        self.examples.setdefault(wrapped, config)
        return wrapped

    def pretrained(self, config: TrialConfig) -> Passed:
        """What is pretrained."""
        bare = Passed(config.model.backbone, config.model.weights == "none")
        self.examples.setdefault(bare, undefended(config))
        return bare

    def pretraining(self, config: TrialConfig) -> Work:
        """A pretrained model."""
        settings: PretrainSettings = to_settings(PretrainSettings, config.pretrain)
        return (settings.start_work + settings.epoch_work * settings.epochs) * self._sizes.train

    def training(self, config: TrialConfig, begun: float, epochs: float) -> Work:
        """A defense that is begun so often, with so many epochs in all."""
        if config.method == "none":
            return Work()
        entry = DEFENSES[config.method]
        settings: OptimiserSettings = to_settings(entry.settings, config.defense)
        return (settings.start_work * begun + settings.epoch_work * epochs) * self._sizes.train

    def validation(self, config: TrialConfig) -> Work:
        """The short attack after an epoch, of which ``validation.every`` may leave out some."""
        experiment, sizes, section = self._experiment, self._sizes, self._experiment.validation
        rows = sizes.validation_database
        part = section.part_of(rows)
        train = float(sizes.train)
        if section.database != "all":
            train = (
                0.0 if self._keeps_codes(config) else train - sizes.train_in_database * part / rows
            )
        short = validation_protocol(section, experiment.evaluation, rows)
        queries = min(section.queries, sizes.validation)
        due = [section.is_due(n + 1, config.epochs, self._deciding) for n in range(config.epochs)]
        work = self._measured(short, round(train), part, queries, stored=False)
        return work * (sum(due) / max(1, config.epochs))

    def _keeps_codes(self, config: TrialConfig) -> bool:
        """Whether validation gets the codes of the training set from the training."""
        if config.method == "none":
            return False
        settings = to_settings(DEFENSES[config.method].settings, config.defense)
        return _kind(config).keeps_codes(settings)

    @cached_property
    def _deciding(self) -> tuple[int, ...]:
        return deciding_epochs(self._experiment)

    @cached_property
    def reattack(self) -> Work:
        """The full protocol on validation queries."""
        sizes = self._sizes
        return self._measured(self._full, sizes.train, sizes.validation_database, sizes.validation)

    @cached_property
    def test(self) -> Work:
        """The full protocol on test queries, without a battery."""
        sizes = self._sizes
        return self._measured(self._full, sizes.train, sizes.database, sizes.test)

    def battery(self, config: TrialConfig, case: Case = "expected") -> Work:
        """The battery on test queries, as if it left nothing out.

        ``least``: one that prunes leaves out whatever it can after its sample. ``most``: attacks
        by gradients run twice, as on a network whose rectifiers hide gradients, if it has any.
        """
        name, sizes = self._experiment.confirm.battery, self._sizes
        if name == "none":
            return Work()
        sources = int(name in TRANSFERRING and config.method != "none")
        again = case == "most" and has_rectifiers(structure(config))
        battery, queries = BATTERIES[name], sizes.test
        if case == "least" and battery.pruning is not None:
            queries = min(queries, battery.pruning.queries)
        encoded = victim_work(sizes.train, sizes.database, sizes.test) * sources
        ball = ThreatModel(self._full.eps, self._full.norm)
        return encoded + battery_work(battery, ball, queries, sources, again)

    def _measured(
        self, protocol: Protocol, train: int, database: int, queries: int, stored: bool = True
    ) -> Work:
        ball = ThreatModel(protocol.eps, protocol.norm)
        encoded = victim_work(train, database, queries)
        return encoded + attacks_work(protocol.attacks, ball, queries, stored)


def structure(config: TrialConfig) -> HashingNetwork:
    """The network of a setting, without any values."""
    model = config.model
    return network_structure(model.backbone, model.weights, model.bits)


def deployed(config: TrialConfig) -> nn.Module:
    """What is attacked in the end, without any values."""
    return defended_network(config.method, structure(config), config.defense.model_dump())


def _kind(config: TrialConfig) -> type[Training]:
    """The class of a defense's training; that of one made by a function is not known."""
    made_by = DEFENSES[config.method].training
    known = isinstance(made_by, type) and issubclass(made_by, Training)
    return made_by if known else Training  # type: ignore[return-value]
