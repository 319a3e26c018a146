"""The first convolution of AlexNet and ResNet with a gradient in its input that suits a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StridedConv(nn.Module):
    """A convolution of stride s > 1 with frozen weights: the features of ``layer``, bit for bit.

    Only its input has a gradient. oneDNN computes that of a few channels under a stride slowly.
    In blocks of s×s pixels the same convolution has stride 1, the kernels ⌈k/s⌉ on a side and s²
    times as many channels; its gradient is the same up to rounding, in a quarter to a half of the
    time. The weights of ``layer``, for which :func:`is_strided` holds, are copied.
    """

    blocks: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.stride, self.padding = layer.stride[0], int(layer.padding[0])
        self.register_buffer("weight", layer.weight.detach().clone())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())
        self.register_buffer("blocks", in_blocks(layer.weight.detach(), self.stride))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) → (B, outputs, rows, columns)."""
        out: Tensor = _Strided.apply(
            images, self.weight, self.bias, self.blocks, self.stride, self.padding
        )
        return out


def is_strided(layer: nn.Module) -> bool:
    """Whether a layer is a plain square convolution on a CPU whose stride exceeds 1."""
    if type(layer) is not nn.Conv2d or layer.weight.device.type != "cpu":
        return False
    square = len({*layer.kernel_size}) == len({*layer.stride}) == len({*layer.padding}) == 1
    plain = layer.groups == 1 and layer.padding_mode == "zeros" and layer.dilation == (1, 1)
    return square and plain and not isinstance(layer.padding, str) and layer.stride[0] > 1


def in_blocks(kernels: Tensor, stride: int) -> Tensor:
    """Kernels (O, C, k, k) as those of a convolution of blocks: (O, s·s·C, ⌈k/s⌉, ⌈k/s⌉)."""
    outputs, channels, size, _ = kernels.shape
    count = -(-size // stride)
    more = count * stride - size
    split = F.pad(kernels, (0, more, 0, more)).view(outputs, channels, count, stride, count, stride)
    blocks = split.permute(0, 3, 5, 1, 2, 4).reshape(outputs, -1, count, count)
    return blocks.contiguous(memory_format=torch.channels_last)


class _Strided(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        blocks: Tensor,
        stride: int,
        padding: int,
    ) -> Tensor:
        ctx.save_for_backward(blocks)
        ctx.images, ctx.stride, ctx.padding = (images.shape, images.dtype), stride, padding
        return F.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (blocks,), (gradient,) = ctx.saved_tensors, gradients
        (batch, channels, height, width), dtype = ctx.images
        found = F.conv_transpose2d(gradient, blocks.to(gradient.dtype))
        rows, columns, s, p = *found.shape[2:], ctx.stride, ctx.padding
        pixels = found.permute(0, 2, 3, 1).reshape(batch, rows, columns, s, s, channels)
        image = pixels.transpose(2, 3).reshape(batch, rows * s, columns * s, channels)
        # A negative width crops: the padding, and what the last block has beyond the image. Rows
        # that no kernel reaches are added.
        right, below = width + p - columns * s, height + p - rows * s
        whole = F.pad(image.permute(0, 3, 1, 2), (-p, right, -p, below))
        return whole.to(dtype), None, None, None, None, None
