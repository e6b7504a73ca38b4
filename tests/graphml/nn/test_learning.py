"""What a layer can learn that another cannot: the telling edge among several, told by its gap alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from graphml.block import Block
from graphml.nn.edges import EdgeConfig
from graphml.nn.gat import AttentionConfig, GatLayer
from graphml.nn.message_passing import MessagePassingConfig
from graphml.nn.sage import SageLayer
from graphml.nn.time_encoding import TimeConfig
from graphml.torch_first import torch

NUM_TARGETS, NUM_EACH, WIDTH = 1_500, 8, 16
EDGE = EdgeConfig(num_attributes=1, time=TimeConfig())


def most_recent_tells(seed: int) -> tuple[Block, torch.Tensor]:
    """Eight edges a target, each carries a sign and a gap; the class is the sign of the most recent one."""
    generator = torch.Generator().manual_seed(seed)
    sign_DE = torch.randint(0, 2, (NUM_TARGETS, NUM_EACH), generator=generator) * 2.0 - 1.0
    gap_DE = 200 * torch.rand(NUM_TARGETS, NUM_EACH, generator=generator)
    target_E = torch.arange(NUM_TARGETS).repeat_interleave(NUM_EACH)
    block = Block.from_edges(
        torch.zeros_like(target_E),
        target_E,
        num_sources=NUM_TARGETS,
        num_targets=NUM_TARGETS,
        edge_EA=sign_DE.reshape(-1, 1),
    )
    most_recent = gap_DE.argmin(dim=1, keepdim=True)
    return replace(block, gap_E=gap_DE.flatten()), sign_DE.gather(1, most_recent)[:, 0] > 0


def accuracy_after_training(layer: torch.nn.Module) -> float:
    """On new targets, after 150 steps on other ones."""
    (block, label), (new_block, new_label) = most_recent_tells(0), most_recent_tells(1)
    states, nothing = torch.ones(NUM_TARGETS, 1), torch.empty(0, 0)
    head = torch.nn.Linear(WIDTH, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.03)
    for _ in range(150):
        logits = head(torch.relu(layer(block, states, nothing)))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, label.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    predicted = head(torch.relu(layer(new_block, states, nothing)))[:, 0] > 0
    return (predicted == new_label).double().mean().item()


ATTENTIVE: dict[str, Callable[[], torch.nn.Module]] = {
    "gat": lambda: GatLayer(1, WIDTH, edge=EDGE, attention=AttentionConfig(num_heads=2, dynamic=False)),
    "gatv2": lambda: GatLayer(1, WIDTH, edge=EDGE, attention=AttentionConfig(num_heads=2)),
    "message passing": lambda: MessagePassingConfig(
        num_types=0,
        num_features=0,
        num_attributes=1,
        time=TimeConfig(),
        width=WIDTH,
        hidden_widths=(WIDTH,),
        aggregators=("attention",),
        dropout=0.0,
    ).layer(1),
}


@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_finds_the_most_recent_edge(name: str) -> None:
    torch.manual_seed(0)
    assert accuracy_after_training(ATTENTIVE[name]()) > 0.97


def test_a_mean_does_not() -> None:
    torch.manual_seed(0)
    assert accuracy_after_training(SageLayer(1, WIDTH, edge=EDGE)) < 0.75
