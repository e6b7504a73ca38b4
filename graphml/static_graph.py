"""A static graph with labelled nodes, from an `npz` file, and the splits that it is judged on.

Legend: N nodes, F features of a node, E edges, S splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from graphml.evaluation import Bools
from graphml.graph import Floats, Ints
from ingestion.errors import DataContractError, UsageError

Array = NDArray[Any]

MASKS = ("train_masks", "val_masks", "test_masks")
#: Without masks: as many stratified splits, with seeds from 0, of these shares of the nodes; the rest is the test part.
NUM_SPLITS = 10
TRAIN_SHARE, VALIDATION_SHARE = 0.4, 0.2


@dataclass(frozen=True, kw_only=True)
class Split:
    """Ascending ids of the nodes to learn from, to choose on and to judge on; nobody is in two of them."""

    train: Ints
    validation: Ints
    test: Ints

    def parts(self) -> Iterator[tuple[str, Ints]]:
        """Name and ids of each part."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True, kw_only=True)
class StaticGraph:
    """`x_NF` float32 features, edges from `source_E` to `target_E` (a message goes that way), `is_fraud_N`, and the
    splits; `stratified` says that the splits are ours and not the file's."""

    x_NF: Floats
    source_E: Ints
    target_E: Ints
    is_fraud_N: Bools
    splits: tuple[Split, ...]
    stratified: bool

    @property
    def num_nodes(self) -> int:
        return len(self.x_NF)

    def reversed_share(self) -> float:
        """Share of the edges whose reverse is an edge too; 1 without edges. Near 0, a file stores an edge once."""
        forward = self.source_E * self.num_nodes + self.target_E
        backward = self.target_E * self.num_nodes + self.source_E
        return float(np.isin(backward, forward).mean()) if len(forward) else 1.0


def read_static_graph(path: Path, *, undirected: bool = False) -> StaticGraph:
    """Read `x` (N, F), `edge_index` (2, E) and `y` (N,) of 0 and 1, and, where the file has them, `train_masks`,
    `val_masks` and `test_masks` (S, N) of booleans; else stratified 40/20/40 splits with seeds 0 to 9.

    `undirected` adds the reverse of every edge that is stored one way; an edge that is stored both ways stays as it is.
    Raises `UsageError` when there is no such file, `DataContractError` naming the field and the value otherwise.
    """
    arrays = _arrays(path)
    x_NF = _features(arrays["x"])
    source_E, target_E = _edges(arrays["edge_index"], len(x_NF))
    is_fraud_N = _labels(arrays["y"], len(x_NF))
    if undirected:
        source_E, target_E = both_ways(source_E, target_E, num_nodes=len(x_NF))
    splits = _given_splits(arrays, len(x_NF)) if MASKS[0] in arrays else stratified_splits(is_fraud_N)
    _check_classes(splits, is_fraud_N)
    return StaticGraph(
        x_NF=x_NF,
        source_E=source_E,
        target_E=target_E,
        is_fraud_N=is_fraud_N,
        splits=splits,
        stratified=MASKS[0] not in arrays,
    )


def both_ways(source_E: Ints, target_E: Ints, *, num_nodes: int) -> tuple[Ints, Ints]:
    """The edges and their reverses, each once.

    >>> both_ways(np.array([0, 1]), np.array([1, 2]), num_nodes=3)
    (array([0, 1, 1, 2]), array([1, 0, 2, 1]))
    """
    keys = np.unique(np.concatenate([source_E * num_nodes + target_E, target_E * num_nodes + source_E]))
    return keys // num_nodes, keys % num_nodes


def stratified_splits(is_fraud_N: Bools, *, num: int = NUM_SPLITS) -> tuple[Split, ...]:
    """`num` random splits, each part with its share of both classes; split s is drawn with seed s."""
    counts = np.bincount(is_fraud_N.astype(np.int64), minlength=2)
    if counts.min() < 5:
        raise DataContractError(
            f"y has {counts[1]} nodes of class 1 and {counts[0]} of class 0: three parts that each have both need 5 "
            "of either.",
            remedy="Label more nodes, or give train_masks, val_masks and test_masks.",
        )
    splits = []
    for seed in range(num):
        train, rest = train_test_split(
            np.arange(len(is_fraud_N)), train_size=TRAIN_SHARE, random_state=seed, stratify=is_fraud_N
        )
        share = VALIDATION_SHARE / (1 - TRAIN_SHARE)
        validation, test = train_test_split(rest, train_size=share, random_state=seed, stratify=is_fraud_N[rest])
        splits.append(Split(train=np.sort(train), validation=np.sort(validation), test=np.sort(test)))
    return tuple(splits)


