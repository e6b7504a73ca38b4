"""Checkpoints of a training run: one safetensors file, replaced whole, written by the first rank.

A run draws nothing from a running random state: the order of epoch e and the dropout of step s are functions of the
seed. So tensors and plain data are all that a resumed run needs to go on to the same losses, on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from graphml.torch_first import torch
from ingestion.artifacts import write_atomically

Tensors = dict[str, torch.Tensor]
_STATE = "state"
_SEPARATOR = "/"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Plain data of a run and its tensors by group (weights, best, average, optimizer)."""

    state: dict[str, Any]
    groups: dict[str, Tensors]

    def write(self, path: Path) -> None:
        """Replace the file at `path`."""
        tensors = {
            f"{group}{_SEPARATOR}{name}": tensor.detach().cpu().clone().contiguous()
            for group, named in self.groups.items()
            for name, tensor in named.items()
        }
        write_atomically(path, save(tensors, metadata={_STATE: orjson.dumps(self.state).decode()}))

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """None when there is none, or it cannot be read: then training starts over, which costs time only."""
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                state = orjson.loads(file.metadata()[_STATE])
                groups: dict[str, Tensors] = {}
                for key in file.keys():  # noqa: SIM118  (not a dictionary)
                    group, name = key.split(_SEPARATOR, 1)
                    groups.setdefault(group, {})[name] = file.get_tensor(key)
        except (SafetensorError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None
        return cls(state=state, groups=groups)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's state by `<index of the parameter>.<slot>`."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, slots in optimizer.state_dict()["state"].items()
        for name, value in slots.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fill an optimizer with what `optimizer_tensors` gave."""
    slots: dict[int, Tensors] = {}
    for key, tensor in tensors.items():
        index, slot = key.split(".", 1)
        slots.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})
