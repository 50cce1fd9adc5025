# Every target sets up its own virtual environment when it is missing.
#   make demo     train a classifier on real digits, evaluate it, restore it, show the pictures
#   make test     the tests            make test-slow   the longer ones
#   make check    format, lint, types  make format      rewrite files in the house format
#   make PYTHON=python3.12 test        the same with another interpreter, in an environment of its own

PYTHON ?= python3
VENV ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test test-slow check format lint types setup clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"jaxvision needs Python 3.11 or newer and $(PYTHON) is {sys.version.split()[0]}; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/python experiments/demo.py

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache
