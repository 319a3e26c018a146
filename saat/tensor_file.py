"""Checkpoints without pickle: one safetensors file, replaced atomically, with a checksum."""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saat.atomic_files import replacing


class CorruptFile(Exception):
    """A checkpoint that is truncated, altered, or no checkpoint at all."""


def _digest(tensors: Mapping[str, Tensor], meta: str) -> str:
    digest = hashlib.blake2b(meta.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in the machine's memory that :func:`save` can write while the originals change."""
    kept = torch.contiguous_format
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=kept)
        for name, tensor in tensors.items()
    }


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able ``meta`` to ``path``; afterwards it is on the disk, or unchanged.

    Raises:
        OSError: the disk is full or the folder not writable; nothing half-written stays.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # contiguous(): channels-last weights are strided; the memory format is the network's business.
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(meta))
    header = {"meta": text, "digest": _digest(flat, text)}
    with replacing(path) as temporary:
        try:
            save_file(flat, temporary, metadata=header)
        except SafetensorError as error:
            # The library wraps the system's error; a full disk has to be seen as one.
            for code in (errno.ENOSPC, errno.EDQUOT):
                if f"os error {code}" in str(error):
                    raise OSError(code, os.strerror(code), str(path)) from error
            raise
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # safetensors writes for the owner alone


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and ``meta`` of a file written by :func:`save`.

    Raises:
        CorruptFile: the file is truncated, altered or of another kind.
        FileNotFoundError: there is no such file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        meta = json.loads(header["meta"])
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise CorruptFile(f"{path}: {error}") from error
    if not isinstance(meta, dict):
        raise CorruptFile(f"{path}: its meta is no mapping")
    if _digest(tensors, header["meta"]) != header.get("digest"):
        raise CorruptFile(f"{path}: checksum does not match")
    return tensors, meta


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by ``prefix.name``."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def tensors_under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of :func:`prefixed`: those whose names begin with the prefix."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
