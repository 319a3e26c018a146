"""Which settings are trained again under fresh seeds, on test queries."""

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, paper_defaults, undefended


def to_confirm(
    experiment: Experiment, recommended: list[TrialConfig]
) -> list[tuple[str, TrialConfig]]:
    """Recommended settings, the paper's default and the undefended model, with their roles.

    All have the same bit lengths.
    """
    if experiment.confirm.max_configs == 0:
        return []
    configs = [("recommended", config) for config in recommended]
    lengths = sorted({config.model.bits for config in recommended}) or [experiment.model.bits]
    defaults = [config_at(experiment, point) for point in paper_defaults(experiment)]
    configs += [("default", s) for s in defaults if s.model.bits in lengths]
    if experiment.confirm.undefended:
        configs += [
            ("undefended", undefended(config_at(experiment, {"model.bits": bits})))
            for bits in lengths
        ]
    return configs


def confirmed_configs(experiment: Experiment, candidates: int) -> int:
    """How many settings are confirmed, if some of ``candidates`` sampled ones are recommended."""
    confirm = experiment.confirm
    if confirm.max_configs == 0:
        return 0
    defaults = min(1, len(paper_defaults(experiment)))
    return min(confirm.max_configs, candidates) + defaults + confirm.undefended
