"""Check that a network follows the rules that a measurement relies on."""

import traceback

import torch
from torch import Tensor, nn

from saat.errors import InputError, one_line
from saat.memory import is_out_of_memory, shrinking
from saat.models.network import device_of, evaluating, seeded_pass, to_float

# Number of images that are tried.
IMAGES_TRIED = 16
# Largest relative change of an image's features with its batch. Networks quantised on the fly take
# the scale of their 8 bits from the batch, and stay below. Batch statistics exceed it.
_OTHER_BATCH = 0.05
# Norm of features below which a change may be rounding, for example after a collapsed training.
_SMALLEST = 1e-3


def check_network(network: nn.Module, images: Tensor, name: str = "model") -> None:
    """Refuse a network on which a measurement would fail, or would silently be wrong.

    In evaluation mode it must map float images (B, 3, H, W) to float features (B, K) for every B.
    It must not change its input, nor what it returned earlier. The features of an image must not
    depend on the rest of its batch. A few of the uint8 ``images`` (Q, 3, H, W) are tried.

    Raises:
        InputError: the rule that the network breaks, in one line that begins with ``name``.
    """
    if device_of(network).type == "meta":
        raise InputError(f"{name}: its weights are on the device meta, which holds no values")
    few = images[:IMAGES_TRIED]
    if not len(few):
        return
    fault, _ = shrinking(lambda count: _fault(network, few[:count]), len(few))
    if fault:
        raise InputError(f"{name}: {fault}")


def raised_inside(network: nn.Module, error: BaseException) -> bool:
    """Whether an exception was raised inside the forward pass of the network."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_locals.get("self") is network for frame, _ in frames)


def described(error: BaseException) -> str:
    """An exception of the user's code in one line: its type and its message."""
    said = one_line(error, 200)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _fault(network: nn.Module, images: Tensor) -> str:
    """What is wrong with the network; empty if nothing is."""
    try:
        with evaluating(network), torch.no_grad():
            return _call_fault(network, to_float(images, device_of(network)))
    except (Exception, SystemExit) as error:  # a network that exits gives no message
        if is_out_of_memory(error):
            raise
        return described(error)


def _output_fault(output: object, count: int) -> str:
    found, wanted = f"a {type(output).__name__}", "a float tensor (B, K)"
    if isinstance(output, dict):
        found += f" with the keys {', '.join(map(str, output))}" if output else " with no keys"
    elif isinstance(output, tuple | list):
        found += f" of {len(output)}"
    elif isinstance(output, Tensor):
        fits = output.dim() == 2 and len(output) == count and output.shape[1] > 0
        if fits and output.is_floating_point():
            return ""
        found, wanted = f"{output.dtype} {tuple(output.shape)}", f"{wanted}, B = {count}"
    return f"its output is {found}, not {wanted}"


def _call_fault(network: nn.Module, batch: Tensor) -> str:
    """What is wrong with calls on a batch, and on parts of it."""
    given, half = batch.clone(), -(-len(batch) // 2)
    first = seeded_pass(network, given, "check")
    if not torch.equal(given, batch):
        return "changes its input in place; it has to work on a copy (x = x - 0.5, not x.sub_(0.5))"
    if fault := _output_fault(first, len(batch)):
        return fault
    kept = first.clone()
    if not kept.isfinite().all():  # encoding all images reports how many there are
        return ""
    # Only a random network may give other features to the same batch.
    varies = _differ(seeded_pass(network, batch.clone(), "check", "again"), kept)
    varies |= bool(getattr(network, "randomised", False))
    part = seeded_pass(network, batch[half - 1 :].clone(), "check")
    if not torch.equal(first, kept):
        return "changes what an earlier call returned; it has to return a new tensor every time"
    if not varies and _differ(part, kept[half - 1 :]):
        return (
            "the features of an image depend on the other images of its batch, as of batch norm "
            "that stays in training mode"
        )
    return _output_fault(seeded_pass(network, batch[:1].clone(), "check"), 1)


def _differ(features: Tensor, expected: Tensor) -> bool:
    """Whether the features (B, K) of some image differ by more than rounding."""
    gap, size = (features - expected).float().norm(dim=1), expected.float().norm(dim=1)
    return bool((gap > _OTHER_BATCH * size.clamp(min=_SMALLEST)).any())
