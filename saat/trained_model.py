"""Networks that this project trained, from their files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saat import checkpoints, tensor_file
from saat.defenses import DEFENSES, defended_network
from saat.errors import InputError, check_known, one_line
from saat.models import BACKBONES, blank_network
from saat.paths import user_path

_MODEL = "model.safetensors"


@dataclass(frozen=True)
class TrainedModel:
    """A file with a network: its tensors by name, and in ``meta`` at least the ``setting``."""

    path: Path
    tensors: Mapping[str, Tensor]
    meta: Mapping[str, Any]

    def network(self) -> nn.Module:
        """The network as it is deployed, its defense included, on the CPU.

        Raises:
            InputError: weights that are not those of the network that the file says they are.
        """
        model, defense = self._section("model"), self._section("defense")
        try:
            check_known("setting.model.backbone", model["backbone"], BACKBONES)
            check_known("setting.defense.method", defense["method"], ("none", *DEFENSES))
            size = int(self._section("data")["image_size"])
            # The stored weights replace whatever the network starts from: nothing is downloaded.
            bare = blank_network(model["backbone"], model["weights"], int(model["bits"]), size)
            deployed = defended_network(defense["method"], bare, defense)
            if "stage" in self.meta and deployed is not bare:  # its parts are stored one by one
                names = deployed.state_dict()
                deployed.load_state_dict({n: t for n, t in self.tensors.items() if n in names})
            else:
                deployed.load_state_dict(tensor_file.tensors_under("network", self.tensors))
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else one_line(error, 120)
            raise InputError(f"{self.path}: not the network it says ({what})") from None
        return deployed

    def _section(self, name: str) -> Mapping[str, Any]:
        setting = self.meta.get("setting")
        section = setting.get(name) if isinstance(setting, Mapping) else None
        if not isinstance(section, Mapping):
            raise InputError(f"{self.path}: its setting has no section {name}")
        return section


def read_trained(path: str | Path) -> TrainedModel:
    """A trained model's file.

    ``path`` is a ``model.safetensors``, the checkpoint of an epoch in a trial's folder, or such a
    folder: of an unfinished trial the newest checkpoint counts.

    Raises:
        InputError: no such file, a damaged one, or a checkpoint of another kind.
    """
    file = place = user_path(path)
    if place.is_dir():
        file = place / _MODEL
        if not file.is_file():
            file = checkpoints.newest(checkpoints.folder_of(place)) or file
    try:
        tensors, meta = tensor_file.load(file)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; a trial's folder or its {_MODEL}") from None
    except tensor_file.CorruptFile as error:
        raise InputError(f"{error}; not a model that saat can trust") from None
    if "stage" in meta:  # of an epoch: what the trial is stands in its folder
        meta = {**_config(file.absolute().parent.parent), **meta}
    if "setting" not in meta:
        raise InputError(f"{file}: a checkpoint of another kind; a trial's {_MODEL}")
    return TrainedModel(file, tensors, meta)


def _config(trial_folder: Path) -> dict[str, Any]:
    """What a trial's folder says of the trial; nothing where it is no trial's folder."""
    file = trial_folder / "config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({one_line(error, 120)})") from None
    return content if isinstance(content, dict) else {}


def load(path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """The network of a trial, in evaluation mode; it can be trained further.

    >>> import saat
    >>> network = saat.load("runs/demo/trials/3f2a…-confirm-0")  # doctest: +SKIP
    >>> codes = network(images).sign()  # doctest: +SKIP

    It maps float images in [0, 1] (B, 3, H, W) to pre-tanh features (B, K), through the defense's
    own parts too. Paths and errors are those of :func:`read_trained`.
    """
    return read_trained(path).network().eval().to(device)
