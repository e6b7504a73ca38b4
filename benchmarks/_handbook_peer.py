"""The peer on the Handbook: the book's 15 features by pandas, and XGBoost's scikit-learn interface on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import xgboost

from graphml.scorer import Doubles

DELAY_DAYS = 7
COLUMNS = (
    ["TX_AMOUNT", "is_weekend", "is_night"]
    + [f"{kind}_{days}" for kind in ("customer_count", "customer_mean") for days in (1, 7, 30)]
    + [f"{kind}_{days}" for kind in ("terminal_count", "terminal_risk") for days in (1, 7, 30)]
)


def handbook_features(table: Path, *, first: str, last: str) -> pd.DataFrame:
    """The book's features from `first` to `last` (dates), as its chapter 3 defines them, by transaction id."""
    frame = pq.read_table(table).to_pandas().sort_values(["TX_DATETIME", "TRANSACTION_ID"]).reset_index(drop=True)
    frame = frame[frame.TX_DATETIME.between(pd.Timestamp(first) - pd.Timedelta("38D"), pd.Timestamp(last))].copy()
    frame["id"] = frame.TRANSACTION_ID.astype(str)
    frame["is_weekend"] = (frame.TX_DATETIME.dt.weekday >= 5).astype(float)
    frame["is_night"] = (frame.TX_DATETIME.dt.hour <= 6).astype(float)
    frame["fraud"] = frame.TX_FRAUD.astype(float)
    for days in (1, 7, 30):
        frame[f"customer_count_{days}"] = rolled(frame, "CUSTOMER_ID", "TX_AMOUNT", days, "count")
        frame[f"customer_mean_{days}"] = rolled(frame, "CUSTOMER_ID", "TX_AMOUNT", days, "mean")
    recent = {kind: rolled(frame, "TERMINAL_ID", "fraud", DELAY_DAYS, kind) for kind in ("sum", "count")}
    for days in (1, 7, 30):
        wide = {kind: rolled(frame, "TERMINAL_ID", "fraud", days + DELAY_DAYS, kind) for kind in ("sum", "count")}
        count = wide["count"] - recent["count"]
        frame[f"terminal_count_{days}"] = count
        frame[f"terminal_risk_{days}"] = ((wide["sum"] - recent["sum"]) / count).fillna(0.0)
    return frame[frame.TX_DATETIME.ge(first)].set_index("id")[COLUMNS]


def rolled(frame: pd.DataFrame, key: str, column: str, days: int, statistic: str) -> pd.Series:
    """A statistic of `column` over (t - days, t] of each key's rows, on the frame's index."""
    ordered = frame.sort_values([key, "TX_DATETIME"], kind="stable")
    windows = ordered.groupby(key).rolling(f"{days}D", on="TX_DATETIME")[column]
    return pd.Series(getattr(windows, statistic)().to_numpy(), index=ordered.index)


def peer_logits(train: np.ndarray, is_fraud: np.ndarray, test: np.ndarray) -> Doubles:
    """Margins of the test rows by XGBClassifier, untuned."""
    model = xgboost.XGBClassifier(
        n_estimators=100, max_depth=3, learning_rate=0.1, tree_method="exact", base_score=0.5, n_jobs=1
    )
    model.fit(train, is_fraud)
    return model.predict(test, output_margin=True).astype(np.float64)
