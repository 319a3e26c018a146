"""The stages of a trial, built from its setting."""

from collections.abc import Callable
from pathlib import Path

from harness.experiment.config import TrialConfig
from harness.experiment.sections import to_settings
from harness.files import existing_parent
from saat import stages
from saat.data import RetrievalData
from saat.data_source import default_cache_dir
from saat.defenses import DEFENSES
from saat.hashing import HashingObjective
from saat.models import HashingNetwork
from saat.pretrain import Pretraining, PretrainSettings
from saat.training import Training

# Section ``data`` as JSON, folder of the cache → the data set that this process has open.
OPENED: dict[tuple[str, str | None], RetrievalData] = {}


def trial_data(
    config: TrialConfig, cache_dir: str | None, progress: Callable[[int, int], None] | None = None
) -> RetrievalData:
    """The data set of a setting, opened once per process.

    ``progress`` is called with (images decoded, images in all) if they are not in the node's cache.

    Raises:
        InputError: the data are missing, or the cache folder would be below a file.
    """
    key = (config.data.model_dump_json(), cache_dir)
    if key not in OPENED:
        OPENED.clear()  # a worker of a search needs one data set
        cache = Path(cache_dir) if cache_dir else None
        existing_parent(cache or default_cache_dir(), "--cache-dir" if cache else "SAAT_CACHE")
        options = {**config.data.model_dump(), "cache_dir": cache, "progress": progress}
        name, path, root = (options.pop(key) for key in ("name", "path", "root"))
        OPENED[key] = (
            RetrievalData.from_folder(path, **options)
            if path is not None
            else RetrievalData.named(name, root=root, **options)
        )
    return OPENED[key]


def build_models(
    config: TrialConfig, data: RetrievalData, seed: int, device: str
) -> tuple[HashingNetwork, HashingObjective]:
    """Network and objective before pretraining, on ``device``."""
    model = config.model
    return stages.build_models(
        data, model.backbone, model.weights, model.hashing, model.bits, seed, device
    )


def pretraining(
    config: TrialConfig,
    network: HashingNetwork,
    objective: HashingObjective,
    data: RetrievalData,
    seed: int,
) -> Pretraining:
    """The pretraining of a setting."""
    settings = to_settings(PretrainSettings, config.pretrain)
    return Pretraining(network, objective, data, settings, seed)


def adversarial_training(
    config: TrialConfig,
    network: HashingNetwork,
    objective: HashingObjective,
    data: RetrievalData,
    seed: int,
) -> Training | None:
    """The training of a setting's defense, from a pretrained network; None for method ``none``."""
    if config.method == "none":
        return None
    entry = DEFENSES[config.method]
    settings = to_settings(entry.settings, config.defense)
    return entry.training(network, objective, data, settings, seed)
