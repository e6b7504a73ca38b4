"""Graph machine learning: causal sampling, models, training, evaluation, and the scorer that serving calls."""

from ingestion import native

native.prepare()  # OpenMP reads its environment when the first library that uses it is loaded
