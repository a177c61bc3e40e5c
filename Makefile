# `make` lists the targets. Each does the set-up it needs.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PYTHON
export PYTHONUNBUFFERED = 1

PYTHON_IN_VENV = .venv/bin/python
WORKERS ?= 2

.PHONY: help setup demo test lint types contracts test-system soak bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv with the locked dependencies (every other target does this by itself)
	@/bin/sh .ci/setup $(firstword $(MAKECMDGOALS))

demo: setup ## show a late customer being warned, suspended, paid for and restored, on real parts (under a minute)
	@$(PYTHON_IN_VENV) -m forbear demo

test: setup ## prove it: every test that Python and PyPI alone can run (six to seven minutes on two cores)
	@$(PYTHON_IN_VENV) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: setup contracts ## ruff: faults and format; import contracts
	@$(PYTHON_IN_VENV) -m ruff check
	@$(PYTHON_IN_VENV) -m ruff format --check

types: setup ## mypy, strict
	@$(PYTHON_IN_VENV) -m mypy

contracts: setup ## import only downwards: web, jobs, storage, engine
	@$(PYTHON_IN_VENV) .ci/contracts

test-system: setup ## the tests that need a package of the system (says how to get it)
	@/bin/sh .ci/optional-tests tests/system "no tests of system packages yet"

soak: setup ## long seeded searches; each failure prints the seed that replays it
	@/bin/sh .ci/optional-tests tests/soak "no soak tests yet"

bench: setup ## benchmarks, each beside its own limit
	@/bin/sh .ci/optional-tests tests/benchmarks "no benchmarks yet" -s

lock: ## remake both lock files from pyproject.toml (for every Python from 3.11 on and every platform)
	@/bin/sh .ci/lock

clean: ## remove .venv and every cache; never .forbear, which holds data
	@rm -rf .venv .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -not -path './.forbear/*' -prune -exec rm -rf {} +
