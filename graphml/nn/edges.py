"""What an edge carries, as numbers for a layer: its transaction's features, its attributes, the code of its gap.

Legend: E edges, N transactions, F features of a transaction, A edge attributes, W width of the code, D targets.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from graphml.block import Block
from graphml.nn.gather import mean_by_target
from graphml.nn.piecewise import PiecewiseBins, PiecewiseLinearEncoding
from graphml.nn.segments import segment_mean
from graphml.nn.time_encoding import TimeConfig, TimeEncoding
from graphml.torch_first import torch


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    """F features of the transaction table (0: not read), A attributes (0: not read), the encoding of the gap (None:
    the gap is not read) and `feature_bins`, with which features are encoded piecewise-linearly instead of taken as
    they are: the table then holds raw numbers, NaN where absent."""

    num_features: int = 0
    num_attributes: int = 0
    time: TimeConfig | None = None
    feature_bins: PiecewiseBins | None = None

    def __post_init__(self) -> None:
        if self.num_features < 0 or self.num_attributes < 0:
            raise ValueError(
                f"An edge cannot have {self.num_features} features and {self.num_attributes} attributes; counts are "
                "0 or more."
            )
        if self.feature_bins is not None and self.feature_bins.num_features != self.num_features:
            raise ValueError(
                f"feature_bins are for {self.feature_bins.num_features} features, the table has {self.num_features}; "
                "fit them on the table's columns."
            )

    @property
    def width(self) -> int:
        """W: columns of the code; 0 when an edge carries nothing."""
        features = self.num_features if self.feature_bins is None else self.feature_bins.width
        return features + self.num_attributes + (0 if self.time is None else self.time.width)


class EdgeEncoder(nn.Module):
    """Block and `features_NF` -> code (E, W) = [features of the transaction, attributes, code of the gap].

    `features_NF` may be of another (smaller) float type; what is gathered is converted to `dtype`.
    """

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        self.config = config
        self.features = None if config.feature_bins is None else PiecewiseLinearEncoding(config.feature_bins)
        self.time = None if config.time is None else TimeEncoding(config.time)

    @property
    def width(self) -> int:
        """W."""
        return self.config.width

    def forward(self, block: Block, features_NF: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The code (E, W); see the class."""
        parts = []
        if self.config.num_features:
            x_EF = features_NF.index_select(0, block.transaction_E)
            parts.append(x_EF if self.features is None else self.features(x_EF))
        if self.config.num_attributes:
            parts.append(block.edge_EA)
        if self.time is not None:
            parts.append(self.time(block.gap_E))
        return _joined(parts, block.edge_EA.new_zeros(block.num_edges, 0), dtype)

    def mean(self, block: Block, features_NF: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Mean of the code over each target's edges, (D, W), zeros without edges: what `segment_mean` of `forward`
        gives, without ever holding the features of every edge when they are taken as they are."""
        parts = []
        if self.config.num_features and self.features is None:
            parts.append(mean_by_target(block, features_NF, block.transaction_E))
        elif self.features is not None:
            code = self.features(features_NF.index_select(0, block.transaction_E))
            parts.append(segment_mean(code, block.offsets_D))
        if self.config.num_attributes:
            parts.append(segment_mean(block.edge_EA, block.offsets_D))
        if self.time is not None:
            parts.append(segment_mean(self.time(block.gap_E), block.offsets_D))
        return _joined(parts, block.edge_EA.new_zeros(block.num_targets, 0), dtype)


def _joined(parts: list[torch.Tensor], none: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if len(parts) < 2:  # nothing to copy
        return (parts or [none])[0].to(dtype)
    return torch.cat([part.to(dtype) for part in parts], dim=1)
