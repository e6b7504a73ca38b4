# ringfence: `make demo` and `make test` do all set-up by themselves. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
SCALE ?= 100k
WORKSPACE ?= ./workspace
BIN := .venv/bin

RUN_EXTRAS := spark,train,retrieve,serve
ALL_EXTRAS := $(RUN_EXTRAS),test,dev
PINS := pyproject.toml constraints.txt

.PHONY: help setup setup-all demo test check serve bench accept clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/.ready-run ## the environment that the demo needs (no test packages)

setup-all: .venv/.ready-all

.venv/.ready-run: $(PINS) deploy/setup.py
	@$(PYTHON) deploy/setup.py --extras $(RUN_EXTRAS) --stamp run -- $(PIP_ARGS)

.venv/.ready-all: $(PINS) deploy/setup.py
	@$(PYTHON) deploy/setup.py --extras $(ALL_EXTRAS) --stamp all -- $(PIP_ARGS)

demo: setup ## transactions to an investigated alert in ./workspace-demo (SCALE=1m for a million)
	@$(BIN)/ringfence demo --scale $(SCALE)

test: setup-all ## all tests; starts a real Neo4j server of its own
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup-all ## ruff, mypy, import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

serve: setup ## the investigation API on ./workspace (WORKSPACE=./workspace-demo for the demo's)
	@$(BIN)/ringfence serve --workspace $(WORKSPACE)

bench: setup-all ## every benchmark; writes benchmarks/results/SUMMARY.md (DATA=DIR for the public data sets)
	@$(BIN)/python -m benchmarks.run_all $(if $(DATA),--data $(DATA)) $(if $(QUICK),--quick)

accept: setup-all ## ISSUE=01: its long acceptance lines; writes docs/acceptance/01.md (DATA=DIR as above)
	@test -n "$(ISSUE)" || { echo "Name the issue: make accept ISSUE=01" >&2; exit 2; }
	@$(BIN)/python -m benchmarks.acceptance $(ISSUE) $(if $(DATA),--data $(DATA))

clean: ## remove the environment, caches of this folder and the demo's workspace
	@if [ -x $(BIN)/ringfence ] && [ -d workspace-demo ]; then $(BIN)/ringfence graph stop --workspace workspace-demo || true; fi
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis workspace-demo
