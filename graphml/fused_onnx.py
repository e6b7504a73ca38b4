"""The fused network's steps in ONNX, with the numbers of torch; memory and tokens are kept around them.

<row>.transaction.onnx, <row>.label.onnx: `graphml.nn.fused_step`, the number of parties is free, all else is fixed.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graphml.errors import ModelMismatch
from graphml.nn.fused import Fused
from graphml.nn.fused_step import MOST_PARTIES, LabelStep, TransactionStep
from graphml.torch_first import torch

_AFTER = ["state", "keys", "values"]


class OnnxSteps:
    """The steps by ONNX Runtime on one thread; see `graphml.fused_stream.Steps`."""

    def __init__(self, folder: Path, name: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._transaction, self._label = (
            ort.InferenceSession(folder / f"{name}.{step}.onnx", options, providers=["CPUExecutionProvider"])
            for step in ("transaction", "label")
        )
        if "near_DMT" in {each.name for each in self._transaction.get_inputs()}:
            raise ModelMismatch(
                f"The steps of {name} in {folder} are of an earlier version, which read tokens.",
                remedy="Train the model again.",
            )

    def transaction(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """See `TransactionStep`."""
        return tuple(self._transaction.run(None, _known(self._transaction, inputs)))

    def label(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """See `LabelStep`."""
        return tuple(self._label.run(None, _known(self._label, inputs)))


def export_steps(network: Fused, folder: Path, name: str) -> None:
    """Write both files of a row into a folder that is there."""
    network = copy.deepcopy(network).cpu()
    config, sizes = network.config, network.config.transformer
    parties, blocks, window, width = 2, sizes.num_blocks, sizes.window - 1, sizes.width
    memory = {
        "hours_DW": torch.ones(parties, window),
        "filled_DW": torch.ones(parties, window, dtype=torch.bool),
        "keys_DNWH": torch.zeros(parties, blocks, window, width),
        "values_DNWH": torch.zeros(parties, blocks, window, width),
    }
    event = {"role_D": torch.tensor([0, 1]), "since_D": torch.ones(parties)}
    transaction = {
        "token_1T": torch.zeros(1, config.reader.token_width),
        "told_DMX": torch.zeros(parties, config.reader.num_near, 2 * width),
        "absent_DM": torch.zeros(parties, config.reader.num_near, dtype=torch.bool),
        "gap_DM": torch.ones(parties, config.reader.num_near),
        **event,
        "index_1R": torch.zeros(1, config.reader.num_roles, dtype=torch.int64),
        "tabular_1C": torch.zeros(1, config.num_tabular),
        "state_DH": torch.zeros(parties, width),
        **memory,
    }
    label = {
        "z_DH": torch.zeros(parties, width),
        "kind_D": torch.ones(parties, dtype=torch.int64),
        **event,
        "age_D": torch.ones(parties),
        **memory,
    }
    _export(TransactionStep(network), transaction, ["logit", "told", "z", *_AFTER], folder / f"{name}.transaction.onnx")
    _export(LabelStep(network), label, _AFTER, folder / f"{name}.label.onnx")


def _export(step: torch.nn.Module, inputs: dict[str, torch.Tensor], outputs: list[str], file: Path) -> None:
    parties = torch.export.Dim("parties", min=1, max=MOST_PARTIES)
    with _quiet():
        torch.onnx.export(
            step.eval(),
            kwargs=inputs,
            f=file,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes={name: {0: parties} if "_D" in name else None for name in inputs},
            dynamo=True,
            external_data=False,
            optimize=True,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on itself: packages that it does not find, names of axes that it merges."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _known(session: ort.InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The inputs that the session has: those of a network without level 1 are left out of its graph."""
    wanted = {each.name for each in session.get_inputs()}
    return {name: np.ascontiguousarray(column) for name, column in inputs.items() if name in wanted}
