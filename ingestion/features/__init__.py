"""Point-in-time features: one spec, one kernel, used by the Spark job over history and online on one event."""
