"""The schema of a leaderboard's entry, validated whenever one is written or read.

Fractions are stored, not percent. What was not measured is null. An entry carries all that its
protocol hash is made of, so the hash is computed again whenever the entry is read.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.experiment.section import Section
from harness.journal.protocol_identity import hash_of_protocol
from harness.leaderboard.values import (
    Count,
    Fraction,
    Link,
    Name,
    Seconds,
    Sha256,
    Text,
    Value,
)
from saat.errors import InputError
from saat.wording import counted

_ROUNDING = 1e-9  # by which two means of the same values may differ


class Estimate(Section):
    """A MAP on test queries: mean over seeds, 95 % interval over seeds and queries."""

    mean: Fraction
    low: Fraction | None
    high: Fraction | None
    std: Fraction | None  # over seeds; null for one seed

    @model_validator(mode="after")
    def _in_order(self) -> "Estimate":
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high: both or none of them")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low: {self.low:g}: at most high, {self.high:g}")
        return self


class Reference(Section):
    """The publication of a defense."""

    paper: Text
    year: int = Field(ge=1950, le=2200)
    link: Link | None = None


class Defense(Section):
    """The defense that was trained; ``none`` is the pretrained model itself."""

    method: Name
    description: Text
    reference: Reference | None


class Model(Section):
    """The network; ``weights`` is a word or the name of a file, never a path."""

    backbone: Name
    weights: Text
    hashing: Name
    bits: Count


class Data(Section):
    """The data set, its split and its size."""

    label: Text  # with the split, such as flickr25k/prosgan
    fingerprint: Text
    image_size: Count
    classes: Count | None
    database: Count | None
    queries: Count  # test queries


class ThreatModel(Section):
    """The ball that attacked queries stay in; the attacker knows network, codes and labels."""

    norm: Literal["linf", "l2", "l1"]
    eps: float = Field(ge=0)


class Protocol(Section):
    """What makes two entries comparable, besides the fingerprint of the data."""

    hash: Sha256
    evaluation: dict[Name, Any]  # section evaluation of the experiment, as it was resolved
    battery: Name
    battery_version: Count | None  # null where no battery was run
    versions: dict[Name, Count]  # of formulas whose version is above 1


class Measured(Section):
    """The verified numbers: recomputed from stored images before the entry was written."""

    clean_map: Estimate
    robust_map: Estimate
    attacks: dict[Name, Fraction]  # MAP under each untargeted attack
    targeted: dict[Name, Fraction]  # t-MAP under each targeted attack
    chance_map: Fraction | None
    floor_map: Fraction | None
    seeds: list[int] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_the_worst_case(self) -> "Measured":
        # Attacks bound nothing here: some take a sample of the queries, or some seeds alone.
        clean, robust = self.clean_map.mean, self.robust_map.mean
        if robust > clean + _ROUNDING:
            raise ValueError(f"robust_map.mean: {robust:g}: at most clean_map.mean, {clean:g}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one of them is there twice")
        return self


class Claimed(Section):
    """What a paper reports for the same defense; nobody verified it here."""

    clean_map: Fraction | None = None
    robust_map: Fraction | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Claimed":
        if self.clean_map is None and self.robust_map is None:
            raise ValueError("clean_map or robust_map is needed")
        return self


class Gates(Section):
    """What the reliability gates of the battery said, and what is doubtful without a battery."""

    checked: bool
    failed: list[Text]  # GATE: reason, a line for each
    doubts: list[Text]  # MAPs at chance, dead gradients
    unreliable: bool

    @model_validator(mode="after")
    def _follows(self) -> "Gates":
        if self.failed and not self.unreliable:
            raise ValueError(f"unreliable: {counted(len(self.failed), 'gate')} failed; true")
        if self.failed and not self.checked:
            raise ValueError("checked: gates failed; true")
        return self


class Cost(Section):
    """What training and attacks of one seed took, on average."""

    seconds: Seconds
    epochs: Annotated[int, Field(ge=0)]
    device: Text
    gpu: Text | None


class Verification(Section):
    """How ``saat verify`` ended: no number differed, or there would be no entry."""

    numbers: Count  # of the whole run
    trials: list[Text] = Field(min_length=1)  # of this setting
    release: Text  # version of saat-harness that verified


class Origin(Section):
    """Where the numbers come from."""

    run: Text
    role: Text
    command: Text
    release: Text | None  # version of saat-harness that measured
    revision: Text | None  # of git
    finished: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]  # UTC


class Entry(Section):
    """One confirmed setting of one run."""

    schema_version: Literal[1]
    name: Text
    defense: Defense
    model: Model
    data: Data
    threat_model: ThreatModel
    protocol: Protocol
    config_hash: Sha256
    setting: dict[Name, Value | list[Value]]
    measured: Measured
    claimed: Claimed | None
    gates: Gates
    cost: Cost
    verification: Verification
    origin: Origin

    @model_validator(mode="after")
    def _is_of_its_protocol(self) -> "Entry":
        protocol = self.protocol
        found = hash_of_protocol(
            self.data.fingerprint, protocol.evaluation, protocol.battery, protocol.versions
        )
        if found != protocol.hash:
            raise InputError(
                f"protocol.hash: {protocol.hash[:10]}…: not that of data, evaluation, battery and "
                f"versions, {found[:10]}…"
            )
        for key in ("norm", "eps"):
            if getattr(self.threat_model, key) != protocol.evaluation.get(key):
                raise InputError(
                    f"threat_model.{key}: {getattr(self.threat_model, key)}: as in "
                    f"protocol.evaluation, {protocol.evaluation.get(key)}"
                )
        if len(self.verification.trials) != len(self.measured.seeds):
            raise InputError("verification.trials: one for each of measured.seeds")
        return self

    @property
    def board(self) -> str:
        """Name of the folder of its protocol."""
        battery, sha256 = self.protocol.battery, self.protocol.hash
        threat = self.threat_model
        return board_name(self.data.label, threat.norm, threat.eps, battery, sha256)

    @property
    def slug(self) -> str:
        """Name of its file without suffix: one for each setting of a protocol."""
        return f"{_slug(self.defense.method)}-{self.model.bits}-{self.config_hash[:10]}"


def board_name(label: str, norm: str, eps: float, battery: str, sha256: str) -> str:
    """Name of a protocol's folder: data, ball, battery, beginning of the hash."""
    size = f"{eps * 255:.3g}" if norm == "linf" else f"{eps:.3g}"
    return f"{_slug('-'.join((label, norm, size, battery)))[:80]}-{sha256[:8]}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
