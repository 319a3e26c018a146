"""Names of runs: what a trial is, and the values in which it differs from the others."""

import re
from numbers import Real
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import varied_keys
from harness.journal.state import TrialRecord
from reports.wording import is_pixel_parameter, parameter_symbol

# What a name tells where nothing is searched or compared.
_USUAL = ("model.bits", "defense.lambda", "defense.mu", "defense.eps", "defense.steps")
_ROLES = {"train": "trained"}
_BITS = "model.bits"


def run_name(experiment: Experiment, record: TrialRecord, letter: str = "") -> str:
    """The name of a trial's run: ``#3 · 32 bits · λ 4.07 · ε 10.9 · T 8``.

    A tested setting has its role and its seed, and in place of the role the ``letter`` that it has
    in the report, if any: ``A · 32 bits · λ 4.07 · ε 10.9 · T 8 · seed 2``. ε is in 255ths.
    """
    spec = record.spec
    first = letter or _ROLES.get(spec.role, spec.role)
    if spec.role == "sampled":
        first = f"#{spec.number}"
    seed = "" if spec.phase == "explore" else f"seed {spec.seed}"
    return " · ".join(filter(None, (first, setting_text(experiment, record), seed)))


def setting_text(experiment: Experiment, record: TrialRecord) -> str:
    """The values of a setting in which it differs from others: ``32 bits · λ 4.07 · T 8``."""
    values = record.config.flat()
    keys = varied_keys(experiment) or list(_USUAL)
    return " · ".join(_value_text(key, values[key]) for key in keys if values.get(key) is not None)


def _value_text(key: str, value: Any) -> str:
    if key == _BITS:
        return f"{value} bits"
    symbol = parameter_symbol(key)
    name = symbol if symbol != key else key.rpartition(".")[2]
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"{name} {value}"
    number = float(value) * (255 if is_pixel_parameter(key) else 1)
    return f"{name} {_short(number)}"


def _short(number: float) -> str:
    """A number with three digits, and exponents without zeros: ``1e-5``."""
    return re.sub(r"e([-+])0*", lambda found: f"e{found[1].strip('+')}", f"{number:.3g}")
