"""Guards of a training against steps that would ruin it: not a number, or a spike of the loss."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from graphml.errors import UnstableTraining

_log = logging.getLogger(__name__)

#: So many unsound steps, without `_FORGIVEN_AFTER` sound ones between them, end a run.
MAX_BAD_STEPS = 3
_FORGIVEN_AFTER = 100
#: A loss above this many times the usual one, or the first steps' mean where that is more, is a spike. Both are known
#: after some steps. A hard batch, and a network on its way through a sharp valley, reach more than they began with and
#: come back by themselves when their clipped steps are taken (`docs/experiments.md`); skipped, they could not.
_SPIKE = 10.0
_WARM_UP = 20
_DECAY = 0.95
#: Times the usual loss that are a spike even among the first steps, which would else pass for what is usual.
_ABSURD = 100.0


@dataclass(kw_only=True)
class Stability:
    """`usual_loss` is a running mean of sound steps, `first_loss` the mean of the first of them; `num_bad` counts
    towards the end of the run."""

    usual_loss: float = 0.0
    first_loss: float = 0.0
    num_sound: int = 0
    sound_in_a_row: int = 0
    num_bad: int = 0
    num_skipped: int = 0

    def is_sound(self, loss: float, gradient_norm: float, *, step: int) -> bool:
        """Whether to take the step; the loss is the mean over the global batch, so all ranks agree.

        Raises `UnstableTraining` with the third bad step: the checkpoint that is on disk is from before it.
        """
        is_finite = math.isfinite(loss) and math.isfinite(gradient_norm)
        bound = _SPIKE * max(self.usual_loss, self.first_loss)
        if self.num_sound < _WARM_UP:  # too early to know what is usual, but not to know what is absurd
            bound = _ABSURD * self.usual_loss if self.usual_loss > 0 else math.inf
        is_spike = loss > bound
        if is_finite and not is_spike:
            self._learn(loss)
            return True
        self.num_bad += 1
        self.num_skipped += 1
        self.sound_in_a_row = 0
        _log.warning(
            "step %d skipped: loss %g, usually %g, gradient norm %g", step, loss, self.usual_loss, gradient_norm
        )
        if self.num_bad >= MAX_BAD_STEPS:
            raise UnstableTraining(
                f"{self.num_bad} steps up to step {step} had a loss that is no number or a spike: the last {loss:g} "
                f"where {self.usual_loss:g} is usual, with a gradient of length {gradient_norm:g}.",
                remedy="Lower the learning rate, or look for absurd amounts in the snapshot, and train again. "
                "The weights are back at the last checkpoint, where there is one.",
            )
        return False

    def _learn(self, loss: float) -> None:
        self.usual_loss = loss if self.num_sound == 0 else _DECAY * self.usual_loss + (1 - _DECAY) * loss
        if self.num_sound < _WARM_UP:
            self.first_loss += loss / _WARM_UP
        self.num_sound += 1
        self.sound_in_a_row += 1
        if self.sound_in_a_row >= _FORGIVEN_AFTER:
            self.num_bad = 0
