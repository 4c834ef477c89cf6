# Charter. `make up` needs only Python 3.11 and an ordinary user; `make test` needs root or sudo on Debian 12.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STATE ?= var
PYTEST_ARGS ?=
UP_ARGS ?=
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
LOCK := uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --no-annotate

.PHONY: help up down test test-fast lint format bench docs lock servers clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# One stamp per set of requirements, so that a second `make` does nothing.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	  || { echo 'Charter needs Python 3.11 (Debian: python3.11-venv); set PYTHON=/path/to/python3.11.' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo 'No virtualenv could be made (Debian: apt install python3.11-venv).' >&2; exit 1; }
	@touch $@

$(VENV)/.runtime: requirements/build.txt requirements/runtime.txt setup.cfg | $(VENV)/.made
	@echo 'Installing Charter and its dependencies …'
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/build.txt requirements/dev.txt setup.cfg | $(VENV)/.made
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime

up: $(VENV)/.runtime ## Start the demo company; prints where and as whom to log on
	@$(BIN)/charter up --demo --state $(STATE) $(UP_ARGS)

down: $(VENV)/.runtime ## Stop it
	@$(BIN)/charter down --state $(STATE)

servers: ## Install the real servers that the tests talk to (root or sudo)
	@tests/install-servers $(SUDO)

test: $(VENV)/.dev servers ## Every test, against real servers
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-fast: $(VENV)/.dev ## Unit tests only
	@$(BIN)/python -m pytest -m 'not integration and not browser' tests/unit $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Ruff, mypy, import-linter, pip-audit
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pip_audit --disable-pip --require-hashes --progress-spinner off -r requirements/dev.txt

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Measure, beside peers, and print tables
	@$(BIN)/python -m bench $(BENCH_ARGS)

docs: $(VENV)/.dev ## Write the generated references again
	@$(BIN)/python -m tests.generated_docs --write

lock: ## Write the lock files again (needs uv)
	@cd $(CURDIR) && $(LOCK) requirements/build.in -o requirements/build.txt
	@$(LOCK) setup.cfg --extra synapse --extra bots --extra demo -o requirements/runtime.txt
	@$(LOCK) setup.cfg --all-extras -c requirements/runtime.txt -o requirements/dev.txt

clean: ## Remove the virtualenv and caches (keeps the state directory)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
