"""The stages of a trial, built from its setting."""

from collections.abc import Callable
from pathlib import Path

import torch

from harness.experiment.config import Setting
from harness.experiment.sections import to_settings
from harness.files import existing_parent
from saat.data import RetrievalData, load
from saat.data_source import default_cache_dir
from saat.defenses import DEFENSES
from saat.hashing import OBJECTIVES, HashingObjective
from saat.models import HashingNetwork, build_network
from saat.pretrain import Pretraining, PretrainSettings
from saat.training import Training


def trial_data(
    setting: Setting, cache_dir: str | None, progress: Callable[[int, int], None] | None = None
) -> RetrievalData:
    """The data set of a setting, opened once per process.

    Args:
        setting: its ``data`` section counts.
        cache_dir: node-local cache; None for the default.
        progress: called with (images decoded, images in all) if they are not decoded yet.

    Raises:
        InputError: data that are not there, or a cache below a file.
    """
    key = (setting.data.model_dump_json(), cache_dir)
    if key not in _OPENED:
        _OPENED.clear()  # a worker of a search sees one data set
        cache = Path(cache_dir) if cache_dir else None
        existing_parent(cache or default_cache_dir(), "--cache-dir" if cache else "SAAT_CACHE")
        _OPENED[key] = load(**setting.data.model_dump(), cache_dir=cache, progress=progress)
    return _OPENED[key]


_OPENED: dict[tuple[str, str | None], RetrievalData] = {}


def build_models(
    setting: Setting, data: RetrievalData, seed: int, device: str
) -> tuple[HashingNetwork, HashingObjective]:
    """Network and objective before pretraining, on ``device``."""
    model = setting.model
    labels = data.label_tensor(data.train)
    network = build_network(
        model.backbone, model.weights, model.bits, setting.data.image_size, seed
    )
    objective = OBJECTIVES[model.hashing](labels, model.bits, seed)
    return network.to(torch.device(device)), objective.to(torch.device(device))


def pretraining(
    setting: Setting,
    network: HashingNetwork,
    objective: HashingObjective,
    data: RetrievalData,
    seed: int,
) -> Pretraining:
    """The pretraining of a setting."""
    settings = to_settings(PretrainSettings, setting.pretrain)
    return Pretraining(network, objective, data, settings, seed)


def adversarial_training(
    setting: Setting,
    network: HashingNetwork,
    objective: HashingObjective,
    data: RetrievalData,
    seed: int,
) -> Training | None:
    """The training of a setting's defense, from a pretrained network; None for method ``none``."""
    method = setting.defense.model_dump()["method"]
    if method == "none":
        return None
    entry = DEFENSES[method]
    settings = to_settings(entry.settings, setting.defense)
    return entry.training(network, objective, data, settings, seed)
