"""What a row of the ladder is once it is fitted: something that gives seeds a logit and can be stored."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graphml.context import GraphContext
from graphml.graph import Seeds

Doubles = NDArray[np.float64]


class Scorer(Protocol):
    """A servable row. It sees a seed's features and, as of the seed's cut, the graph in the context."""

    @property
    def name(self) -> str:
        """Row of the ladder, e.g. `xgboost`."""
        ...

    @property
    def cost(self) -> int:
        """Rank of what one score costs; the cheapest is 0."""
        ...

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """Log odds of fraud at the natural base rate, (S,) float64."""
        ...

    def save(self, folder: Path) -> None:
        """Write the row's files (JSON, safetensors) into a model's folder."""
        ...
