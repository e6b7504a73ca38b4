"""What each head reads of the states, and its gradients."""

from __future__ import annotations

import pytest

from graphml.nn.head import EntityHead, PairHead, TransactionHead
from graphml.torch_first import torch

STATES = torch.tensor([[1.0], [2.0], [4.0], [8.0]])


def seen_by(head: torch.nn.Module, h: torch.Tensor, index: torch.Tensor, x: torch.Tensor) -> list[list[float]]:
    """Inputs of the first linear layer."""
    caught: list[torch.Tensor] = []
    head.layers[0].register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
    head(h, index, x)
    return caught[0].tolist()


def test_absent_parties_are_zeros_and_further_ones_are_averaged() -> None:
    index = torch.tensor([[0, 1, 2, 3], [0, 1, -1, 3], [0, -1, -1, -1]])
    seen = seen_by(TransactionHead(1, 1), STATES, index, torch.tensor([[9.0], [9.0], [9.0]]))
    assert seen == [[1.0, 2.0, 6.0, 9.0], [1.0, 2.0, 8.0, 9.0], [1.0, 0.0, 0.0, 9.0]]


def test_an_entity_is_its_state_and_its_inputs() -> None:
    assert seen_by(EntityHead(1, 1), STATES, torch.tensor([[3], [1]]), torch.tensor([[5.0], [6.0]])) == [
        [8.0, 5.0],
        [2.0, 6.0],
    ]
    assert seen_by(EntityHead(1), STATES, torch.tensor([[3]]), torch.empty(1, 0)) == [[8.0]]


def test_a_directed_pair_knows_first_from_second() -> None:
    head = PairHead(1, 1, symmetric=False)
    assert seen_by(head, STATES, torch.tensor([[1, 2]]), torch.tensor([[9.0]])) == [[2.0, 4.0, 8.0, 9.0]]


def test_a_symmetric_pair_does_not() -> None:
    head = PairHead(1, symmetric=True)
    there = seen_by(head, STATES, torch.tensor([[1, 2]]), torch.empty(1, 0))
    back = seen_by(head, STATES, torch.tensor([[2, 1]]), torch.empty(1, 0))
    assert there == back == [[6.0, 8.0, 4.0]]


HEADS = {
    "transaction": (TransactionHead(3, 2, hidden=5, dropout=0.0), [[0, 1, -1], [2, 3, 1]]),
    "entity": (EntityHead(3, 2, hidden=5, dropout=0.0), [[0], [2]]),
    "directed pair": (PairHead(3, 2, symmetric=False, hidden=5, dropout=0.0), [[0, 1], [2, 2]]),
    "symmetric pair": (PairHead(3, 2, symmetric=True, hidden=5, dropout=0.0), [[0, 1], [2, 2]]),
}


@pytest.mark.parametrize("name", HEADS)
def test_one_logit_a_seed_with_the_right_gradients(name: str) -> None:
    head, index = HEADS[name]
    head.double()
    torch.manual_seed(0)
    h = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert head(h, torch.tensor(index), x).shape == (2,)
    assert torch.autograd.gradcheck(lambda h, x, *_: head(h, torch.tensor(index), x), (h, x, *head.parameters()))


@pytest.mark.parametrize(("head", "columns"), [(EntityHead(1), 2), (PairHead(1, symmetric=True), 3)])
def test_an_index_of_the_wrong_width_is_refused(head: torch.nn.Module, columns: int) -> None:
    with pytest.raises(ValueError, match=rf"has shape \(1, {columns}\)"):
        head(STATES, torch.zeros(1, columns, dtype=torch.long), torch.empty(1, 0))
