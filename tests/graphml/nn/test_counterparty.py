"""Telling the other end: hangs on what came before the seed alone, and knows a pair when it sees one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphml.context import GraphContext
from graphml.event_code import EventCode, EventToken
from graphml.fused_row import fused_inputs
from graphml.nn.counterparty import Counterparty
from graphml.nn.event_reader import EventInputs
from graphml.torch_first import torch
from tests.graphml.cases import random_graph

GRAPH = random_graph(3, num=200, entities=30)
WIDTH = 8


def inputs_of(positions: list[int]) -> EventInputs:
    token = EventToken(code=EventCode.fit(GRAPH.features[:150], (0, 1)), num_roles=len(GRAPH.roles), num_recent=0)
    seeds = GRAPH.seeds(np.asarray(positions))
    return fused_inputs(GraphContext(GRAPH), token, seeds, receptive_field=6, num_near=0)


def random_states(inputs: EventInputs) -> torch.Tensor:
    return torch.randn(len(inputs.kind_L), WIDTH, generator=torch.Generator().manual_seed(0))


def test_the_seed_s_own_events_do_not_enter() -> None:
    torch.manual_seed(0)
    loss, inputs = Counterparty(WIDTH), inputs_of([120, 140, 150, 160, 170, 180])
    states = random_states(inputs)
    other = states.clone()
    alone = ~torch.isin(inputs.last_D, inputs.last_D - 1)  # not what another seed of the same window has before it
    assert alone.any()
    other[inputs.last_D[alone]] = 99.0
    assert loss(states, inputs) > 0
    assert torch.equal(loss(other, inputs), loss(states, inputs))


def test_states_that_agree_before_cost_little() -> None:
    torch.manual_seed(0)
    loss, inputs = Counterparty(WIDTH), inputs_of([120, 130, 140, 150, 160])
    torch.nn.init.eye_(loss.source.weight)
    torch.nn.init.eye_(loss.target.weight)
    states = random_states(inputs)
    agreeing = states.clone()
    for number, ends in enumerate(inputs.index_SR[:, :2]):
        agreeing[inputs.last_D[ends] - 1] = torch.eye(WIDTH)[number]
    assert loss(agreeing, inputs) < 0.5 * loss(states, inputs)


def test_fewer_than_two_pairs_are_no_loss_and_keep_the_gradients() -> None:
    torch.manual_seed(0)
    loss, inputs = Counterparty(WIDTH), inputs_of([150])
    found = loss(random_states(inputs).requires_grad_(), inputs)
    assert float(found.detach()) == 0.0
    found.backward()
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_another_moment_of_the_same_end_is_no_wrong_answer() -> None:
    """Two seeds of the same two parties have nothing to tell apart, wherever their windows lie."""
    torch.manual_seed(0)
    loss, inputs = Counterparty(WIDTH), inputs_of([150, 160])
    assert float(loss(random_states(inputs), inputs).detach()) > 0
    source, target = inputs.index_SR[:, 0], inputs.index_SR[:, 1]
    entity = inputs.entity_D.clone()
    entity[source], entity[target] = 1_000, 1_001
    assert float(loss(random_states(inputs), replace(inputs, entity_D=entity)).detach()) == 0.0


def test_one_party_at_both_ends_is_no_pair() -> None:
    torch.manual_seed(0)
    loss, inputs = Counterparty(WIDTH), inputs_of([140, 150, 160])
    index = inputs.index_SR.clone()
    index[:, 1] = index[:, 0]
    assert float(loss(random_states(inputs), replace(inputs, index_SR=index)).detach()) == 0.0
