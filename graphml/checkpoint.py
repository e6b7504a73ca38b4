"""Checkpoints of a training run: one safetensors file, replaced whole after each epoch.

A run draws nothing from a running random state: epoch e of a seed is a function of (seed, e). So weights, optimizer
and the best weights so far are all that a resumed run needs to end in the same weights, bit for bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from graphml.torch_first import torch
from ingestion.artifacts import write_atomically

_STATE = "state"


def save_checkpoint(
    path: Path,
    *,
    state: dict[str, Any],
    weights: dict[str, torch.Tensor],
    best: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything; `state` is plain data (epoch, history, …)."""
    tensors = {f"weights.{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in slots.items()}
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(copies, metadata={_STATE: orjson.dumps(state).decode()}))


def load_checkpoint(
    path: Path, *, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, torch.Tensor]] | None:
    """State, weights and best weights; fills `optimizer`. None when there is none, or it cannot be read: then
    training starts over, which costs time and nothing else."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = orjson.loads(file.metadata()[_STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dictionary)
    except (SafetensorError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _under(tensors, "optimizer.").items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})
    return state, _under(tensors, "weights."), _under(tensors, "best.")


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
