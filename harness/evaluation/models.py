"""Models to evaluate: one that this project trained, or a user's own network."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from harness.experiment.config import TrialConfig
from harness.experiment.configs import config_at, with_sections
from harness.experiment.file import load_experiment
from harness.experiment.section import parsed
from harness.experiment.sections import EvaluationSection
from harness.experiment.yaml_file import read_yaml
from harness.journal.journal import first_search_id
from harness.named_paths import check_named, setting_paths
from harness.trial.stages import trial_data
from reports.run_folder import is_trial_id
from saat.data import DATASETS, RetrievalData
from saat.data.label_map import LabelMap, parse_label_map, relabelled
from saat.errors import InputError
from saat.models import check_network
from saat.models.network_check import IMAGES_TRIED, described
from saat.trained_model import TrainedModel, read_trained
from saat.wording import counted


@dataclass(frozen=True)
class Subject:
    """A model, the data it is measured on, and the protocol it brings along."""

    name: str  # in messages: the checkpoint's path, or the factory
    network: nn.Module  # float images in [0, 1] → pre-tanh features, on the CPU
    data: RetrievalData
    evaluation: EvaluationSection


def trained_subject(
    path: Path,
    cache_dir: str | None = None,
    data_path: Path | None = None,
    data_root: Path | None = None,
    allow: Sequence[Path] = (),
) -> Subject:
    """The model of a trial, on the data it was trained with.

    ``path`` is ``model.safetensors`` or its trial's folder. The data may lie elsewhere now
    (:func:`relocated`). Of the paths that the model carries, those
    under ``allow`` may be read besides.

    Raises:
        InputError: no model there, its data are not here, or only the model names them.
    """
    model = read_model(path)
    meta = model.meta
    try:
        config = parsed(TrialConfig, meta["setting"])
        evaluation = parsed(EvaluationSection, meta["evaluation"], "evaluation")
    except InputError as error:
        raise InputError(*(f"{path}: {fault}" for fault in error.faults)) from None
    given = {"data.path": data_path, "data.root": data_root}
    # Only its data: the trained weights replace what model.weights names.
    stored = setting_paths({"data": config.data.model_dump()})
    if carried := [item for item in stored if given[item.key] is None]:
        check_named(str(path), _search_id(path), carried, allow)
    data = trial_data(relocated(config, data_path, data_root), cache_dir)
    if data.fingerprint != meta["data_fingerprint"]:
        trained_on = meta.get("dataset", "unnamed")
        differ = "its images differ" if trained_on == data.label else f"here is {data.label}"
        raise InputError(
            f"{path}: trained on another version of the data set ({trained_on}; {differ})"
        )
    return Subject(str(path), model.network(), data, evaluation)


def relocated(config: TrialConfig, data_path: Path | None, data_root: Path | None) -> TrialConfig:
    """The setting with its data looked for elsewhere; whoever loads them compares fingerprints.

    ``data_path`` is the folder of the lists of a model that was trained on a path, ``data_root``
    contains the folder of the named set of any other one.

    Raises:
        InputError: an option that does not fit the model's data, or no such folder.
    """
    data = config.data
    fitting = "neither --data-path nor --data-root"
    if data.path is not None:
        fitting = "--data-path"
    elif data.name is not None and DATASETS[data.name].folder is not None:
        fitting = "--data-root"
    changes: dict[str, str] = {}
    for key, place in (("path", data_path), ("root", data_root)):
        option = f"--data-{key}"
        if place is None:
            continue
        if option != fitting:
            known = data.name or data.path
            raise InputError(f"{option} {place}: the model's data are {known}; {fitting}")
        if not place.is_dir():
            raise InputError(f"{option} {place}: no such folder")
        changes[key] = str(place.absolute())
    if data.path is not None and data_path is None and not Path(data.path).is_dir():
        raise InputError(f"{data.path}: the model's data are not here; --data-path FOLDER")
    return with_sections(config, {"data": {**data.model_dump(), **changes}})


def _search_id(path: Path) -> str | None:
    """The id of the run in whose folder a model lies; None where it lies in none."""
    folder = path if path.is_dir() else path.parent
    return first_search_id(folder.parent.parent) if is_trial_id(folder.name) else None


def moved_subject(
    path: Path, experiment: Path, label_map: Path | None, cache_dir: str | None = None
) -> tuple[Subject, str]:
    """The model of a trial on other data: trained on A, measured on B.

    The experiment's ``data`` and ``evaluation`` count. ``label_map`` leads from B's classes to
    A's; without one the two sets must have the same classes.

    Returns:
        The subject, and a sentence on what became of B's labels.

    Raises:
        InputError: no model there, or sizes or classes that do not fit.
    """
    model = read_model(path)
    meta = model.meta
    own = parsed(TrialConfig, meta["setting"])
    loaded, _ = load_experiment(experiment)
    size = own.data.image_size
    if loaded.data.image_size != size:
        raise InputError(f"{experiment}: data.image_size: the model was trained with {size}")
    data, sentence = trial_data(config_at(loaded, {}), cache_dir), "labels as they are"
    if label_map is not None:
        data, sentence = relabelled(data, load_label_map(label_map))
    classes = meta.get("classes")
    if classes is not None and data.classes != classes:
        raise InputError(
            f"{experiment}: {counted(data.classes, 'class', 'classes')}; the model was trained "
            f"with {classes}: --label-map FILE says which is which (docs/datasets.md)"
        )
    name = f"{path} on {data.label}"
    return Subject(name, model.network(), data, loaded.evaluation), sentence


def load_label_map(path: Path) -> LabelMap:
    """Read and check a label map file, YAML or JSON (:mod:`saat.data.label_map`)."""
    content = read_yaml(path, "a label map", scale=10)  # which may name thousands of classes
    return parse_label_map(content, str(path))


def factory_subject(
    factory: str, weights: Path | None, experiment: Path, cache_dir: str | None = None
) -> Subject:
    """A user's own network, on data and under the protocol of an experiment file.

    Args:
        factory: ``package.module:function``; called with the path of the weights (None without),
            it returns a module: float images (B, 3, H, W) in [0, 1] → pre-tanh features (B, K).
        weights: a file.
        experiment: a file whose ``data`` and ``evaluation`` count.
        cache_dir: of decoded images.

    Raises:
        InputError: the factory cannot be had, or does not give such a module.
    """
    if weights is not None and not weights.is_file():
        raise InputError(f"--weights {weights}: no such file")
    loaded, _ = load_experiment(experiment)
    make = _import(factory)
    data = trial_data(config_at(loaded, {}), cache_dir)
    try:
        network = make(weights)
    except (Exception, SystemExit) as error:
        raise InputError(f"--factory {factory}: {described(error)}") from error
    if not isinstance(network, nn.Module):
        given = type(network).__name__
        raise InputError(f"--factory {factory}: gave a {given}, not a torch.nn.Module")
    check_network(network, data.batch(data.test[:IMAGES_TRIED]), f"--factory {factory}")
    return Subject(factory, network, data, loaded.evaluation)


def _import(factory: str) -> Any:
    module, colon, function = factory.partition(":")
    if not colon or not module or not function:
        raise InputError(f"--factory {factory}: write package.module:function")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a file beside the user is a module, as for python -m
    try:
        return getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # a script may end the program when it is imported
        raise InputError(f"--factory {factory}: {described(error)}") from error


def read_model(path: Path) -> TrainedModel:
    """A trained model that says how it was trained; ``path`` is the file or its trial's folder."""
    model = read_trained(path)
    if not {"setting", "seed", "evaluation", "data_fingerprint"} <= set(model.meta):
        raise InputError(f"{model.path}: a checkpoint of another kind; a trial's model.safetensors")
    return model


def source_networks(paths: Sequence[Path], image_size: int) -> dict[str, nn.Module]:
    """Trained models whose attacked images are tried on another one, by their folders' names.

    Raises:
        InputError: no model there, of another image size, or two of one name.
    """
    out: dict[str, nn.Module] = {}
    for path in paths:
        model = read_model(path)
        size = parsed(TrialConfig, model.meta["setting"]).data.image_size
        name = (path if path.is_dir() else path.parent).resolve().name
        if size != image_size:
            raise InputError(f"--transfer-from {path}: of {size}-pixel images, not {image_size}")
        if name in out:
            raise InputError(f"--transfer-from {path}: {name} is named twice")
        out[name] = model.network()
    return out
