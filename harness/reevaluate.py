"""``saat evaluate``: attack a trained model again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from torch import nn

from harness.artifacts import write_artifacts
from harness.config import EvaluationSection, parse_number
from harness.experiment import parse_setting
from harness.files import write_json
from harness.problems import describe
from harness.trial import full_protocol, trial_data
from saat import checkpoint
from saat.attacks import ATTACKS
from saat.defenses import defended_network
from saat.errors import InputError, one_line
from saat.evaluate import QueryKind, evaluate
from saat.models import build_network


@dataclass(frozen=True)
class Request:
    """Options of the command; ``None`` and empty mean the trial's own protocol."""

    checkpoint: Path
    attacks: list[str]
    steps: int | None
    eps: str | None
    queries: str
    seed: int
    output: Path | None
    cache_dir: str | None
    device: str


def reevaluate(request: Request, say: Callable[[str], None]) -> str:
    """Evaluate and return a table; with an output folder also write metrics and artifacts.

    Raises:
        InputError: no model there, unknown attack, a protocol that does not fit.
    """
    if request.queries not in ("test", "validation"):
        raise InputError(f"--queries {request.queries}: test or validation")
    if request.device not in ("cpu", "cuda"):
        raise InputError(f"--device {request.device}: cpu or cuda")
    if request.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU on this machine; cpu")
    if request.output is not None and request.output.exists():
        raise InputError(f"{request.output}: exists; take another -o")
    tensors, meta = load_model(request.checkpoint)
    section = protocol_section(meta["evaluation"], request)
    try:
        setting = parse_setting(meta["setting"])
    except InputError as error:
        raise InputError(f"{request.checkpoint}: {error}") from None
    data = trial_data(setting, request.cache_dir)
    if data.fingerprint != meta["data_fingerprint"]:
        raise InputError(f"{request.checkpoint}: trained on another version of the data set")
    if section["top_k"] > len(data.validation_database):
        raise InputError(f"evaluation.top_k: {section['top_k']}: larger than the database")
    size = setting.data.image_size
    if request.output is not None:
        request.output.mkdir(parents=True)  # before the attacks, which may take hours
    network = _network(request.checkpoint, tensors, meta, size).to(request.device)
    result = evaluate(
        network,
        data,
        full_protocol(section),
        cast(QueryKind, request.queries),
        request.seed,
        progress=lambda name, done, count: say(f"attack {name} {done}/{count}"),
    )
    metrics = result.metrics()
    if request.output is not None:
        described = {"protocol": section, "queries": request.queries, "seed": request.seed}
        write_json(request.output / "metrics.json", {**described, "metrics": metrics})
        write_artifacts(request.output, result, data, images=True)
    return table(metrics, section)


def load_model(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and meta of a trained model; ``path`` is the file or its trial's folder."""
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        tensors, meta = checkpoint.load(file)
    except FileNotFoundError:
        raise InputError(
            f"{file}: no such file; a trial's folder or its model.safetensors"
        ) from None
    except checkpoint.CorruptCheckpoint as error:
        raise InputError(f"{error}; not a model that saat can trust") from None
    if not {"setting", "seed", "evaluation", "data_fingerprint"} <= set(meta):
        raise InputError(f"{file}: a checkpoint of another kind; a trial's model.safetensors")
    return tensors, meta


def protocol_section(own: dict[str, Any], request: Request) -> dict[str, Any]:
    """The trial's evaluation section with the request's changes, checked."""
    unknown = [name for name in request.attacks if name not in ATTACKS]
    if unknown:
        raise InputError(f"--attack {unknown[0]}: one of {', '.join(ATTACKS)}")
    changes: dict[str, Any] = {}
    if request.attacks:
        kept = {k: v for k, v in own.get("options", {}).items() if k in request.attacks}
        changes = {"attacks": request.attacks, "options": kept}
    if request.steps is not None:
        changes["steps"] = request.steps
    if request.eps is not None:
        number = parse_number(request.eps)
        if not isinstance(number, float) or not 0 <= number <= 1:
            raise InputError(f"--eps {request.eps}: a fraction between 0 and 1, for example 8/255")
        changes["eps"] = number
    twice = [name for name in request.attacks if request.attacks.count(name) > 1]
    if twice:
        raise InputError(f"--attack {twice[0]}: named twice")
    try:
        return EvaluationSection.model_validate({**own, **changes}).model_dump()
    except ValidationError as error:
        described = describe(error, EvaluationSection, own)
        raise InputError(f"{request.checkpoint}: evaluation.{described}") from None


def _network(
    path: Path, tensors: dict[str, torch.Tensor], meta: dict[str, Any], image_size: int
) -> nn.Module:
    model = meta["setting"]["model"]
    # The trained weights replace whatever the network starts from, so nothing is downloaded.
    network = build_network(model["backbone"], "none", model["bits"], image_size, meta["seed"])
    defended = defended_network(meta["setting"]["defense"]["method"], network)
    try:
        checkpoint.restore_module("network", defended, tensors)
    except RuntimeError as error:
        raise InputError(f"{path}: not the network it says ({one_line(error, 120)})") from None
    return defended


def table(metrics: dict[str, float], section: dict[str, Any]) -> str:
    """MAPs in percent, every robust number beside chance and its floor."""
    eps = f"{255 * section['eps']:g}/255"
    lines = [
        f"MAP@{section['top_k']} in %, ties {section['ties']}, eps {eps}, T {section['steps']}"
    ]
    rows: list[tuple[str, float, float | None]] = [("clean", metrics["clean_map"], None)]
    untargeted = [name for name in section["attacks"] if not ATTACKS[name].targeted]
    rows += [(name, metrics[f"map.{name}"], metrics[f"theory.{name}"]) for name in untargeted]
    if untargeted:
        rows += [("worst case", metrics["robust_map"], metrics["floor_map"])]
    rows += [("chance", metrics["chance_map"], None)]
    for name in section["attacks"]:
        if name not in untargeted:
            rows += [(f"{name} t-MAP", metrics[f"tmap.{name}"], metrics[f"theory.{name}"])]
    if "target_map" in metrics:
        rows += [("clean t-MAP", metrics["tmap.clean"], None)]
    width = 2 + max(len(name) for name, *_ in rows)
    for name, value, floor in rows:
        beside = f"   (theoretical {100 * floor:.2f})" if floor is not None else ""
        lines.append(f"  {name:<{width}}{100 * value:6.2f}{beside}")
    return "\n".join(lines)
