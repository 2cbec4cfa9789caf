# Every target does its own set-up. `make run` and `make test` are the two that matter.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

# With CI set, `make test` measures coverage, whose gate is pyproject.toml's.
.PHONY: install run test faults check bench access-model threats mutation lock clean
.DEFAULT_GOAL := run

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "tasker-health needs Python 3.11 or newer on the PATH"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# What it takes to run: the locked dependencies, then the project itself, editable.
$(VENV)/.run: locks/run.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What it takes to work on it.
$(VENV)/.dev: locks/dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/dev.txt
	@touch $@

install: $(VENV)/.dev

run: $(VENV)/.run
	$(BIN)/tasker-health demo

test: $(VENV)/.dev
ifdef CI
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) -m "not faults"
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report --format=total >/dev/null || $(BIN)/coverage report
else
	$(BIN)/python -m pytest -n $(JOBS) -m "not faults"
endif

faults: $(VENV)/.dev
	$(BIN)/python -m pytest -m faults tests/integration

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Proofs that take too long for every run: a million cases against an independent model of
# access; every listed defence removed in turn; every expression of the domain and of the
# authenticators changed, MODULES="domain/access.py adapters/auth" for some of them alone.
access-model: $(VENV)/.dev
	$(BIN)/python -m tests.access_model 1000000

threats: $(VENV)/.dev
	$(BIN)/python -m tests.threats

MODULES ?=
mutation: $(VENV)/.dev
	$(BIN)/python -m benchmarks.mutation $(MODULES)

lock: $(VENV)/.dev
	UV_PYTHON_DOWNLOADS=never $(BIN)/python -m locks

clean:
	rm -rf $(VENV) build dist .coverage* .hypothesis .mypy_cache .ruff_cache .pytest_cache
