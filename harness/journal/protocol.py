"""The identity of a protocol: what makes two numbers comparable."""

from collections.abc import Mapping
from typing import Any

from harness.catalogue import catalogue
from harness.experiment.config import Experiment, digest

# Versions above 1 of the releases that did not store them: the last one, and those before it.
_NOT_STORED: tuple[Mapping[str, int], ...] = ({"hag": 2, "sdha": 2, "sdha_targeted": 2}, {})


def changed_versions(experiment: Experiment) -> dict[str, int]:
    """Formulas of an experiment's protocol that are not the first ones: name → version above 1."""
    versions = _protocol_versions(experiment)
    return {name: version for name, version in versions.items() if version > 1}


def _protocol_versions(experiment: Experiment) -> dict[str, int]:
    """See :func:`saat.versions.protocol_versions`, of which the catalogue has the parts."""
    known = catalogue()
    own = {name: known.attacks[name].usable().version for name in experiment.evaluation.attacks}
    return own | known.batteries[experiment.confirm.battery].usable()


def protocol_hash(
    experiment: Experiment, data_fingerprint: str, versions: Mapping[str, int] | None = None
) -> str:
    """SHA-256 of the data, of how models are attacked and measured, and of the formulas for it.

    ``versions`` are those above 1, of this release where None. First versions are left out, so that
    a formula which is new, or has never changed, leaves the hash as it is.
    """
    evaluation = experiment.evaluation.model_dump()
    if evaluation["precision"] == "fp32":  # as every number of the versions without the key
        del evaluation["precision"]
    protocol = [data_fingerprint, evaluation, experiment.confirm.battery]
    changed = changed_versions(experiment) if versions is None else dict(versions)
    return digest([*protocol, changed] if changed else protocol)


def validation_hash(experiment: Experiment) -> str:
    """What makes the numbers of two epochs comparable besides the protocol."""
    # Journals of versions whose files named the one attack have it in theirs.
    return digest({"attack": "mainstay", **experiment.validation.model_dump()})


def stored_versions(experiment: Experiment, started: Mapping[str, Any]) -> dict[str, int] | None:
    """Versions above 1 by which a run was measured, by name.

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
    """A note if a run was measured by other versions than these: which; empty if it was not."""
    then, now = stored_versions(experiment, started), changed_versions(experiment)
    if then is None or then == now:
        return ""
    changes = ", ".join(
        f"{name} was version {then.get(name, 1)}, is {now.get(name, 1)}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name, 1) != now.get(name, 1)
    )
    return f"measured by another version of saat-harness, not comparable with this one: {changes}"
