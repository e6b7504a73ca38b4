"""The trainer on a toy: resumes anywhere to the same losses, skips what is unsound, keeps what was judged best."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from graphml.errors import UnstableTraining
from graphml.precision import probe_precision
from graphml.stability import Stability
from graphml.torch_first import torch
from graphml.trainer import fit
from graphml.trainer_config import TrainerConfig, learning_rate
from tests.graphml.toy_learner import ToyLearner, weights

CONFIG = TrainerConfig(epochs=3, batch_size=8, learning_rate=0.05, checkpoint_steps=2, patience=9, precision="fp32")
STEPS = 3 * 7  # 50 rows in batches of 8


def test_the_same_arguments_give_the_same_weights() -> None:
    first, second = (fit(ToyLearner(dropout=0.5), CONFIG) for _ in range(2))
    assert weights(first) == weights(second)
    assert first.history == second.history
    assert weights(fit(ToyLearner(dropout=0.5), replace(CONFIG, seed=1))) != weights(first)


@pytest.mark.parametrize("killed_at", range(1, STEPS))
def test_killed_at_any_step_it_goes_on_to_the_same_losses(tmp_path: Path, killed_at: int) -> None:
    config = replace(CONFIG, average_decay=0.9)
    calls = iter(range(1, STEPS + 1))

    def kill(_: float) -> None:
        if next(calls) == killed_at:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "run.safetensors"
    clean = fit(ToyLearner(dropout=0.3, judgements=[0.1, 0.3, 0.2]), config)
    with pytest.raises(KeyboardInterrupt):
        fit(ToyLearner(dropout=0.3, judgements=[0.1, 0.3, 0.2]), config, checkpoint=checkpoint, progress=kill)
    judgements = [0.1, 0.3, 0.2][(killed_at - 1) // 7 :]  # epochs that are yet to be judged
    resumed = fit(ToyLearner(dropout=0.3, judgements=judgements), config, checkpoint=checkpoint)
    assert weights(resumed) == weights(clean)
    assert resumed.history == clean.history
    assert all(clean.losses[step] == loss for step, loss in resumed.losses.items())
    assert STEPS in resumed.losses


def test_a_damaged_checkpoint_only_costs_time(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    checkpoint.write_bytes(b"not a checkpoint")
    assert weights(fit(ToyLearner(), CONFIG, checkpoint=checkpoint)) == weights(fit(ToyLearner(), CONFIG))


def test_the_best_judged_epoch_is_kept_and_patience_ends_the_run() -> None:
    learner = ToyLearner(judgements=[0.2, 0.5, 0.4, 0.3, 0.9])
    run = fit(learner, replace(CONFIG, epochs=5, patience=2))
    assert [entry["validation"] for entry in run.history] == [0.2, 0.5, 0.4, 0.3]
    assert run.state.best_epoch == 2
    assert all(torch.equal(learner.judged[1][name], tensor) for name, tensor in learner.network.state_dict().items())


def test_without_a_judgement_the_last_epoch_is_kept() -> None:
    learner = ToyLearner()
    run = fit(learner, CONFIG)
    assert run.state.best_epoch == run.state.epoch == 3
    assert all(torch.equal(learner.judged[-1][name], tensor) for name, tensor in learner.network.state_dict().items())


def test_parts_of_a_batch_give_the_gradient_of_the_whole() -> None:
    whole, parts = (fit(ToyLearner(), replace(CONFIG, accumulation=number)) for number in (1, 3))
    for name, tensor in whole.learner.network.state_dict().items():
        assert torch.allclose(tensor, parts.learner.network.state_dict()[name], atol=1e-12)


def test_averaged_weights_are_the_ones_judged_and_kept() -> None:
    learner = ToyLearner()
    run = fit(learner, replace(CONFIG, average_decay=0.5))
    assert run.average is not None
    for name, tensor in run.average.module.state_dict().items():
        assert torch.equal(learner.network.state_dict()[name], tensor)
    assert weights(run) != weights(fit(ToyLearner(), CONFIG))


def spoiled(by_step: dict[int, float]):
    """Multiply the loss of the n-th call by a factor."""
    count = iter(range(10_000))
    return lambda ids, loss: loss * by_step.get(next(count), 1.0)


def test_a_step_that_is_no_number_is_skipped_and_counted() -> None:
    run = fit(ToyLearner(spoil=spoiled({4: float("nan")})), CONFIG)
    assert run.stability.num_skipped == 1
    assert 5 not in run.losses
    assert len(run.losses) == STEPS - 1
    assert all(np.isfinite(tensor).all() for tensor in run.learner.network.state_dict().values())


def test_a_skipped_step_leaves_no_trace_in_running_statistics() -> None:
    def spoil(ids: np.ndarray, loss: torch.Tensor) -> torch.Tensor:
        return loss * float("nan") if 7 in ids else loss

    class Normalised(ToyLearner):
        def __init__(self) -> None:
            super().__init__(spoil=spoil)
            self.x[7] = float("nan")
            self.network = nn.Sequential(nn.BatchNorm1d(3, dtype=torch.float64), *self.network)

    learner = Normalised()
    with pytest.raises(UnstableTraining):  # one bad batch an epoch: the third ends the run
        fit(learner, CONFIG)
    state = learner.network.state_dict()
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())
    assert 0 < int(state["0.num_batches_tracked"]) == len(learner.seen) - 3


def test_a_spike_is_skipped_once_the_usual_loss_is_known() -> None:
    run = fit(ToyLearner(spoil=spoiled({3: 100.0, 30: 1000.0})), replace(CONFIG, epochs=6))
    assert run.stability.num_skipped == 1  # the early one is within the warm-up: nothing is usual yet
    assert 31 not in run.losses


def test_hard_batches_of_a_network_that_knows_its_rows_are_no_spikes() -> None:
    stability = Stability()
    usual = [0.7] * 30 + [0.015] * 270
    assert all(stability.is_sound(loss, 1.0, step=step) for step, loss in enumerate(usual))
    # as seen on the Handbook: hard batches reach ten times the usual loss and more
    assert all(stability.is_sound(loss, 1.0, step=300) for loss in (0.2, 0.015, 0.39, 0.3))
    assert stability.num_skipped == 0
    # and as seen there after the warm-up of the learning rate: a way through worse than knowing nothing, and back
    assert all(stability.is_sound(loss, 37.0, step=310) for loss in (0.48, 1.81, 1.52, 0.43))
    assert stability.num_skipped == 0
    assert not stability.is_sound(8.0, 1.0, step=320)  # ten times worse


def test_an_absurd_loss_among_the_first_steps_is_skipped_and_moves_no_bound() -> None:
    stability = Stability()
    assert all(stability.is_sound(0.7, 1.0, step=step) for step in range(19))
    assert not stability.is_sound(1e6, 1e9, step=19)
    assert all(stability.is_sound(0.7, 1.0, step=20 + step) for step in range(5))
    assert not stability.is_sound(8.0, 1.0, step=30)


def test_a_run_that_diverges_ends_with_what_to_do() -> None:
    with pytest.raises(UnstableTraining, match="Lower the learning rate"):
        fit(ToyLearner(), replace(CONFIG, epochs=20, learning_rate=1000.0))


def test_the_third_bad_step_ends_the_run_with_the_weights_of_the_last_checkpoint(tmp_path: Path) -> None:
    checkpoint, nan = tmp_path / "run.safetensors", float("nan")
    learner = ToyLearner(spoil=spoiled({9: nan, 10: nan, 12: nan}))
    with pytest.raises(UnstableTraining, match=r"3 steps up to step 13.*\n?.*") as caught:
        fit(learner, CONFIG, checkpoint=checkpoint)
    assert "learning rate" in str(caught.value)
    good = ToyLearner()
    fit(good, CONFIG, checkpoint=tmp_path / "good.safetensors", progress=None)
    # 12 calls in, the last checkpoint is from step 11, the fourth of epoch 2; steps 10 and 11 were not taken
    trained = ToyLearner(spoil=spoiled({9: nan, 10: nan}))
    calls = iter(range(1, STEPS))

    def stop(_: float) -> None:
        if next(calls) == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(trained, CONFIG, progress=stop)
    for name, tensor in trained.network.state_dict().items():
        assert torch.equal(tensor, learner.network.state_dict()[name])


def test_the_rate_rises_then_falls_to_its_share() -> None:
    config = TrainerConfig(learning_rate=1.0, warmup_share=0.1, final_share=0.2)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[:2] == pytest.approx([0.1, 0.2])
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert learning_rate(config, 100, 100) == pytest.approx(0.2)


def test_progress_and_tracker_are_told(caplog: pytest.LogCaptureFixture) -> None:
    shares: list[float] = []
    told: list[tuple[int, dict[str, float]]] = []
    with caplog.at_level("INFO", logger="graphml.trainer"):
        fit(ToyLearner(), CONFIG, progress=shares.append, tracker=lambda step, metrics: told.append((step, metrics)))
    assert len(shares) == STEPS
    assert shares[-1] == 1.0
    assert [step for step, _ in told] == [7, 14, 21]
    assert told[0][1]["seeds_per_second"] > 0
    assert told[0][1]["peak_memory_bytes"] > 1e6
    assert "seeds_per_second" in caplog.text


def test_the_probe_names_a_precision_and_a_run_keeps_it(tmp_path: Path) -> None:
    assert probe_precision(torch.device("cpu")) in ("fp32", "bf16")
    checkpoint = tmp_path / "run.safetensors"
    fit(ToyLearner(dtype=torch.float32), replace(CONFIG, precision="bf16"), checkpoint=checkpoint)
    again = fit(ToyLearner(dtype=torch.float32), replace(CONFIG, precision="fp32"), checkpoint=checkpoint)
    assert again.state.precision == "bf16"  # what the checkpoint was trained in


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"average_decay": 1.0}, {"accumulation": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainerConfig(**wrong)  # type: ignore[arg-type]
