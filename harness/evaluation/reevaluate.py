"""``saat evaluate``: attack a trained model again."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch

from harness.evaluation.models import Subject, source_networks
from harness.experiment.protocols import full_protocol
from harness.experiment.section import parse_number, parsed
from harness.experiment.sections import EvaluationSection
from harness.files import check_output, write_json
from harness.trial.artifacts import write_artifacts
from saat.attacks import ATTACKS
from saat.battery import BATTERIES
from saat.errors import InputError, check_known, one_line, repeated
from saat.memory import is_out_of_memory
from saat.models.network_check import described, raised_inside
from saat.precision import PRECISIONS, Precision, check_precision
from saat.protocol import evaluate
from saat.protocol_options import LARGEST_EPS
from saat.versions import protocol_versions
from saat.victim import QueryKind


@dataclass(frozen=True)
class Request:
    """Options of the command; ``None`` and empty mean the subject's own protocol."""

    attacks: list[str]
    steps: int | None
    eps: str | None
    queries: str
    seed: int
    output: Path | None
    device: str
    battery: str = "none"
    transfer_from: list[Path] = field(default_factory=list)
    precision: str | None = None

    def check(self) -> None:
        """Refuse options that cannot be, before a model is loaded."""
        check_known("--queries", self.queries, ("test", "validation"))
        check_known("--device", self.device, ("cpu", "cuda"))
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: torch finds no GPU on this machine; cpu")
        if self.precision is not None:
            check_known("--precision", self.precision, PRECISIONS)
            try:
                check_precision(cast(Precision, self.precision), torch.device(self.device))
            except InputError as error:
                raise InputError(f"--{error}") from None
        check_known("--battery", self.battery, ("none", *BATTERIES))
        if self.transfer_from and self.battery == "none":
            raise InputError(f"--transfer-from {self.transfer_from[0]}: belongs to --battery")
        if self.output is not None:
            # An evaluation that was cut off there goes on from its attacks.
            unfinished = (self.output / _UNFINISHED).is_dir()
            done = (self.output / "metrics.json").exists()
            if self.output.exists() and (done or not unfinished):
                raise InputError(f"{self.output}: exists; take another -o")
            check_output(self.output, [_UNFINISHED])
        for name in self.attacks:
            check_known("--attack", name, ATTACKS)
        if twice := repeated(self.attacks):
            raise InputError(f"--attack {twice[0]}: named twice")
        number = None if self.eps is None else parse_number(self.eps)
        if number is not None and not (isinstance(number, float) and 0 <= number <= LARGEST_EPS):
            raise InputError(
                f"--eps {one_line(self.eps, 60)}: a number from 0 to {LARGEST_EPS}, "
                "for example 8/255"
            )


def reevaluate(subject: Subject, request: Request, say: Callable[[str], None]) -> str:
    """Evaluate and return a table; with an output folder also write metrics and artifacts.

    Raises:
        InputError: unknown attack, a protocol that does not fit, an error of the network itself.
    """
    section = protocol_section(subject, request)
    data = subject.data
    if section.top_k > len(data.validation_database):
        raise InputError(f"evaluation.top_k: {section.top_k}: larger than the database")
    sources = source_networks(request.transfer_from, data.images.shape[-1])
    network = subject.network.to(request.device)
    try:
        result = evaluate(
            network,
            data,
            full_protocol(section),
            cast(QueryKind, request.queries),
            request.seed,
            progress=lambda name, done, count: say(f"attack {name} {done}/{count}"),
            battery=None if request.battery == "none" else request.battery,
            store=None if request.output is None else request.output / _UNFINISHED,
            sources={name: source.to(request.device) for name, source in sources.items()},
        )
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error) or not raised_inside(network, error):
            raise
        raise InputError(f"{subject.name}: {described(error)}") from error
    if request.output is not None:
        written = {
            "model": subject.name,
            "dataset": data.label,
            "lists_sha256": dict(data.lists_sha256),
            "protocol": section.model_dump(),
            "queries": request.queries,
            "seed": request.seed,
            "battery": request.battery,
            "versions": protocol_versions(section.attacks, request.battery),
            "transfer_from": [str(path) for path in request.transfer_from],
            "gates": [asdict(gate) for gate in result.gate_results],
            "skipped": dict(result.skipped),
            "metrics": result.metrics(),
        }
        write_artifacts(request.output, result, data, images=True)
        write_json(request.output / "metrics.json", written)
        # Images in there are still mapped, which keeps a folder on NFS from going.
        shutil.rmtree(request.output / _UNFINISHED, ignore_errors=True)
    title = f"{result.title}, T {section.steps}, {section.precision}"
    return "\n".join([title, *result.table().lines()])


# Finished attacks of an evaluation that has not come to its end.
_UNFINISHED = "attacked"


def protocol_section(subject: Subject, request: Request) -> EvaluationSection:
    """The subject's evaluation section with the request's changes, checked."""
    own = subject.evaluation.model_dump()
    asked = {"attacks": request.attacks or None}
    asked |= {key: getattr(request, key) for key in ("steps", "eps", "precision")}
    changed = own | {key: value for key, value in asked.items() if value is not None}
    options = {name: given for name, given in own["options"].items() if name in changed["attacks"]}
    try:
        return parsed(EvaluationSection, {**changed, "options": options}, "evaluation")
    except InputError as error:
        raise InputError(*(f"{subject.name}: {fault}" for fault in error.faults)) from None
