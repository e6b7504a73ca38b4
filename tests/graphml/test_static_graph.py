"""Reading a static graph: what is read, how it is split, and what is said of a bad file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphml.static_graph import both_ways, read_static_graph, stratified_splits
from ingestion.errors import DataContractError, UsageError
from tests.graphml.static_cases import arrays, graph, write

NUM = 400


def masks(num_splits: int = 2) -> dict[str, np.ndarray]:
    parts = np.random.default_rng(1).integers(0, 3, (num_splits, NUM))
    return {name: parts == number for number, name in enumerate(("train_masks", "val_masks", "test_masks"))}


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    given = arrays() | masks()
    read = graph(tmp_path, **masks())
    assert np.array_equal(read.x_NF, given["x"]) and read.x_NF.dtype == np.float32
    assert np.array_equal(np.stack([read.source_E, read.target_E]), given["edge_index"])
    assert np.array_equal(read.is_fraud_N, given["y"] == 1)
    assert not read.stratified and len(read.splits) == 2
    assert np.array_equal(read.splits[1].validation, np.flatnonzero(given["val_masks"][1]))
    assert read.reversed_share() == 1.0


def test_without_masks_the_splits_are_stratified_and_the_same_every_time(tmp_path: Path) -> None:
    read = graph(tmp_path)
    assert read.stratified and len(read.splits) == 10
    share = read.is_fraud_N.mean()
    for split, again in zip(read.splits, stratified_splits(read.is_fraud_N), strict=True):
        sizes = [len(ids) for _, ids in split.parts()]
        assert sizes == [160, 80, 160]
        together = np.concatenate([ids for _, ids in split.parts()])
        assert np.array_equal(np.sort(together), np.arange(NUM))
        for _, ids in split.parts():
            assert read.is_fraud_N[ids].mean() == pytest.approx(share, abs=0.01)
        assert np.array_equal(split.test, again.test)
    assert not np.array_equal(read.splits[0].test, read.splits[1].test)


def test_undirected_adds_a_reverse_only_where_it_is_missing() -> None:
    source, target = both_ways(np.array([0, 1, 2, 2]), np.array([1, 0, 3, 2]), num_nodes=4)
    assert list(zip(source.tolist(), target.tolist(), strict=True)) == [(0, 1), (1, 0), (2, 2), (2, 3), (3, 2)]


def test_edges_stored_once_are_told_and_doubled(tmp_path: Path) -> None:
    edges = arrays()["edge_index"]
    once = edges[:, edges[0] < edges[1]]
    path = write(tmp_path / "once.npz", edge_index=once)
    assert read_static_graph(path).reversed_share() == 0.0
    doubled = read_static_graph(path, undirected=True)
    assert doubled.reversed_share() == 1.0 and len(doubled.source_E) == 2 * once.shape[1]


def spoiled(name: str, place: Any, value: Any) -> dict[str, np.ndarray]:
    array = (arrays() | masks())[name].copy()
    array[place] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"y": None}, "has no y; it has edge_index, x"),
        ({"val_masks": None, **{k: v for k, v in masks().items() if k != "val_masks"}}, "has no val_masks"),
        ({"x": np.zeros(NUM)}, r"x is float64 of shape \(400,\)"),
        ({"x": np.full((NUM, 1), "a")}, "x is <U1"),
        (spoiled("x", (7, 1), np.nan), r"x\[7, 1\] is nan"),
        ({"x": np.full((NUM, 1), 1e60)}, r"x\[0, 0\] is 1e\+60"),
        ({"edge_index": arrays()["edge_index"].T}, r"edge_index is int64 of shape \(1600, 2\)"),
        ({"edge_index": arrays()["edge_index"].astype(float)}, "edge_index is float64"),
        (spoiled("edge_index", (1, 3), 400), r"edge_index\[1, 3\] is 400, but x has 400 nodes"),
        (spoiled("edge_index", (0, 0), -1), r"edge_index\[0, 0\] is -1"),
        ({"y": np.zeros(3)}, r"y is float64 of shape \(3,\)"),
        (spoiled("y", 5, 2), r"y\[5\] is 2"),
        ({"y": np.zeros(NUM)}, "y has 0 nodes of class 1"),
        (masks() | {"test_masks": np.ones((3, NUM), bool)}, r"test_masks is bool of shape \(3, 400\)"),
        (masks() | {"val_masks": np.full((2, NUM), 0.5)}, "val_masks is float64"),
        (masks() | {"train_masks": np.zeros(NUM, bool)}, r"train_masks is bool of shape \(400,\)"),
    ],
)
def test_a_bad_file_is_refused_with_the_field_and_the_value(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "bad.npz", **changed)
    with pytest.raises(DataContractError, match=said) as caught:
        read_static_graph(path)
    assert caught.value.remedy and caught.value.exit_code == 3


def test_a_node_in_two_parts_is_named(tmp_path: Path) -> None:
    both = masks()
    node = int(np.flatnonzero(both["train_masks"][1])[0])
    both["test_masks"][1, node] = True
    with pytest.raises(DataContractError, match=rf"Node {node} is in train_masks and test_masks of split 1"):
        graph(tmp_path, **both)


def test_a_part_with_one_class_is_named(tmp_path: Path) -> None:
    one = masks()
    one["val_masks"][0] &= arrays()["y"] == 0
    with pytest.raises(DataContractError, match="validation part of split 0 has 0 nodes of class 1"):
        graph(tmp_path, **one)


def test_what_is_no_npz_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        read_static_graph(tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("x,y\n1,2\n")
    with pytest.raises(DataContractError, match="cannot be read as npz"):
        read_static_graph(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataContractError, match="cannot be read as npz"):
        read_static_graph(tmp_path / "one.npy")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    with pytest.raises(DataContractError, match="cannot be read as npz"):
        read_static_graph(tmp_path / "objects.npz")
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, **arrays())
    data = whole.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 300)):  # zlib, zipfile and numpy each have words of their own
        whole.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with contextlib.suppress(DataContractError):
            read_static_graph(whole)


def test_masks_under_the_names_of_other_libraries_are_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match=r"has train_mask, one split(.|\n)*train_masks=mask\[None\]"):
        graph(tmp_path, train_mask=np.ones(NUM, bool))
