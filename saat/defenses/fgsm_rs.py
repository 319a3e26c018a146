"""FGSM-RS: adversarial training by one step from a random start (Wong, Rice and Kolter, ICLR 2020).

"Fast is better than free: Revisiting adversarial training", arXiv:2001.03994. The paper classifies;
here the attack and the losses are SAAT's.
"""

from dataclasses import dataclass
from typing import Literal

from saat.defenses.saat import SaatSettings, SaatTraining
from saat.settings import option

# Of ε; the paper's step, which reaches the edge of the ball from most starts.
_STEP = 1.25


@dataclass(frozen=True)
class FgsmRsSettings(SaatSettings):
    """SAAT's settings with an inner attack of one step."""

    steps: int = option(1, ge=1, le=1000, help="inner iterations T; FGSM has one")
    step_size: float | Literal["auto"] = option(
        "auto", ge=1e-6, le=1, help="inner step η, fraction of 1, or auto = 1.25·ε"
    )

    @property
    def inner_step(self) -> float:
        """η in numbers."""
        return _STEP * self.eps if self.step_size == "auto" else self.step_size


class FgsmRsTraining(SaatTraining):
    """:class:`SaatTraining` with another inner attack."""

    stage = "fgsm_rs"
    settings: FgsmRsSettings
