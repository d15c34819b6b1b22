# `make demo` and `make test` set up what they need, once, and then do what they say.
# PYTHON=/path/to/python3.12 chooses the interpreter, VENV=folder the virtual environment,
# PICTURES=folder (or .zip, .tar) runs the demonstration on your own pictures, one folder per class.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint clean

VENV ?= .venv
PYTHON ?=
PICTURES ?=
PYTEST ?=
DEMO ?= $(if $(PICTURES),demo/own,demo/synthetic)
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:
	@echo "make demo    build pictures, train a model on them, attack it, write a report (a few minutes)"
	@echo "make test    the whole test suite"
	@echo "make lint    format, style and types"
	@echo "make clean   remove the virtual environment and the demonstration"

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

clean:
	rm -rf "$(VENV)" demo

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
