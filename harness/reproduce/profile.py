"""Experiments of the declared runs, at a scale, on a data set."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.resolve import resolve_experiment
from reports.paper.cells import Setting
from reports.paper.declared import Run, check_data, scale_content
from saat.data_source import dataset_folder
from saat.errors import check_known

BITS = (16, 32, 48, 64)  # of the paper
_VOC = "docs/datasets.md says what a folder of photographs has to hold"


@dataclass(frozen=True)
class Profile:
    """How the declared runs are trained and attacked.

    Attributes:
        data: name of the data set, of the command line.
        scale: ``full`` or ``small``.
        experiment: content of an experiment file that all runs share.
        backbones: the paper's backbone → the one that is trained; a setting of another one is left
            out.
        defenses: defense → its options that are not the published ones.
        objectives: hashing objective → options of its pretraining, where not those of the others.
        iterations: attack → iterations, where not those of the protocol.
        options: attack → further options.
        bits: code lengths that are trained; all where empty.
    """

    data: str
    scale: str
    experiment: Mapping[str, Any]
    backbones: Mapping[str, str]
    defenses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objectives: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    iterations: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bits: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Data set, scale and chosen code lengths, with which the names of all its runs begin."""
        chosen = f"-{'-'.join(map(str, self.bits))}bits" if self.bits else ""
        return f"paper-{self.data}-{self.scale}{chosen}"

    def run_name(self, run: Run) -> str:
        """The name of a run, which is that of its folder."""
        return f"{self.name}-{run.name}"

    def settings(self, run: Run) -> list[Setting]:
        """The settings of a run whose backbones and code lengths are trained."""
        return [
            setting
            for setting in run.settings
            if setting.backbone in self.backbones and (not self.bits or setting.bits in self.bits)
        ]

    def experiment_of(self, run: Run) -> Experiment:
        """The experiment of a run, for a plan ``compare``.

        Raises:
            InputError: something of it is not possible.
        """
        content = deepcopy(dict(self.experiment))
        content |= {
            "schema_version": 1,
            "name": self.run_name(run),
            "defense": {"method": "none"},  # so that every defense starts from its published values
            "compare": {setting.name: self._point(setting) for setting in self.settings(run)},
        }
        evaluation = content.setdefault("evaluation", {})
        evaluation["attacks"] = list(run.attacks)
        evaluation["options"] = options = {}
        for attack in run.attacks:
            given = dict(self.options.get(attack, {}))
            steps = run.iterations.get(attack, self.iterations.get(attack))
            if steps is not None:
                given["steps"] = steps
            if given:
                options[attack] = given
        return resolve_experiment(content, f"reproduce: {self.run_name(run)}")

    def _point(self, setting: Setting) -> dict[str, Any]:
        point: dict[str, Any] = {
            "defense.method": setting.defense,
            "model.hashing": setting.hashing,
            "model.backbone": self.backbones[setting.backbone],
            "model.bits": setting.bits,
        }
        for key, value in self.defenses.get(setting.defense, {}).items():
            point[f"defense.{key}"] = value
        for key, value in self.objectives.get(setting.hashing, {}).items():
            point[f"pretrain.{key}"] = value
        if setting.weights is not None:
            point["defense.lambda"], point["defense.mu"] = setting.weights
        return point


def profile_of(
    data: str,
    scale: str,
    data_root: Path | None = None,
    gpus: float | None = None,
    bits: Sequence[int] = (),
) -> Profile:
    """The declared profile of a scale and data set.

    Args:
        data: name of a data set that the scale has.
        scale: ``full`` or ``small``.
        data_root: contains the folder of the data set; ``SAAT_DATA`` where None.
        gpus: GPUs of a trial; those of the scale where None.
        bits: code lengths to train alone; all of the paper where empty.

    Raises:
        InputError: an unknown scale, data set or code length, or no folder of a set that has no
            published lists.
    """
    for length in bits:
        check_known("--bits", str(length), map(str, BITS))
    content = scale_content(scale)
    check_data(scale, data)
    own = content["data"][data]
    experiment = merged([content.get("experiment", {}), own.get("experiment", {})])
    if "folder" in own:
        folder = dataset_folder(data, own["folder"], _VOC, data_root)
        experiment["data"] = {**experiment.get("data", {}), "path": str(folder)}
    elif data_root is not None and not data.startswith("digits"):
        experiment["data"] = {**experiment["data"], "root": str(data_root)}
    if gpus is not None:
        experiment["resources"] = {**experiment.get("resources", {}), "gpus_per_trial": gpus}
    return Profile(
        data,
        scale,
        experiment,
        own.get("backbones", content.get("backbones", {})),
        own.get("defenses", content.get("defenses", {})),
        own.get("objectives", content.get("objectives", {})),
        merged([content.get("iterations", {}), own.get("iterations", {})]),
        merged([content.get("options", {}), own.get("options", {})]),
        tuple(sorted(set(bits))),
    )


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Nested mappings as one; later values replace earlier ones."""
    out: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
            out[key] = merged([out[key], value]) if both else deepcopy(value)
    return out
