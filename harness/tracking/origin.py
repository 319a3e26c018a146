"""Where a search's numbers come from, as MLflow shows it: software, command, data set."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_DIGEST = 12  # characters of a data set's fingerprint; MLflow takes 36 and shows about as many
_SIZES = ("train", "database", "validation", "test", "classes")


def read_origin(run_dir: Path) -> dict[str, Any]:
    """What the run's ``provenance.json`` says; nothing where it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads((run_dir / "provenance.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def source_tags(origin: dict[str, Any]) -> dict[str, str]:
    """Tags that MLflow shows as the source of a run: the command and the git revision."""
    command, revision = origin.get("command"), origin.get("git_revision")
    tags = {"mlflow.source.name": command, "mlflow.source.git.commit": revision}
    if command:
        tags["mlflow.source.type"] = "LOCAL"
    return {key: str(value) for key, value in tags.items() if value}


def version_tags(origin: dict[str, Any]) -> dict[str, str]:
    """Tags ``saat.version.PACKAGE`` of Python and the packages that results depend on."""
    versions = origin.get("versions")
    if not isinstance(versions, dict):
        return {}
    return {f"saat.version.{package}": str(version) for package, version in versions.items()}


def dataset_names(tags: Mapping[str, str]) -> dict[str, str]:
    """Name and digest of the data set that a search's tags name; nothing if they name none."""
    label = tags.get("saat.dataset")
    if not label:
        return {}
    return {"dataset_name": label, "dataset_digest": tags["saat.data_fingerprint"][:_DIGEST]}


def dataset_input(tags: Mapping[str, str], origin: dict[str, Any]) -> "DatasetInput | None":
    """The data set as MLflow lists it with a run; its digest begins the fingerprint."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    names = dataset_names(tags)
    if not names:
        return None
    data = origin.get("data")
    known = data if isinstance(data, dict) else {}
    sizes = {part: known[part] for part in _SIZES if isinstance(known.get(part), int)}
    dataset = Dataset(
        name=names["dataset_name"],
        digest=names["dataset_digest"],
        source_type="saat",
        source=json.dumps({"name": names["dataset_name"]}),
        profile=json.dumps({"fingerprint": tags["saat.data_fingerprint"], **sizes}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training, validation and test")])
