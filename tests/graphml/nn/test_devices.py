"""The same code on any device: no tensor is made elsewhere than the inputs are, values are never read back, and on a
GPU, where there is one, results and gradients are those of the CPU."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from graphml.block import Block
from graphml.torch_first import torch
from tests.graphml.nn.cases import NUM_FEATURES, NUM_TRANSACTIONS, random_block, random_inputs
from tests.graphml.nn.test_every_layer import LAYERS, WIDTH, build

TENSORS = [field.name for field in fields(Block) if field.name != "num_sources"]


def empty_like(block: Block, device: str) -> Block:
    """A block of the same shapes without values, floats in 32 bits."""
    made = {}
    for name in TENSORS:
        tensor = getattr(block, name)
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        made[name] = torch.empty(tensor.shape, dtype=dtype, device=device)
    return replace(block, **made)


@pytest.mark.parametrize("name", LAYERS)
def test_forward_on_a_gpu_that_is_not_there(name: str) -> None:
    """torch's fake tensors know shapes, types and devices, and refuse an operation over two devices."""
    block = random_block(1)
    with FakeTensorMode():
        with torch.device("cuda"):
            layer = LAYERS[name]()
        h = torch.empty(block.num_sources, WIDTH, device="cuda")
        features = torch.empty(NUM_TRANSACTIONS, NUM_FEATURES, device="cuda")
        out = layer(empty_like(block, "cuda"), h, features)
    assert out.device.type == "cuda"
    assert out.shape[0] == block.num_targets


def test_such_a_gpu_refuses_a_tensor_of_the_cpu() -> None:
    block = random_block(1)
    with FakeTensorMode():
        h = torch.empty(block.num_sources, WIDTH, device="cuda")
        with pytest.raises(RuntimeError, match="devices"):
            _ = h + torch.empty(block.num_sources, WIDTH)


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward_without_reading_a_value(name: str) -> None:
    """On the meta device a tensor has no values: whatever waits for one fails."""
    block = random_block(1)
    layer = LAYERS[name]().to("meta")
    h = torch.empty(block.num_sources, WIDTH, device="meta")
    features = torch.empty(NUM_TRANSACTIONS, NUM_FEATURES, device="meta")
    out = layer(empty_like(block, "meta"), h, features)
    out.sum().backward()
    assert {parameter.grad.device.type for parameter in layer.parameters()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("num_edges", [0, 60])
@pytest.mark.parametrize("name", LAYERS)
def test_a_gpu_gives_what_the_cpu_gives(name: str, num_edges: int) -> None:
    block = random_block(1, num_edges=num_edges)
    inputs = random_inputs(1, block, WIDTH)
    results = []
    for device in ("cpu", "cuda"):
        layer = build(name).to(device)
        out = layer(block.to(device), *(tensor.to(device) for tensor in inputs))
        out.square().sum().backward()
        gradients = [parameter.grad.flatten() for parameter in layer.parameters()]
        results.append(torch.cat([out.flatten(), *gradients]).detach().cpu())
    assert torch.allclose(*results, atol=1e-10)
