"""A batch that does not fit: the same step in parts, by gradient caching (Gao et al., 2021).

"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021. Every
part passes the network without keeping what its gradient needs; the loss sees the features of the
whole batch; when its gradient comes back, every part passes the network once more and takes its
share. One forward pass more, the activations of one part at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Outputs = TypeVar("Outputs", Tensor, tuple[Tensor, Tensor])
Module = TypeVar("Module", bound=nn.Module)

_BatchNorm = nn.modules.batchnorm._BatchNorm
_Dropout = nn.modules.dropout._DropoutNd


def parts(rows: Sequence[Tensor], size: int | None, least: int = 1) -> list[tuple[Tensor, ...]]:
    """Tensors (B, …) in parts of at most ``size`` rows, all of about the same length.

    One part where ``size`` is None. A part has ``least`` rows even if that is more than ``size``.
    """
    count = 1 if size is None else min(-(-len(rows[0]) // size), len(rows[0]) // least)
    if count <= 1:
        return [tuple(rows)]
    return list(zip(*(tensor.tensor_split(count) for tensor in rows), strict=True))


def joined(outputs: Sequence[Outputs]) -> Outputs:
    """The parts' outputs as those of the whole batch; a single part as it is."""
    if len(outputs) == 1:
        return outputs[0]
    if isinstance(outputs[0], Tensor):
        return torch.cat(list(outputs))
    return tuple(torch.cat(column) for column in zip(*outputs, strict=True))  # type: ignore[return-value]


def in_parts(
    function: Callable[..., Outputs],
    rows: Sequence[Tensor],
    size: int | None,
    modules: Iterable[nn.Module],
) -> Outputs:
    """``function(*rows)``, row by row independent, at most ``size`` rows at a time.

    Parts draw their random numbers one after the other, the second pass the same as the first.
    Batch norm in training mode takes its statistics from a part, and counts each part once; a
    part then has at least two rows, because one has no statistics. ``modules`` are those that
    ``function`` may run. Where ``size`` is None, it is called just once.
    """
    norms = [] if size is None else _training(modules, _BatchNorm)
    split = parts(rows, size, least=2 if norms else 1)
    if len(split) == 1:
        return function(*rows)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(norms)

    return joined(
        [checkpoint(function, *part, use_reentrant=False, context_fn=contexts) for part in split]
    )


def has_batch_norm(modules: Iterable[nn.Module]) -> bool:
    """Whether any of the modules has batch norm in training mode."""
    return bool(_training(modules, _BatchNorm))


def changed_by_splitting(modules: Iterable[nn.Module]) -> list[str]:
    """What a step in parts changes beyond rounding under modules in their present mode."""
    given = list(modules)
    dropouts = any(dropout.p > 0 for dropout in _training(given, _Dropout))
    return ["batch norm"] * has_batch_norm(given) + ["dropout"] * dropouts


def _training(modules: Iterable[nn.Module], kind: type[Module]) -> list[Module]:
    """The submodules of a kind that are in training mode."""
    inside = (part for module in modules for part in module.modules())
    return [part for part in inside if isinstance(part, kind) and part.training]


@contextmanager
def _statistics_kept(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Batch norm as ever, but its running statistics stay: the first pass has counted."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted
