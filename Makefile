# tresnet-lite: one file of commands. `make` lists them.
#
# Settings, given as NAME=value after the command:
#   PYTHON   the interpreter that makes the environment        (python3)
#   VENV     where the environment lives                        (.venv)
#   TORCH    another torch than constraints.txt pins, e.g. TORCH=2.15.0 VENV=.venv-2.15
#   PROFILE  smoke, cpu or gpu, for `make reproduce`            (chosen from the device)
#   FORCE    1 runs the tests although nothing changed

PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8000

RUN := $(VENV)/bin/python
# A second checkout may share an environment with the first: all that runs, runs this one's code.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
# One stamp for each torch: changing TORCH in one VENV installs again.
READY := $(VENV)/.ready-torch-$(or $(TORCH),pinned)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup reproduce test references readme book serve lint constraints clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@awk '!/^#/ {exit} NR > 2 {sub(/^# ?/, "  "); print}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make the environment: a few minutes and nearly 9 GB, once

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) here. Name a Python 3.10 or newer: make setup PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.version_info >= (3, 10) or sys.exit( \
	  f"Python 3.10 or newer is needed and $(PYTHON) is {v}. Name another one: make setup PYTHON=python3.12")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.ready-torch-*
ifdef TORCH
# Another torch brings its own companions, so their pins are dropped and pip finds the ones that fit.
	@sed -E '/^(torch|torchvision|triton|nvidia-|cuda-)/d' constraints.txt > $(VENV)/constraints.txt
	@echo 'torch==$(TORCH)' >> $(VENV)/constraints.txt
else
	@cp constraints.txt $(VENV)/constraints.txt
endif
	$(RUN) -m pip install --constraint $(VENV)/constraints.txt --editable '.[dev]'
	@$(RUN) -m tresnet_lite.bench.install_iabn || echo "inplace-abn: not installed; nothing needs it"
	@touch $@

reproduce: $(READY) ## execute the notebooks that changed and build the book
	@$(RUN) -m tresnet_lite.book $(if $(PROFILE),--profile $(PROFILE))

test: $(READY) ## run the tests and compare the notebooks' committed outputs
	@$(RUN) tests/run.py $(if $(FORCE),--force)

references: $(READY) ## execute the notebooks again to renew their committed outputs
	@$(RUN) tests/references.py $(NOTEBOOK)

readme: $(READY) ## render the README's picture and tables from the models and the records
	@$(RUN) tests/readme.py

book: $(READY) ## build the book from what has been executed, executing nothing
	@$(RUN) -m tresnet_lite.book --book-only $(if $(PROFILE),--profile $(PROFILE))

serve: $(READY) ## show the book on http://localhost:8000 (PORT=…), and build it again when a source changes
	@$(RUN) -m tresnet_lite.book.serve --port $(PORT) $(if $(PROFILE),--profile $(PROFILE))

lint: $(READY) ## check style, formatting, layers and types of the code
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check --quiet . || { echo "not formatted: run .venv/bin/ruff format ." >&2; exit 1; }
	@$(VENV)/bin/lint-imports --no-cache
	@$(RUN) -m mypy

constraints: $(READY) ## pin the newest versions that fit, for every supported Python
	@$(RUN) -m pip install --quiet uv
	@sed '/^[^#]/,$$d' constraints.txt > constraints.tmp
	@$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --extra dev \
	  --no-header --no-annotate pyproject.toml >> constraints.tmp
	@mv constraints.tmp constraints.txt

clean: ## remove what was built, and keep the environment
	rm -rf build .hypothesis .mypy_cache .pytest_cache .ruff_cache
