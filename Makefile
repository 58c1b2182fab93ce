# make run [SEED=1] [PRESET=deployments/tiny.yaml] [ARGS="ppo.kl.coef=0.1 seed=1"]
# make test [ARGS="tests/models -k ppo"]
# The first of either sets up .venv; it is set up again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
PRESET ?= deployments/tiny.yaml
BIN := .venv/bin
STAMP := .venv/.complete

.PHONY: run test lint setup

run: $(STAMP)
	$(BIN)/rein rlhf $(PRESET) $(if $(SEED),seed=$(SEED)) $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Rein needs Python 3.11 or newer; say which: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@
