# One target a verb. Each needs nothing but python3.11+, make and pip: it builds .venv when missing or stale.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: depth_sweep test test-slow faults bench findings check format clean

depth_sweep: $(VENV)/installed  ## the main job: 24 cells on scikit-learn's digits, minutes on 2 cores
	$(BIN)/python -m study.run depth_sweep

test: $(VENV)/installed  ## everything a user would run
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup

test-slow: $(VENV)/installed  ## faults, interrupts and whole runs
	$(BIN)/python -m pytest -m slow --numprocesses logical --maxprocesses 2 --dist loadfile

faults: $(VENV)/installed  ## kill small runs at 50 random moments, each ended after five; nothing may be lost
	FAULTS=50 $(BIN)/python -m pytest -m slow tests/test_faults.py

bench: $(VENV)/installed  ## what a step, a loop, a trial and a report cost on this machine
	$(BIN)/python -m study.bench --quick

findings: $(VENV)/installed  ## hold the numbers of the texts to the committed tables; WRITE=--write corrects them
	$(BIN)/python results/findings.py $(WRITE)

check: $(VENV)/installed  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed  ## mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment and caches; results stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# The mark is written last, so that an installation that broke off is begun again.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
