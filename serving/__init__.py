"""The composition root: command line, HTTP API, nightly job, report. Only here are stores, models and indexes wired."""
