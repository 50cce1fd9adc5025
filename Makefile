# Every target sets up its own virtual environment when it is missing.
#   make demo     train a classifier on real digits, evaluate it, restore it, show the pictures
#   make test     the quick tests      make test-slow   whole runs, one of each family
#   make test-release                  every architecture and kind of agent: an hour, before a version
#   make check    format, lint, types  make format      rewrite files in the house format
#   make docs     the site, with its links checked
#   make bench    the benchmarks and the tables of docs/performance.md: hours; ONLY="rl tsne" for some
#   make PYTHON=python3.12 test        the same with another interpreter, in an environment of its own

PYTHON ?= python3
VENV ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test test-slow test-release bench check docs format lint types setup clean

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

# The shapes in annotations have been checked on the same lines by the quick tests.
test-slow test-release: test-%: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "$* and not optimized" --jaxtyping-packages=
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "$* and optimized" --jaxtyping-packages=

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

bench: setup
	$(BIN)/python benchmarks/run.py $(if $(ONLY),--only $(ONLY))

docs: setup
	$(BIN)/python docs/build_site.py

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache
