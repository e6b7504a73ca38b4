"""Two processes train as one does: the same weights, every seed once, checkpoints that change hands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphml.distributed import Ranks
from graphml.torch_first import torch
from graphml.trainer import fit
from graphml.trainer_config import TrainerConfig
from tests.graphml.toy_learner import ToyLearner, train_on_rank

#: 50 rows in batches of 7: 8 steps an epoch, the last of 1 seed, so that one rank has none.
CONFIG = TrainerConfig(epochs=7, batch_size=7, learning_rate=0.02, checkpoint_steps=3, precision="fp32")


def on_ranks(
    world: int, folder: Path, config: TrainerConfig, checkpoint: Path | None = None, *, stop_at: int | None = None
) -> list[dict[str, Any]]:
    """Train on `world` processes, which may fail at a step; what each of them left."""
    folder.mkdir()
    arguments = (world, folder, config, checkpoint, stop_at)
    torch.multiprocessing.spawn(train_on_rank, arguments, nprocs=world)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


@given(num=st.integers(0, 40), world=st.integers(1, 5))
def test_shards_are_disjoint_and_together_the_batch(num: int, world: int) -> None:
    ids = np.random.default_rng(num).permutation(num)
    shards = [Ranks(rank=rank, world=world).shard(ids) for rank in range(world)]
    assert sorted(np.concatenate(shards).tolist()) == list(range(num))
    whole = np.empty(num)
    for rank, part in enumerate(shards):
        whole[rank::world] = part
    assert whole.tolist() == ids.tolist()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_ranks(2, tmp_path_factory.mktemp("ranks") / "two", CONFIG)


def test_two_processes_end_in_the_weights_of_one_after_50_steps(two: list[dict[str, Any]]) -> None:
    alone = fit(ToyLearner(), CONFIG)
    assert alone.state.steps_done == 56
    for found in two:
        for name, tensor in alone.learner.network.state_dict().items():
            assert (tensor - found["weights"][name]).abs().max() <= 1e-5
        assert found["losses"] == pytest.approx(alone.losses, abs=1e-9)


def test_the_ranks_seeds_are_the_epoch_once(two: list[dict[str, Any]]) -> None:
    for epoch in range(7):
        seen = [seed for found in two for step in found["seen"][8 * epoch : 8 * (epoch + 1)] for seed in step]
        assert sorted(seen) == list(range(50))
    assert len(two[1]["seen"][7]) == 0


def test_a_checkpoint_of_two_ranks_goes_on_with_one(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    with pytest.raises(Exception, match="stopped at step 20"):
        on_ranks(2, tmp_path / "stopped", CONFIG, checkpoint, stop_at=20)
    alone, resumed = fit(ToyLearner(), CONFIG), fit(ToyLearner(), CONFIG, checkpoint=checkpoint)
    assert min(resumed.losses) == 20  # the two had written step 19, the third of their third epoch
    for name, tensor in alone.learner.network.state_dict().items():
        assert (tensor - resumed.learner.network.state_dict()[name]).abs().max() <= 1e-5
