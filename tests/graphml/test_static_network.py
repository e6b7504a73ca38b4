"""The network on static graphs: its inputs by hand, and what its logits hang on."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.nn.gather import mean_by_target
from graphml.static_graph import Split, StaticGraph
from graphml.static_network import ByteDropout, NeighborMean, NetworkConfig, NodeClassifier, NodeInputs
from graphml.torch_first import torch

NOBODY = np.empty(0, np.int64)


def path_graph(x_NF: np.ndarray) -> StaticGraph:
    """Edges 0 -> 1 -> 2 -> … one way."""
    ids = np.arange(len(x_NF))
    return StaticGraph(
        x_NF=x_NF.astype(np.float32),
        source_E=ids[:-1],
        target_E=ids[1:],
        is_fraud_N=ids % 2 == 0,
        splits=(Split(train=NOBODY, validation=NOBODY, test=NOBODY),),
        stratified=False,
    )


def logits(inputs: NodeInputs, known_N2: torch.Tensor, *, num_layers: int = 2) -> torch.Tensor:
    torch.manual_seed(0)
    network = NodeClassifier(inputs.code_NW.shape[1], NetworkConfig(width=8, num_layers=num_layers)).eval()
    with torch.no_grad():
        return network(inputs, known_N2)


def test_the_code_of_a_node_by_hand() -> None:
    x_NF = np.array([[0.0, 3.0], [1.0, 3.0], [2.0, 3.0], [5.0, 3.0]])
    code = NodeInputs.of(path_graph(x_NF), num_bins=1).code_NW.numpy()
    assert np.allclose(code[:, 0], [0.0, 0.2, 0.4, 1.0]), "one bin from the least to the largest"
    assert np.allclose(code[:, 1], (x_NF[:, 0] - 2.0) / np.sqrt(3.5))
    assert np.array_equal(code[:, 2], np.zeros(4)), "a constant column says nothing"
    degree = np.log1p(np.array([0, 1, 1, 1]))
    assert np.allclose(code[:, 3], (degree - degree.mean()) / degree.std())


def test_a_label_reaches_as_many_hops_as_there_are_layers_and_along_the_edges() -> None:
    inputs = NodeInputs.of(path_graph(np.random.default_rng(0).normal(size=(6, 2))), num_bins=4)
    nothing = torch.zeros(6, 2)
    known = nothing.clone()
    known[1, 0] = 1.0
    for num_layers in (1, 2, 3):
        before, after = (logits(inputs, labels, num_layers=num_layers) for labels in (nothing, known))
        changed = np.flatnonzero((before != after).numpy())
        assert changed.tolist() == list(range(1, 2 + num_layers))


def test_edge_order_and_numbering_of_nodes_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    num, x_NF = 20, rng.normal(size=(20, 3)).astype(np.float32)
    source, target = rng.integers(0, num, (2, 60))
    label = torch.from_numpy(rng.integers(0, 2, (num, 2)).astype(np.float32))
    rename, order = rng.permutation(num), rng.permutation(60)
    base = path_graph(x_NF)
    first = StaticGraph(**{**vars(base), "source_E": source, "target_E": target})
    renamed_x, renamed_label = np.empty_like(x_NF), torch.empty_like(label)
    renamed_x[rename], renamed_label[rename] = x_NF, label
    second = StaticGraph(
        **{
            **vars(base),
            "x_NF": renamed_x,
            "source_E": rename[source][order],
            "target_E": rename[target][order],
        }
    )
    found = logits(NodeInputs.of(first, num_bins=4), label)
    again = logits(NodeInputs.of(second, num_bins=4), renamed_label)
    assert torch.allclose(found, again[torch.from_numpy(rename)], atol=1e-5)


def test_the_gradient_of_the_mean_is_that_of_the_layers_of_blocks() -> None:
    rng = np.random.default_rng(2)
    source, target = rng.integers(0, 9, (2, 30))
    graph = StaticGraph(**{**vars(path_graph(rng.normal(size=(10, 2)))), "source_E": source, "target_E": target})
    inputs = NodeInputs.of(graph, num_bins=2)
    h_NH = torch.randn(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight_NH = torch.from_numpy(rng.normal(size=(10, 3)))
    means = [NeighborMean.apply(h_NH, inputs), mean_by_target(inputs.block, h_NH, inputs.block.source_E)]
    first, second = (torch.autograd.grad((mean * weight_NH).sum(), h_NH)[0] for mean in means)
    assert torch.equal(means[0], means[1]) and torch.allclose(first, second, atol=1e-12)
    assert not means[0][9].any() and not first[9].any(), "node 9 has no edge"


def test_dropout_zeroes_its_share_keeps_the_mean_and_rests_in_evaluation() -> None:
    torch.manual_seed(0)
    dropout, ones = ByteDropout(0.25), torch.ones(1003, 101)
    drawn = dropout(ones)
    kept = drawn != 0
    assert torch.equal(drawn[kept], torch.full_like(drawn[kept], 4 / 3))
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.006)
    by_place = kept.flatten()[: 8 * 12_000].view(-1, 8).float().mean(dim=0)
    assert torch.allclose(by_place, torch.full((8,), 0.75), atol=0.02), "every byte of a word is as random"
    assert not torch.equal(dropout(ones), drawn)
    assert torch.equal(dropout.eval()(ones), ones) and torch.equal(ByteDropout(0.0)(ones), ones)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="width 0"):
        NetworkConfig(width=0)
    with pytest.raises(ValueError, match=r"dropout 1\.0"):
        NetworkConfig(dropout=1.0)
