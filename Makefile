# `make serve` and `make test` set everything up by themselves; both are quick the second time.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# An environment of the lock has a stamp of its own, so that LOCKED=1 never takes one without hashes.
READY = $(VENV)/.ready$(if $(LOCKED),-locked)
PROFILE ?= embedded
PORT ?= 8000
# `make LOCKED=1` installs only files whose hashes are in locks/make.txt.
LOCKED ?=
# Tools for `make lock`, `make audit` and `make sbom`; the service needs none of them.
TOOLS := .tools
# All tests run in two processes; those that start a graph share one of them (tests/conftest.py).
# If a process dies, the run fails at once: its tests would be run again only at the very end.
IN_TWO := --numprocesses 2 --max-worker-restart 0

.PHONY: serve test test-long lint types format lock audit sbom clean

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

# The environment is renewed whenever pyproject.toml, constraints.txt or its lock has changed. With a
# lock it is made anew: pip checks no hash of what is installed already.
$(READY): pyproject.toml constraints.txt $(if $(LOCKED),locks/make.txt)
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@rm -rf $(if $(LOCKED),$(VENV),$(VENV)/.ready*)
	@$(PYTHON) .ci/environment.py $(VENV) $(if $(LOCKED),locks/make.txt)
	@touch $@

# Pin the versions that are installed now, and the hashes of their files.
lock: $(READY) $(TOOLS)/.ready
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	@$(BIN)/python .ci/lock.py $(TOOLS)/bin/uv $(BIN)/python

# Known vulnerabilities of what the locks pin. Fails where no source of advisories can be reached.
audit: $(TOOLS)/.ready
	@for lock in locks/*.txt; do echo "== $$lock"; \
		$(TOOLS)/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r $$lock || \
		{ echo "$$lock was not audited, or has vulnerabilities: see above"; exit 1; }; \
	done

# What an installation is made of, as CycloneDX: build/sbom-*.json.
sbom: $(TOOLS)/.ready
	@mkdir -p build
	@for lock in image image-cuda; do \
		$(TOOLS)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
			--output-file build/sbom-$$lock.json locks/$$lock.txt || exit 1; \
		echo "build/sbom-$$lock.json"; \
	done

$(TOOLS)/.ready: locks/tools.txt
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --require-hashes --no-deps -r locks/tools.txt
	@touch $@

clean:
	@rm -rf $(VENV) $(TOOLS) cache build *.egg-info
