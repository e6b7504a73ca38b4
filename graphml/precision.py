"""bf16 where it pays: autocast is switched on by measuring, for a card's name says little and a processor's less."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from graphml.torch_first import torch

Precision = Literal["fp32", "bf16"]

#: As much faster as bf16 must be to be worth its rounding.
_MIN_GAIN = 1.2
_WIDTH = 512
_REPEATS = 5


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def probe_precision(device: torch.device) -> Precision:
    """`bf16` when products of matrices are at least 1.2 times as fast in it on `device`, else `fp32`.

    Processors without bf16 units run it several times slower than fp32, so asking whether it works is not enough.
    """
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32"
    return "bf16" if _seconds(device, "fp32") >= _MIN_GAIN * _seconds(device, "bf16") else "fp32"


def _seconds(device: torch.device, precision: Precision) -> float:
    """The fastest of a few products, after one to warm up."""
    left = torch.ones(_WIDTH, _WIDTH, device=device)
    times = []
    with torch.no_grad(), autocast(precision, device):
        for _ in range(_REPEATS + 1):
            begin = time.perf_counter()
            result = left @ left
            result[0, 0].item()  # waits for the device
            times.append(time.perf_counter() - begin)
    return min(times[1:])
