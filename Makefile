# Two commands do everything on a machine with Python 3.11 and make:
#   make demo    install, search the embedded digits, write the report
#   make test    install, lint, type check, test
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes of the tests; each takes about 1.5 GB.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || sysctl -n hw.ncpu); [ $$n -gt 6 ] && echo 6 || echo $$n)
TESTS := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
# Suites that take many minutes, or need root or a browser, have folders of their own.
SHORT := tests $(addprefix --ignore=tests/,trained cluster chaos browser)

# Many containers set it; each process of a search or a test would then compile, for half a minute,
# what the one before it compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install
install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; set PYTHON=/path/to/python (3.11 or newer)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
# A search needs a part of the 20,000 modules; Python compiles these when they are first used.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Searches the embedded digits in 10 to 30 minutes on two cores; continues where it was stopped.
.PHONY: demo
demo: install
	@if [ -e runs/demo ]; then $(BIN)/saat resume demo; \
	else $(BIN)/saat search search_spaces/quickstart.yaml --name demo; fi
	@echo "open runs/demo/report/report.html, or: $(BIN)/saat ui demo"

.PHONY: lint
lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, in site/; a dead link or an unknown name is an error. To read it:
#   .venv/bin/python -m http.server --bind 127.0.0.1 --directory site
.PHONY: docs
docs: install
	$(BIN)/mkdocs build --strict

.PHONY: unit
unit: install
	$(TESTS) $(SHORT) -m "not (slow or ray)"

# The fast stage (lint, types, import contracts, unit tests) first, whole runs after it. Types take
# one process a minute, which has the unit tests beside it.
.PHONY: test
test: install
	@$(MAKE) --no-print-directory -j 2 lint unit
	$(TESTS) $(SHORT) -m "slow or ray"

# What `make test` leaves out. Clusters are waited for much of the time and have trainings beside
# them, but not chaos: Ray gives its workers the lowest priority, and two searches would starve.
# Each suite can be run alone, too; of the trained models `make trained` has more.
.PHONY: thorough
thorough: install
	$(TESTS) tests/trained tests/cluster -m "not lengthy"
	$(TESTS) tests/chaos tests/browser

# Claims about defenses and the battery, shown on models trained on the digits.
.PHONY: trained
trained: install
	$(TESTS) tests/trained

# A Ray cluster of several hosts (network namespaces) that come and go; Linux, as root.
.PHONY: cluster
cluster: install
	$(BIN)/python -m pytest tests/cluster -rs

# Processes killed, disks filled, files damaged at random moments of real searches: at least sixty
# faults in about an hour; the page is its log.
.PHONY: chaos
chaos: install
	$(BIN)/python -m tests.chaos --page docs/results/chaos.md

# Eight of the faults, by a fixed seed, and workers and drivers that die in the middle.
.PHONY: chaos-sample
chaos-sample: install
	$(TESTS) tests/chaos -rs
