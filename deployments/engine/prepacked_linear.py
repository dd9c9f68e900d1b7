"""Linear layers whose weights are laid out for oneDNN once, for float32 models on a CPU.

torch computes a float32 linear layer by MKL's GEMM, which packs the weights anew in every call. A
decode step has a few rows, so that packing takes as long as multiplying, or longer.
``python -m bench.prepacked`` shows what it changes. The operators are those that torch's compiler
uses for frozen models; they have no public name, so each layer is compared with its original.
"""

from __future__ import annotations

import logging
from typing import Any, TypeAlias, TypeGuard
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

logger = logging.getLogger(__name__)

Plain: TypeAlias = nn.Linear | Conv1D

_SIZES_PER_DOUBLING = 8
"""Rows are filled up to so many sizes between a power of two and the next, so by an eighth at most.
oneDNN compiles a kernel for each number of rows, and keeps 1,024 of them: with prompts of all
lengths they took 800 MiB, and steps half as long again."""

_PROBE_ROWS = 3
_MAX_ERROR = 1e-4
"""How far a layer's probe may be from the original's: its largest value's part of that one's."""


class PrepackedLinear(nn.Module):
    """``x @ weight.T + bias`` for a float32 ``weight`` of shape (out, in), of which it has an own
    copy."""

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = bias
        self._packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)

    @property
    def weight(self) -> torch.Tensor:
        """The weights as they were, newly unpacked: for code that looks at a layer's weights."""
        return self._packed.to_dense()

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights, without what their layout adds."""
        return self._packed.numel() * self._packed.element_size()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (…, in) to (…, out)."""
        rows = x.numel() // self.in_features
        spare = filled_up(rows) - rows
        if not spare:
            return self.multiplied(x)
        filled = nn.functional.pad(x.reshape(rows, self.in_features), (0, 0, 0, spare))
        return self.multiplied(filled)[:rows].view(*x.shape[:-1], self.out_features)

    def multiplied(self, x: torch.Tensor) -> torch.Tensor:
        """The same, with a kernel for exactly these rows."""
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._packed, self.bias, "none", [], ""
        )
        return y


def filled_up(rows: int) -> int:
    """The rows that so many are computed as."""
    step = max(1, (1 << rows.bit_length()) // (2 * _SIZES_PER_DOUBLING))
    return rows + -rows % step


@torch.no_grad()
def prepack(model: nn.Module) -> int:
    """Replace the float32 linear layers of ``model``; the number of layers replaced.

    Each one's weights are freed before the next is packed, unless something else has them too, as
    tied embeddings do. Nothing is replaced where torch does not compute by MKL, or its operators
    are others than expected.
    """
    backends: Any = torch.backends
    if not (backends.mkl.is_available() and backends.mkldnn.is_available()):
        return 0
    replaced = 0
    shared: WeakKeyDictionary[nn.Module, PrepackedLinear | None] = WeakKeyDictionary()
    for parent in [each for each in model.modules() if not _is_plain(each)]:
        for name in [name for name, child in parent.named_children() if _is_plain(child)]:
            layer = getattr(parent, name)
            if layer not in shared:
                shared[layer] = _packed(layer)
                replaced += shared[layer] is not None
            if (replacement := shared[layer]) is not None:
                setattr(parent, name, replacement)
    return replaced


def prepacked_bytes(model: nn.Module) -> int:
    """Bytes of all packed weights, which are no parameters of the model."""
    return sum(each.nbytes for each in model.modules() if isinstance(each, PrepackedLinear))


def _is_plain(layer: nn.Module) -> TypeGuard[Plain]:
    """Whether this is a float32 layer on the CPU, of no class derived from torch's own, that
    nothing has changed."""
    if type(layer) not in (nn.Linear, Conv1D) or "forward" in vars(layer):
        return False
    weight = layer.weight
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    return weight.dtype is torch.float32 and weight.device.type == "cpu" and not hooked


def _packed(layer: Plain) -> PrepackedLinear | None:
    """The layer with packed weights; ``None`` if that would not compute the same."""
    weight = layer.weight if isinstance(layer, nn.Linear) else layer.weight.t().contiguous()
    try:
        packed = PrepackedLinear(weight, layer.bias)
        x = torch.randn(_PROBE_ROWS, packed.in_features, generator=torch.Generator().manual_seed(0))
        expected = layer(x)
        error = (packed(x) - expected).abs().max()
    except (AttributeError, RuntimeError) as failure:
        logger.warning("Linear layers stay as they are: %s: %s", type(failure).__name__, failure)
        return None
    return packed if error <= _MAX_ERROR * expected.abs().max() else None
