"""Published settings, and the settings that are confirmed."""

from typing import Any

from harness.catalogue import catalogue
from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, undefended
from harness.experiment.sections import defense_model
from harness.experiment.strata import strata


def paper_defaults(experiment: Experiment) -> list[dict[str, Any]]:
    """The published setting of the experiment's defense as search points, one per bit length.

    Other fields stay as in the experiment, whether or not the space contains the point. With
    ``search.each`` every value of the key has its own published settings, one value after another.
    """
    return [
        {**stratum.fixed, **point}
        for stratum in strata(experiment)
        for point in _published_points(stratum.experiment)
    ]


def _published_points(experiment: Experiment) -> list[dict[str, Any]]:
    method = experiment.config.method
    if method == "none":
        return []
    section = defense_model(method)()
    values = section.model_dump()
    published = catalogue().defenses[method].usable().published
    point = {f"defense.{key}": values[key] for key in published}
    bits = experiment.space.get("model.bits")
    if bits is None:
        return [point]
    return [{"model.bits": value, **point} for value in sorted(set(bits.samples()))]


def published_configs(experiment: Experiment) -> list[TrialConfig]:
    """The settings of :func:`paper_defaults`."""
    return [config_at(experiment, point) for point in paper_defaults(experiment)]


def first_published(experiment: Experiment) -> list[TrialConfig]:
    """The published setting of each value of ``search.each``; of several lengths the shortest."""
    return [
        config_at(stratum.experiment, points[0])
        for stratum in strata(experiment)
        if (points := _published_points(stratum.experiment))
    ]


def to_confirm(
    experiment: Experiment, recommended: list[TrialConfig]
) -> list[tuple[str, TrialConfig]]:
    """Recommended settings, the paper's defaults and the undefended model, with their roles.

    All have the same bit lengths. A setting comes once, in the first of its roles.
    """
    if experiment.confirm.max_configs == 0:
        return []
    configs = [("recommended", config) for config in recommended]
    lengths = sorted({config.model.bits for config in recommended}) or [experiment.model.bits]
    defaults = published_configs(experiment)
    configs += [("default", s) for s in defaults if s.model.bits in lengths]
    if experiment.confirm.undefended:
        configs += [
            ("undefended", undefended(config_at(experiment, {"model.bits": bits})))
            for bits in lengths
        ]
    return [
        (role, config)
        for position, (role, config) in enumerate(configs)
        if not any(config == earlier for _, earlier in configs[:position])
    ]


def confirmed_configs(experiment: Experiment, candidates: int) -> int:
    """How many settings are confirmed, if some of ``candidates`` sampled ones are recommended.

    ``confirm.max_configs`` of each value of ``search.each`` are.
    """
    confirm = experiment.confirm
    if confirm.max_configs == 0:
        return 0
    most = confirm.max_configs * len(strata(experiment))
    return min(most, candidates) + len(first_published(experiment)) + confirm.undefended
