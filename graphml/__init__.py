"""Graph machine learning: causal sampling, models, training, evaluation, and the scorer that serving calls."""
