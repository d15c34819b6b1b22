# `make demo` and `make test` set up what they need, once, and then do what they say.
# PYTHON=/path/to/python3.12 chooses the interpreter, VENV=folder the virtual environment,
# REFERENCE_PYTHON=/path/to/python3.11 chooses that of the reference environment,
# PICTURES=folder (or .zip, .tar) runs the demonstration on your own pictures, one folder per class.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint reference clean

VENV ?= .venv
PYTHON ?=
PICTURES ?=
# What pytest is told besides; the slow tests and those on real data have calls of their own in .ci/run.
PYTEST ?= -m "not slow"
DEMO ?= $(if $(PICTURES),demo/own,demo/synthetic)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
REFERENCE := .venv-reference
REFERENCE_READY := $(REFERENCE)/.ready
REFERENCE_PYTHON ?= python3.11

help:
	@echo "make demo        build pictures, train a model on them, attack it, write a report (a few minutes)"
	@echo "make test        the test suite; PYTEST=\"-m slow\" runs the slow tests"
	@echo "make lint        format, style and types"
	@echo "make reference   hold the sampler against tensorflow-addons, in an environment of its own"
	@echo "make clean       remove the virtual environments and the demonstration"

demo: $(READY)
	@$(BIN)/bioattack-build-records \
		$(if $(PICTURES),folder --source "$(PICTURES)" --size 64,synthetic) --output "$(DEMO)/records"
	@$(BIN)/bioattack-train --model resnet18 --data "$(DEMO)/records" --output "$(DEMO)/resnet18"
	@$(BIN)/bioattack-evaluate --model "$(DEMO)/resnet18" --data "$(DEMO)/records" --limit 200 --output "$(DEMO)/report"
	@echo "Now look at $(CURDIR)/$(DEMO)/report/report.html"

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(PYTEST)

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/python scripts/check_types.py

reference: $(REFERENCE_READY) $(READY)
	@$(REFERENCE)/bin/python reference/write_arrays.py $(REFERENCE)/arrays.npz
	@BIOATTACK_REFERENCE=$(REFERENCE)/arrays.npz $(BIN)/python -m pytest tests/models/layers/test_reference_sampling.py

clean:
	rm -rf "$(VENV)" "$(REFERENCE)" demo

# Written last, so that a set-up that was cut short is done again.
$(READY): setup.cfg setup.py scripts/find_python.sh
	@python=$$(sh scripts/find_python.sh "$(PYTHON)") || exit 2; \
	echo "Setting up $(VENV) with $$python (once; TensorFlow is a large download)"; \
	rm -rf "$(VENV)"; \
	"$$python" -m venv "$(VENV)" || { \
		echo "$$python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

$(REFERENCE_READY): reference/requirements.txt
	@"$(REFERENCE_PYTHON)" -c "import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))" 2>/dev/null || { \
		echo "tensorflow-addons needs Python 3.9, 3.10 or 3.11 and $(REFERENCE_PYTHON) is none:" \
			"name one with REFERENCE_PYTHON=/path/to/python3.11" >&2; \
		exit 2; }
	@echo "Setting up $(REFERENCE) with $(REFERENCE_PYTHON) (once; TensorFlow is a large download)"
	@rm -rf "$(REFERENCE)"
	@"$(REFERENCE_PYTHON)" -m venv "$(REFERENCE)"
	@$(REFERENCE)/bin/python -m pip install --quiet --disable-pip-version-check -r reference/requirements.txt
	@touch $@
