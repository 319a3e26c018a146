"""What one trial asks of its node."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.experiment.sections import Section, parse_number

_LEAST = 1e-4  # of a GPU; Ray counts in ten-thousandths

_Gpus = Annotated[
    Annotated[float, Field(ge=0, le=1024)] | Literal["auto"], BeforeValidator(parse_number)
]


class ResourcesSection(Section):
    """CPUs and GPUs of a trial; ``auto`` GPUs are settled by :mod:`harness.executors.packing`."""

    cpus_per_trial: int = Field(1, ge=1, le=1024)
    gpus_per_trial: _Gpus = 0.0

    @model_validator(mode="after")
    def _possible_gpus(self) -> "ResourcesSection":
        gpus = self.gpus_per_trial
        if gpus == "auto":
            return self
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("gpus_per_trial: a fraction up to 1, or a whole number")
        if 0 < gpus < _LEAST:
            raise ValueError(f"gpus_per_trial: {gpus:g}: at least {_LEAST:g}, or 0")
        return self

    @property
    def gpus(self) -> float:
        """GPUs of one trial in numbers; a whole one where ``auto`` is not settled yet."""
        return 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial
