"""Checks before a search starts or resumes."""

import re
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch

from harness.executors import Executor
from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.experiment.sections import to_settings
from harness.files import writable_parent
from harness.options import Options
from harness.redaction import public_uri, redacted
from harness.search.plan import deciding_epochs
from harness.tracking.store import check_store, default_uri, sqlite_file
from harness.trial.compute import check_compute
from harness.trial.stages import trial_data
from saat.data import RetrievalData
from saat.errors import InputError, one_line
from saat.metrics import METRICS
from saat.micro_batches import has_batch_norm
from saat.models import build_network, network_structure
from saat.pretrain import PretrainSettings

_SERVERS, _DATA_BASES = ("http", "https"), ("postgresql", "mysql")


def device_of_run(experiment: Experiment, options: Options) -> str:
    """``cuda`` if the experiment asks for GPUs, else ``cpu``.

    Raises:
        InputError: the inline executor has no GPU on this machine, or not what its experiment asks
            of it.
    """
    resources = experiment.resources
    if resources.gpus and options.executor == "inline" and not torch.cuda.is_available():
        raise InputError(
            f"resources.gpus_per_trial: {resources.gpus_per_trial}: this machine has no GPU that "
            "torch can use; set it to 0"
        )
    device = "cuda" if resources.gpus else "cpu"
    if options.executor == "inline":
        check_compute(resources, experiment.evaluation, device)
    return device


def open_data(
    experiment: Experiment, cache_dir: str | None, say: Callable[[str], None]
) -> RetrievalData:
    """Open the data set, and check the protocol against its size; decodes images if necessary."""
    list(METRICS.values())  # a metric that cannot be imported is reported before any work
    if experiment.model.weights != "none":
        _try_weights(experiment, say)
    check_batch_sizes(experiment)
    data = trial_data(experiment.config, cache_dir, _decoding_progress(say))
    if len(data.train) < 2:
        raise InputError(f"data: {data.label} has {len(data.train)} training image; at least 2")
    check_sizes(experiment, len(data.validation_database), len(data.validation))
    return data


def check_sizes(experiment: Experiment, rows: int, queries: int) -> None:
    """Refuse a protocol that asks for more than these database ``rows`` and ``queries``."""
    database, validation = "the database without the validation queries", experiment.validation
    part = validation.database if isinstance(validation.database, int) else 0
    for key, value, most, what in (
        ("evaluation.top_k", experiment.evaluation.top_k, rows, database),
        ("validation.queries", validation.queries, queries, "the number of validation queries"),
        ("validation.database", part, rows, f"{database}; auto or all"),
    ):
        if value > most:
            raise InputError(f"{key}: {value}: at most {most}, {what}")


def check_batch_sizes(experiment: Experiment) -> None:
    """Refuse batches of one image for backbones with batch norm, which needs two."""
    key, space = "pretrain.batch_size", experiment.space
    searched = [name for name in (key, "model.backbone") if name in space]
    values = product(*(space[name].samples() for name in searched))
    points = [dict(zip(searched, chosen, strict=True)) for chosen in values]
    for point in [*points, *experiment.compare.values()]:
        config = config_at(experiment, point)
        model, pretrain = config.model, to_settings(PretrainSettings, config.pretrain)
        if pretrain.epochs < 1 or pretrain.batch_size > 1:
            continue
        if has_batch_norm([network_structure(model.backbone, model.weights, model.bits)]):
            raise InputError(f"{key}: 1: {model.backbone} has batch norm, which needs at least 2")


def _try_weights(experiment: Experiment, say: Callable[[str], None]) -> None:
    """Load the weights, so that a missing download or a wrong file does not fail in a worker."""
    model, size = experiment.model, experiment.data.image_size
    searched = experiment.space.get("model.bits")
    for bits in {model.bits} if searched is None else set(searched.samples()):
        network = build_network(model.backbone, model.weights, bits, size, seed=0)
    imported = "and hash layer" if network.hash_layer_imported else "only; the hash layer is new"
    plain = bool((network.mean == 0).all() and (network.std == 1).all())
    images = "images as they are" if plain else "images are normalised"
    say(f"model.weights {model.weights}: backbone {imported}; {images}")


