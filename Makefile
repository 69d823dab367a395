# Every target sets up what it needs on a fresh machine, once: a second call starts at once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo evaluate test unit runners-test lint format types imports bench docs release oldest setup clean

VENV    := .venv
BIN     := $(VENV)/bin
RUNNERS ?= .runners
INPUT   ?= pipelines/sample/texts.jsonl
OUTPUT  ?= out
JOBS    ?= 2
ARGS    ?=
STEP    := .ci/step
CODE    := $(wildcard beam_rnn pipelines training benchmarks tests setup.py)
export BEAM_RNN_RUNNERS := $(abspath $(RUNNERS))

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(VENV)/.stamp-run ## the main job on the committed sample (INPUT=, OUTPUT=, ARGS=)
	@$(BIN)/python -m beam_rnn tag-names --input "$(INPUT)" --output "$(OUTPUT)" --overwrite $(ARGS)

demo: $(VENV)/.stamp-apps ## every application on its sample, and one page of it all (OUTPUT=)
	@$(BIN)/python -m pipelines.demo "$(OUTPUT)"

evaluate: $(VENV)/.stamp-train ## every figure again, from weights and data
	@$(BIN)/python training/evaluate.py

# Runners wait for half of the time; each is one worker's, which starts its service once.
test: $(VENV)/.stamp-dev $(RUNNERS)/.stamp ## every test, on every runner (ARGS= for pytest)
	@$(BIN)/python -m pytest --ignore=tests/runners --ignore=tests/faults \
		-n $(JOBS) --dist loadfile $(ARGS)
	@$(BIN)/python -m pytest tests/runners tests/faults -n $(JOBS) --dist loadgroup $(ARGS)

# The library alone: no application, no training; a quarter of the random histories of `make test`.
unit: $(VENV)/.stamp-dev ## the tests of the library that start no runner service, under a minute (JOBS=2)
	@BEAM_RNN_EXAMPLES=$${BEAM_RNN_EXAMPLES:-25} $(BIN)/python -m pytest \
		--ignore=tests/runners --ignore=tests/pipelines --ignore=tests/training \
		-m "not slow" -n $(JOBS) --dist loadfile $(ARGS)

runners-test: $(VENV)/.stamp-dev $(RUNNERS)/.stamp ## the conformance suite alone
	@$(BIN)/python -m pytest tests/runners -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(VENV)/.stamp-dev ## ruff: rules and layout
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

format: $(VENV)/.stamp-dev ## ruff: mend what it can
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

types: $(VENV)/.stamp-dev ## mypy
	@$(BIN)/mypy

imports: $(VENV)/.stamp-dev ## import-linter: imports point one way
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.stamp-bench $(RUNNERS)/.stamp ## ours against peers, about 20 minutes (QUICK=1: 3)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

docs: $(VENV)/.stamp-dev ## the site of the pages and docstrings, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

release: $(VENV)/.stamp-build ## sdist and wheel in dist/, and the main job from the wheel alone
	@$(BIN)/python -m tests.release

oldest: | $(BIN)/python ## the tests of the transforms with the oldest Beam that is supported
	@$(BIN)/python -m tests.oldest

setup: $(VENV)/.stamp-dev $(RUNNERS)/.stamp ## all set-up, nothing run

clean: ## remove what set-up and tests made
	rm -rf $(VENV) .runners out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(STEP) "virtual environment in $(VENV)" "$${PYTHON:-$$(.ci/python)}" -m venv $(VENV)

# Making the environment writes into it, so its age says nothing: order-only.
$(VENV)/.stamp-run: setup.py | $(BIN)/python
	@$(STEP) "packages of the main job" $(BIN)/python -m pip install --quiet --editable '.[cli]'
	@touch $@

$(VENV)/.stamp-apps: setup.py | $(BIN)/python
	@$(STEP) "packages of the applications" \
		$(BIN)/python -m pip install --quiet --editable '.[apps]'
	@touch $@

$(VENV)/.stamp-train: setup.py | $(BIN)/python
	@$(STEP) "packages of the recipes" \
		$(BIN)/python -m pip install --quiet --editable '.[apps,train]'
	@touch $@

$(VENV)/.stamp-dev: setup.py | $(BIN)/python
	@$(STEP) "packages of the main job, tests and checks" \
		$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.stamp-run $(VENV)/.stamp-build

$(VENV)/.stamp-build: | $(BIN)/python
	@$(STEP) "packages of the release" $(BIN)/python -m pip install --quiet 'build>=1.2'
	@touch $@

$(VENV)/.stamp-bench: setup.py | $(BIN)/python
	@$(STEP) "packages of the benchmarks" $(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

$(RUNNERS)/.stamp: tests/runners/install.py $(wildcard tests/runners/*.pom.xml pipelines/java/pom.xml) | $(BIN)/python
	@$(BIN)/python tests/runners/install.py
	@touch $@
