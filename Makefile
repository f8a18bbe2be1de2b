# Every target makes the environment that it needs, once, with the package in it.
#
# PYTHON names the interpreter. If it belongs to an environment (an active venv or conda environment, or
# PYTHON=path/to/env/bin/python), that one is used; otherwise .venv is made from it.

PYTHON ?= python3
PROBE := import os, sys; \
  environment = sys.prefix != sys.base_prefix or os.environ.get("CONDA_PREFIX") == sys.prefix; \
  print(sys.prefix if environment else ".venv", "py%d.%d" % sys.version_info[:2])
FOUND := $(shell $(PYTHON) -c '$(PROBE)')
$(if $(FOUND),,$(error $(PYTHON) does not run; name a Python of 3.11 or newer: make PYTHON=...))
ENV := $(word 1,$(FOUND))
BIN := $(ENV)/bin
STAMP := $(ENV)/.dogcam-$(word 2,$(FOUND))

WORKERS ?= auto
# Files with slow tests start first; each runs in one process, so that its fixtures are made once. Byte code is
# kept whatever the environment says: without it, every process that a test starts compiles the program again.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
CASES ?= 200
SEED ?= 0
# Installations use the versions that the tests passed with; CONSTRAINTS= allows any within the bounds.
CONSTRAINTS ?= constraints.txt
INSTALL = $(BIN)/python -m pip install --quiet $(addprefix --constraint ,$(CONSTRAINTS))

.PHONY: help report report-voc2007 train-voc2007 test test-fast soak lint constraints oracles bench docs sample-weights show-bin clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

report: $(STAMP)-core ## render the sample, run the experiment on it, write build/sample/report.html
	$(BIN)/dogcam-report run --out build/sample --cache build/cache

report-voc2007: $(STAMP)-core ## the same on VOC2007 test with the published checkpoint (downloads 0.7 GB)
	$(BIN)/dogcam-report run --data voc2007 --out build/voc2007

test: $(STAMP)-test ## run the tests in parallel (ALL=1 adds those of the gate and more generated cases, COVERAGE=1 measures coverage, WORKERS=2 starts two processes)
	$(if $(ALL),DOGCAM_EXAMPLES=150) $(PYTEST) $(if $(ALL),,-m 'not gate') $(if $(COVERAGE),--cov --cov-report term)

test-fast: $(STAMP)-test ## run tests without slow, browser, peers and photographs ones, on few generated cases
	DOGCAM_EXAMPLES=20 $(PYTEST) -m 'not (slow or browser or peers or photographs or gate)'

soak: $(STAMP)-test ## feed generated faults and random kills to every command: make soak CASES=2000 SEED=1
	$(BIN)/python -m tests.soak --cases $(CASES) --seed $(SEED)

lint: $(STAMP)-test ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

oracles: $(STAMP)-test ## compare the metrics with their oracles on 10,000 generated cases each (half an hour)
	DOGCAM_EXAMPLES=10000 $(BIN)/python -m pytest tests/evaluate/metrics/test_metrics.py tests/evaluate/metrics/test_coco.py \
	  tests/evaluate/metrics/test_ties.py -k "loop or cocos or every_order or introsort or shards" --durations=0

bench: $(STAMP)-bench ## measure evaluation, maps, training and a run; writes build/bench/
	$(BIN)/python -m benchmarks

docs: $(STAMP)-test ## build the site of docs/ with the reference of API and commands: build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

sample-weights: $(STAMP)-core ## train the network of the sample from random weights (20 minutes)
	$(BIN)/dogcam train --data sample --cache build/cache --recipe recipes/sample.toml --device cpu --threads 1 \
	  --out build/sample_net
	cp build/sample_net/sample_net.safetensors build/sample_net/sample_net.json dogcam/models/weights/

train-voc2007: $(STAMP)-test ## fine-tune EfficientNet-Lite0 on VOC2007 train: make train-voc2007 DATA=path
	$(if $(DATA),,$(error state the folder of VOC2007: make train-voc2007 DATA=path/to/VOC2007))
	$(BIN)/dogcam train --data $(DATA) --recipe recipes/voc2007.toml --device cpu --threads 2 --out build/classifier

constraints: $(STAMP)-test ## write constraints.txt from the installed versions (after an update: rm -r .venv; make constraints CONSTRAINTS=)
	$(BIN)/python -m pip freeze --exclude-editable --all | grep -vE ' @ |^(nvidia|cuda|triton)' > constraints.txt

show-bin:
	@echo $(BIN)

clean: ## remove build/, keep the environment
	rm -rf build

# The stamps have the version of Python in their names: another version makes .venv again.
$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dogcam needs Python 3.11 or newer, this is %s; name one: make PYTHON=..." % sys.version.split()[0])'
	$(if $(filter .venv,$(ENV)),$(PYTHON) -m venv --clear .venv)
	touch $@

$(STAMP)-core: pyproject.toml $(CONSTRAINTS) | $(STAMP)
	$(INSTALL) --editable .
	touch $@

$(STAMP)-bench: pyproject.toml $(CONSTRAINTS) | $(STAMP)
	$(INSTALL) --editable '.[bench]'
	touch $@ $(STAMP)-core

$(STAMP)-test: pyproject.toml $(CONSTRAINTS) | $(STAMP)
	$(INSTALL) --editable '.[test]'
	touch $@ $(STAMP)-core