def _decoding_progress(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """A callback that says every few seconds how many images are decoded."""
    last = time.monotonic()

    def progress(done: int, count: int) -> None:
        nonlocal last
        if time.monotonic() - last > 3:
            last = time.monotonic()
            say(f"decoding images: {done} of {count}")

    return progress


def check_tracking(uri: str | None, runs_dir: Path) -> None:
    """Refuse a tracking URI that cannot work, and a SQLite file that cannot be used.

    Where ``uri`` is None, the store is the embedded one of ``runs_dir``.
    """
    check_uri(uri)
    try:
        check_store(uri or default_uri(runs_dir))
    except InputError as error:
        named = "--runs-dir" if uri is None else "--tracking-uri"
        raise InputError(f"{named}: {error}") from None


def check_uri(uri: str | None) -> None:
    """Refuse addresses that MLflow cannot reach, and secrets, which the journal would store."""
    if uri is None:
        return
    shown = f"--tracking-uri {one_line(public_uri(uri), 200)}"
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()
    try:
        parts = urlsplit(uri)
        port = parts.port  # a wrong one raises here
    except ValueError:
        parts, port = urlsplit(""), None
    in_query = re.search("passw|pwd|secret|token|credential", parts.query, re.IGNORECASE)
    if in_query or (scheme != "sqlite" and "@" in rest):
        raise InputError(
            "--tracking-uri: no user or password in the address; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or the database's own password file"
        )
    if scheme in _SERVERS and re.search("[?#]", rest):
        raise InputError(
            f"{shown}: a server's address has no ? and no #; MLFLOW_TRACKING_TOKEN holds a token"
        )
    if scheme == "sqlite":
        file = sqlite_file(uri)
        if file is None or unquote(str(file)) != str(file):
            raise InputError(
                f"{shown}: must be sqlite:///FILE, a path without %; a database in memory is lost "
                "when its process ends"
            )
    elif scheme in _DATA_BASES and (parts.hostname is not None or port is not None):
        _check_driver(uri, shown)
    elif scheme not in _SERVERS or parts.hostname is None:
        raise InputError(f"{shown}: must be http://…, https://…, sqlite:///… or a database")


def _check_driver(uri: str, shown: str) -> None:
    """Refuse a database whose driver is not installed; neither we nor MLflow install one."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        raise InputError(
            f"{shown}: its driver, the module {error.name}, is not installed"
        ) from None
    except (ArgumentError, ValueError) as error:
        raise InputError(f"{shown}: {one_line(redacted(error), 100)}") from None


def notes_of_search(experiment: Experiment) -> list[str]:
    """Sentences on what a search would do that its file may not have meant."""
    return [*not_validated(experiment), *compared_in_warm_up(experiment)]


def compared_in_warm_up(experiment: Experiment) -> list[str]:
    """A sentence on rungs at which attacks of trainings are not at full size; none without any."""
    key = "defense.eps_warmup"
    searched, given = experiment.space.get(key), experiment.config.flat().get(key, 0)
    longest = max(searched.samples() if searched else [given])
    early = [str(epoch) for epoch in deciding_epochs(experiment) if epoch <= longest]
    if not early:
        return []
    epochs = ("epoch " if len(early) == 1 else "epochs ") + " and ".join(early)
    text = f"{key}: up to {longest}, so ε may still grow at {epochs}, where trials are compared"
    return [f"{text}; from search.grace_period={longest + 1} on it would not"]


def not_validated(experiment: Experiment) -> list[str]:
    """A sentence on the objectives that validation does not measure; none if it measures all."""
    aims = experiment.aims
    labels = [METRICS[name].label for name in aims.names]
    missing = [label for i, label in enumerate(labels) if i not in aims.validated]
    if not missing:
        return []
    text = f"objectives: {' and '.join(missing)}: measured at the end of a trial, not in validation"
    if experiment.search.scheduler == "none":
        return [text]
    compared = " and ".join(labels[i] for i in aims.validated)
    return [f"{text}; {experiment.search.scheduler} compares trials by {compared}"]


def check_folders(options: Options) -> None:
    """Refuse a folder of runs, or a cache folder, that cannot be written."""
    writable_parent(options.runs_dir, "--runs-dir")
    if options.cache_dir is not None:
        writable_parent(Path(options.cache_dir), "--cache-dir")


def executor_of_run(
    experiment: Experiment, options: Options, say: Callable[[str], None]
) -> tuple[Executor, int]:
    """Create the executor; returns it with the number of trials to run at once now."""
    if options.autoscaling and not options.address:
        raise InputError("--autoscaling: applies to a cluster, and needs --address")
    if options.executor == "inline":
        from harness.executors.inline import InlineExecutor

        return InlineExecutor(), max_concurrent(experiment, 1, say)
    from harness.executors.ray_cluster import connect
    from harness.executors.ray_nodes import check_compute_on_nodes
    from harness.executors.ray_slots import check_request
    from harness.executors.ray_tune import RayTuneExecutor

    resources = experiment.resources
    connect(options.address)
    cpus, gpus = resources.cpus_per_trial, resources.gpus
    fitting = check_request(cpus, gpus, options.autoscaling)
    check_compute_on_nodes(experiment)
    follow = experiment.search.max_concurrent == "auto"
    return RayTuneExecutor(cpus, gpus, follow), max_concurrent(experiment, fitting, say)


def max_concurrent(experiment: Experiment, fitting: int, say: Callable[[str], None]) -> int:
    """Number of trials to run at once: as the experiment says, or as many as fit."""
    wanted = experiment.search.max_concurrent
    if wanted == "auto":
        return max(1, fitting)
    if wanted > fitting:
        say(f"search.max_concurrent: {wanted} wanted, {fitting} fit now")
    return wanted
