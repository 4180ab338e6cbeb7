# One verb per thing a person does here. CI calls the same verbs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run install test conformance-all crash lint audit fmt types bench clean

run: install
	@$(BIN)/iii-temporal demo

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed and \
	this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),run)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo,dev]'
	@touch $(STAMP)

test: install
	@scripts/install-test-services
	$(BIN)/pytest

# Kill -9 at random: a hundred rounds against the store of state, then against everything under hundreds of orders.
crash: install
	@scripts/install-test-services
	$(BIN)/python -m tests.integration.storage.crash_rounds --rounds 100
	$(BIN)/python -m tests.crash --orders 300 --kills 40

# Also the SDKs that need a compiler of their own: cargo.
conformance-all: install
	$(BIN)/pytest -m "" tests/conformance

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive bridge workflows activities deploy

# pip-audit asks PyPI itself for advisories: behind a mirror without them it knows nothing, and says so.
audit: lint
	$(BIN)/pip-audit --skip-editable

types: install
	$(BIN)/mypy

fmt: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .cache data