def _arrays(path: Path) -> Mapping[str, Array]:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", remedy="Name an npz file with x, edge_index and y.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged archive fails in as many ways as it has bytes; a single array by TypeError
        raise DataContractError(
            f"{path.name} cannot be read as npz: {error}.",
            remedy="Write it by numpy.savez(FILE, x=…, edge_index=…, y=…) with plain numbers.",
        ) from error
    required = ("x", "edge_index", "y", *(MASKS if any(name in arrays for name in MASKS) else ()))
    if missing := [name for name in required if name not in arrays]:
        raise DataContractError(
            f"{path.name} has no {', '.join(missing)}; it has {', '.join(sorted(arrays)) or 'nothing'}.",
            remedy=f"It needs x, edge_index and y; of {', '.join(MASKS)} all three or none.",
        )
    if meant := sorted({name.removesuffix("s") for name in MASKS} & arrays.keys()):
        raise DataContractError(
            f"{path.name} has {meant[0]}, one split as other libraries write it.",
            remedy=f"Give it as {meant[0]}s of shape (1, N): numpy.savez(…, {meant[0]}s=mask[None]), or leave it out.",
        )
    return arrays


def _features(x: Array) -> Floats:
    if x.ndim != 2 or not x.size or x.dtype.kind not in "fiub":
        raise DataContractError(
            f"x is {_described(x)}; it must be numbers of shape (N, F).",
            remedy="One row a node, one column a feature; a graph without features can give the degree as x.",
        )
    with np.errstate(over="ignore"):
        x_NF = x.astype(np.float32)
    bad = np.argwhere(~np.isfinite(x_NF))
    if len(bad):
        node, column = bad[0]
        raise DataContractError(
            f"x[{node}, {column}] is {x[node, column]}, no finite number of 32 bits; nor are {len(bad) - 1} more.",
            remedy="Fill them, by the column's median say, with a column more that tells which were filled.",
        )
    return x_NF


def _edges(edge_index: Array, num_nodes: int) -> tuple[Ints, Ints]:
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.dtype.kind not in "iu":
        raise DataContractError(
            f"edge_index is {_described(edge_index)}; it must be integers of shape (2, E): sources, then targets.",
            remedy="Transpose it when it is (E, 2).",
        )
    outside = np.argwhere((edge_index < 0) | (edge_index >= num_nodes))
    if len(outside):
        end, edge = outside[0]
        raise DataContractError(
            f"edge_index[{end}, {edge}] is {edge_index[end, edge]}, but x has {num_nodes} nodes: ids run from 0 to "
            f"{num_nodes - 1}.",
            remedy="Number the nodes from 0 in the order of x.",
        )
    source_E, target_E = edge_index.astype(np.int64)
    return source_E, target_E


def _labels(y: Array, num_nodes: int) -> Bools:
    if y.shape != (num_nodes,) or y.dtype.kind not in "fiub":
        raise DataContractError(
            f"y is {_described(y)}; it must be numbers of shape ({num_nodes},), one a row of x.",
            remedy="Give one label a node, 1 for fraud and 0 for the rest.",
        )
    strange = np.flatnonzero((y != 0) & (y != 1))
    if len(strange):
        raise DataContractError(
            f"y[{strange[0]}] is {y[strange[0]]}; a label is 0 or 1.",
            remedy="Map the classes to 0 and 1. Nodes without a label need a 0 here, and masks that leave them out.",
        )
    return y == 1


def _given_splits(arrays: Mapping[str, Array], num_nodes: int) -> tuple[Split, ...]:
    num_splits = len(np.atleast_1d(arrays[MASKS[0]]))
    masks = [_mask(name, arrays[name], (num_splits, num_nodes)) for name in MASKS]
    twice = np.argwhere(np.sum(masks, axis=0) > 1)
    if len(twice):
        split, node = twice[0]
        parts = [name for name, mask in zip(MASKS, masks, strict=True) if mask[split, node]]
        raise DataContractError(
            f"Node {node} is in {' and '.join(parts)} of split {split}: a model would be judged on what it learned.",
            remedy="Put every node into one part at most.",
        )
    return tuple(
        Split(train=np.flatnonzero(train), validation=np.flatnonzero(validation), test=np.flatnonzero(test))
        for train, validation, test in zip(*masks, strict=True)
    )


def _mask(name: str, mask: Array, shape: tuple[int, int]) -> Bools:
    if mask.shape != shape or shape[0] == 0 or not (mask.dtype.kind in "biu" and ((mask == 0) | (mask == 1)).all()):
        raise DataContractError(
            f"{name} is {_described(mask)}; it must be booleans of shape (S, N), here {shape}.",
            remedy=f"Give {', '.join(MASKS)} a row a split and a column a node.",
        )
    return mask.astype(bool)


def _check_classes(splits: tuple[Split, ...], is_fraud_N: Bools) -> None:
    for number, split in enumerate(splits):
        for name, ids in split.parts():
            frauds = int(is_fraud_N[ids].sum())
            if frauds in (0, len(ids)):
                raise DataContractError(
                    f"The {name} part of split {number} has {frauds} nodes of class 1 among {len(ids)}: with one "
                    "class there is nothing to learn or to judge.",
                    remedy="Draw the masks so that every part has both classes.",
                )


def _described(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"
