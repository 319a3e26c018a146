"""Which settings are trained again under fresh seeds, on test queries."""

from harness.experiment.config import Experiment, Setting
from harness.experiment.settings import paper_defaults, setting_at, undefended


def to_confirm(experiment: Experiment, recommended: list[Setting]) -> list[tuple[str, Setting]]:
    """Recommended settings, the paper's default and the undefended model, with their roles.

    All at the same bit lengths.
    """
    confirm = experiment.confirm
    if confirm.max_configs == 0:
        return []
    settings = [("recommended", setting) for setting in recommended]
    base = experiment.model.bits
    lengths = sorted({setting.model.bits for setting in recommended}) or [base]
    defaults = [setting_at(experiment, point) for point in paper_defaults(experiment)]
    settings += [("default", s) for s in defaults if s.model.bits in lengths]
    if confirm.undefended:
        settings += [
            ("undefended", undefended(setting_at(experiment, {"model.bits": bits})))
            for bits in lengths
        ]
    return settings


def confirmed_settings(experiment: Experiment, candidates: int) -> int:
    """How many settings are confirmed, as far as can be told before there is a recommendation.

    Args:
        experiment: the resolved experiment.
        candidates: sampled settings that could be recommended.
    """
    confirm = experiment.confirm
    if confirm.max_configs == 0:
        return 0
    defaults = min(1, len(paper_defaults(experiment)))
    return min(confirm.max_configs, candidates) + defaults + confirm.undefended
