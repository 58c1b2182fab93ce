# make run [SEED=1] [PRESET=deployments/tiny.yaml] [ARGS="tuning.kl.coef=0.1 seed=1"]
# make up [ARGS="--prefect-port 4201 --mlflow-port 5001"]   Prefect, a worker, MLflow and the labelers' page
# make label [ARGS="--port 8301"]
# make test [ARGS="tests/models -k ppo"]
# make test-nightly   what `make test` does in a shorter way: many labelers at once, thousands of mutated rows, retraining
# under make up, Ray in a whole run, the shapes of every tensor in models/
# make test-label-studio   the round trip through a real Label Studio, in an environment of its own (1 GB)
# make test-older-transformers   what is saved is read alike by transformers 4.57, in an environment of its own (1 GB); once that is there,
# `make test` runs this too
# make bench [ARGS="--only ppo_full reward_k9 --repetitions 2"]   speed against TRL and transformers, each TRL in an environment of its own (2 GB each)
# The first of these sets up .venv; it is set up again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
PRESET ?= deployments/tiny.yaml
BIN := .venv/bin
STAMP := .venv/.complete
LABEL_STUDIO := .label-studio/.complete
OLDER := .transformers-4.57/.complete
PEERS := .bench/trl-1.12.0/.complete .bench/trl-1.16.0/.complete

.PHONY: run up label test test-nightly test-label-studio test-older-transformers bench lint setup

run: $(STAMP)
	$(BIN)/rein rlhf $(PRESET) $(if $(SEED),seed=$(SEED)) $(ARGS)

up: $(STAMP)
	$(BIN)/python -m deployments.local.up $(ARGS)

label: $(STAMP)
	$(BIN)/rein label $(ARGS)

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder $(ARGS)

test-nightly: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m nightly $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --jaxtyping-packages=models,tests.checked tests/models

test-label-studio: $(STAMP) $(LABEL_STUDIO)
	$(BIN)/python -m pytest tests/label_studio/round_trip.py $(ARGS)

test-older-transformers: $(STAMP) $(OLDER)
	$(BIN)/python -m pytest tests/models/network/test_older_transformers.py $(ARGS)

bench: $(STAMP) $(PEERS)
	$(BIN)/python -m benchmarks.bench $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Rein needs Python 3.11 or newer; say which: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@

$(LABEL_STUDIO):
	$(PYTHON) -m venv .label-studio
	.label-studio/bin/python -m pip install label-studio==1.23.2
	touch $@

$(OLDER):
	$(PYTHON) -m venv .transformers-4.57
	.transformers-4.57/bin/python -m pip install -c constraints.txt torch
	.transformers-4.57/bin/python -m pip install transformers==4.57.3
	touch $@

.bench/%/.complete: benchmarks/peers/%.txt
	$(PYTHON) -m venv .bench/$*
	.bench/$*/bin/python -m pip install -c constraints.txt -r benchmarks/peers/$*.txt
	touch $@
