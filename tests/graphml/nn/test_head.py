"""What the head reads of absent and several parties."""

from __future__ import annotations

from graphml.nn.head import TransactionHead
from graphml.torch_first import torch


def seen_by(head: TransactionHead, h: torch.Tensor, index: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Inputs of the first linear layer."""
    caught: list[torch.Tensor] = []
    head.layers[0].register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
    head(h, index, x)
    return caught[0]


def test_absent_parties_are_zeros_and_further_ones_are_averaged() -> None:
    head = TransactionHead(1, 1).eval()
    h = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    index = torch.tensor([[0, 1, 2, 3], [0, 1, -1, 3], [0, -1, -1, -1]])
    seen = seen_by(head, h, index, torch.tensor([[9.0], [9.0], [9.0]]))
    assert seen.tolist() == [[1.0, 2.0, 6.0, 9.0], [1.0, 2.0, 8.0, 9.0], [1.0, 0.0, 0.0, 9.0]]


def test_one_logit_a_seed() -> None:
    head = TransactionHead(3, 2).eval()
    assert head(torch.randn(5, 3), torch.tensor([[0, 1], [2, 3]]), torch.randn(2, 2)).shape == (2,)
