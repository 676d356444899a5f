# Needs Python 3.11 or newer; Java 17 and Maven, or Docker, for a real Kafka. `make PYTHON=python3.13 …` takes another.
PYTHON ?= python3
SECONDS ?= 120
RATE ?= 300
SEED ?= 1
JOBS ?= 2
ARGS ?=

BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help demo test up bench chaos lint format lock clean

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | awk -F'|' '{printf "make %-8s %s\n", $$1, $$2}'

demo: $(READY) ## The whole pipeline on this machine, once through
	@$(BIN)/pipeline demo $(ARGS)

test: $(READY) ## All tests, JOBS= at once, each with servers of its own; ARGS="-k quiet_hours" for some
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

up: $(READY) ## The demo's stack, left running
	@$(BIN)/pipeline up $(ARGS)

bench: $(READY) ## Figures, into build/bench.json
	@$(BIN)/python -m bench $(ARGS)

chaos: $(READY) ## Kill, pause and restart things under load: SECONDS= RATE= (events a second) SEED=
	@$(BIN)/python -m tests.chaos --seconds $(SECONDS) --rate $(RATE) --seed $(SEED) $(ARGS)

lint: $(READY) ## ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(READY) ## Let ruff mend what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: | $(BIN)/uv ## Resolve pyproject.toml anew into requirements.lock; ARGS=--upgrade for newer versions
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS) \
		--output-file requirements.lock pyproject.toml scripts/build-requirements.in

clean: ## Remove the virtual environment and everything that was built
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): requirements.lock pyproject.toml scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup
	@touch $@

$(BIN)/uv:
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
