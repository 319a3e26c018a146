"""The identity of a protocol: what makes two numbers comparable."""

from collections.abc import Mapping
from typing import Any

from harness.catalogue import catalogue
from harness.experiment.config import Experiment, digest

# Old journals store no versions. Each was written with one of these sets of versions above 1.
_NOT_STORED: tuple[Mapping[str, int], ...] = ({"hag": 2, "sdha": 2, "sdha_targeted": 2}, {})


def changed_versions(experiment: Experiment) -> dict[str, int]:
    """Formulas of an experiment's protocol whose version is above 1: name → version."""
    versions = _protocol_versions(experiment)
    return {name: version for name, version in versions.items() if version > 1}


def _protocol_versions(experiment: Experiment) -> dict[str, int]:
    """As :func:`saat.versions.protocol_versions`, but read from the catalogue."""
    known = catalogue()
    own = {name: known.attacks[name].usable().version for name in experiment.evaluation.attacks}
    return own | known.batteries[experiment.confirm.battery].usable()


def protocol_hash(
    experiment: Experiment, data_fingerprint: str, versions: Mapping[str, int] | None = None
) -> str:
    """SHA-256 of what makes numbers comparable; see :func:`hash_of_protocol`.

    ``versions`` are those above 1; None stands for those of this release.
    """
    changed = changed_versions(experiment) if versions is None else versions
    evaluation = experiment.evaluation.model_dump()
    return hash_of_protocol(data_fingerprint, evaluation, experiment.confirm.battery, changed)


def hash_of_protocol(
    data_fingerprint: str,
    evaluation: Mapping[str, Any],
    battery: str,
    versions: Mapping[str, int],
) -> str:
    """SHA-256 of the data, the evaluation, the battery and the versions of their formulas.

    ``versions`` are those above 1. Version 1 is left out, so the hash stays the same when a
    formula is added, or as long as it does not change.
    """
    # Every number of the versions without the key is in fp32.
    whole = {k: v for k, v in evaluation.items() if (k, v) != ("precision", "fp32")}
    protocol = [data_fingerprint, whole, battery]
    return digest([*protocol, dict(versions)] if versions else protocol)


def validation_hash(experiment: Experiment, rows: int) -> str:
    """What makes the numbers of two epochs comparable besides the protocol.

    ``rows`` are those of the database that validation queries search, or a part of it.
    """
    validation = experiment.validation
    # Journals of versions whose files named the one attack have it in theirs. They have neither
    # database nor every: what those versions did is left out.
    content = {"attack": "mainstay", **validation.model_dump(exclude={"database", "every"})}
    if validation.database != "all":
        content["database"] = validation.part_of(rows)
    if validation.every != 1:
        content["every"] = validation.every
    return digest(content)


def stored_versions(experiment: Experiment, started: Mapping[str, Any]) -> dict[str, int] | None:
    """Versions above 1 of the formulas that measured a run: name → version.

    ``started`` is the first event of its journal. None where the run began with another protocol
    than the experiment's.
    """
    used = _protocol_versions(experiment)
    candidates = _NOT_STORED
    if started.get("versions") is not None:
        candidates, used = (started["versions"],), started["versions"]
    for candidate in candidates:
        versions = {name: version for name, version in candidate.items() if name in used}
        hashed = protocol_hash(experiment, started["data_fingerprint"], versions)
        if hashed == started["protocol_hash"]:
            return versions
    return None


def version_note(experiment: Experiment, started: Mapping[str, Any]) -> str:
    """A note that names the formulas whose versions changed since a run; empty if none did."""
    then, now = stored_versions(experiment, started), changed_versions(experiment)
    if then is None or then == now:
        return ""
    changes = ", ".join(
        f"{name} was version {then.get(name, 1)}, is {now.get(name, 1)}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name, 1) != now.get(name, 1)
    )
    return f"measured by another version of saat-harness, not comparable with this one: {changes}"
