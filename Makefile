# `make serve` and `make test` set everything up by themselves; both are quick the second time.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROFILE ?= embedded
PORT ?= 8000
# All tests run in two processes; those that start a graph share one of them (tests/conftest.py).
# If a process dies, the run fails at once: its tests would be run again only at the very end.
IN_TWO := --numprocesses 2 --max-worker-restart 0

.PHONY: serve test test-long lint types format lock clean

serve: $(READY)
	@exec $(BIN)/prsm-serve up --profile $(PROFILE) --port $(PORT)

test: $(READY)
	@exec $(BIN)/python -m pytest $(or $(TESTS),$(IN_TWO))

# Tests that take too long to run for every change: one file at a time, at most 15 minutes each.
test-long: $(READY)
	@failed=; for file in $(or $(TESTS),tests/long/test_*.py); do echo "== $$file"; \
		timeout --signal INT --kill-after 60 900 $(BIN)/python -m pytest $$file || failed="$$failed $$file"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The environment is renewed whenever pyproject.toml or constraints.txt has changed.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) .ci/environment.py $(VENV)
	@touch $@

# Pin the versions that are installed now.
lock: $(READY)
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	@rm -rf $(VENV) cache build *.egg-info
