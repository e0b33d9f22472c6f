# Each target makes its own environment; nothing but Python 3.11 or newer is needed beforehand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.PHONY: demo test lint bench judge openapi elm clean

demo: $(READY)  ## synthetic EHR, payer harness and gateway on loopback ports; prints the worklist's address
	$(BIN)/pa-gateway demo

test: $(READY)  ## style, types and the whole test suite
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(READY)  ## style and types only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## ratios, not seconds; see tests/benchmarks/
	$(BIN)/python -m tests.benchmarks

judge: $(READY)  ## the HL7 validator over everything the demonstration exchanges; needs Java
	PA_GATEWAY_REFEREE=1 $(BIN)/pytest -q tests/acceptance/test_demo.py

openapi: $(READY)  ## regenerate the committed API descriptions
	$(BIN)/python -m tests.openapi_files openapi

elm: $(READY)  ## translate our CQL with the public translator; needs node and npm
	$(BIN)/python -m tests.authoring

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

clean:  ## remove the environment and what the demo left
	rm -rf $(VENV) demo-data
