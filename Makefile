# The two main commands; they need Python 3.11 and make:
#   make demo    install, search the embedded digits, write the report
#   make test    install, lint, type check, test
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Number of test processes; each takes about 1.5 GB.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || sysctl -n hw.ncpu); [ $$n -gt 6 ] && echo 6 || echo $$n)
TESTS := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
# Suites that take many minutes, or need root or a browser, are in folders of their own.
SHORT := tests $(addprefix --ignore=tests/,trained cluster chaos browser)

# Many containers set this variable. Then each process of a search or a test would spend half a
# minute on compiling what the process before it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install
install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; set PYTHON=/path/to/python (3.11 or newer)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
# A search uses few of the 20,000 modules. Python compiles these when they are first used.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Searches the embedded digits in 8 to 20 minutes on two cores. Continues where it was stopped.
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

# Builds the documentation site in site/. A dead link or an unknown name is an error. To read it:
#   .venv/bin/python -m http.server --bind 127.0.0.1 --directory site
.PHONY: docs
docs: install
	$(BIN)/mkdocs build --strict

.PHONY: unit
unit: install
	$(TESTS) $(SHORT) -m "not (slow or lengthy or ray)"

# First the fast stage (lint, types, import contracts, unit tests), then searches on a local Ray. The
# type check takes a minute of one process, so the unit tests run beside it.
.PHONY: test
test: install
	@$(MAKE) --no-print-directory -j 2 lint unit
	$(TESTS) $(SHORT) --ignore=tests/benchmarks -m "ray and not (slow or lengthy)"

# Whole runs, and properties whose every case takes seconds.
.PHONY: slow
slow: install
	$(TESTS) $(SHORT) --ignore=tests/benchmarks -m "slow and not lengthy"

# The longest of them.
.PHONY: lengthy
lengthy: install
	$(TESTS) $(SHORT) --ignore=tests/benchmarks -m lengthy
	$(TESTS) tests/cluster -m lengthy

# Measures our code beside the plain way, in some ten minutes; docs/results/performance.md has it.
.PHONY: bench
bench: install
	$(BIN)/python -m benchmarks.work
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.steps
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.start

# What needs root or a browser: a cluster of several hosts, real faults, and pages in Chromium.
# Chaos runs beside pages alone: Ray gives its workers the lowest priority, and they would starve
# beside other work.
.PHONY: system
system: install
	$(TESTS) tests/cluster -m "not lengthy"
	$(TESTS) tests/chaos tests/browser -m "not lengthy"

# All that `make test` leaves out. `make trained` runs more of its suite than this does.
.PHONY: thorough
thorough: slow lengthy system
	$(TESTS) tests/trained tests/benchmarks -m "not lengthy"

# Checks claims about defenses and the battery on models that are trained on the digits.
.PHONY: trained
trained: install
	$(TESTS) tests/trained

# Tests the benchmarks at toy size.
.PHONY: bench-toy
bench-toy: install
	$(TESTS) tests/benchmarks

# Tests a Ray cluster of several hosts (network namespaces) that come and go. Needs Linux and root.
.PHONY: cluster
cluster: install
	$(BIN)/python -m pytest tests/cluster -rs

# Kills processes, fills disks and damages files at random moments of real searches: at least sixty
# faults in about an hour. Writes its log to the page.
.PHONY: chaos
chaos: install
	$(BIN)/python -m tests.chaos --page docs/results/chaos.md

# Eight of these faults, drawn by a fixed seed, and workers and drivers that die in the middle.
.PHONY: chaos-sample
chaos-sample: install
	$(TESTS) tests/chaos -rs
