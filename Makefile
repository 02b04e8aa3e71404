# The verbs of the Softnet Camera Gateway; `make` alone lists them.
# Each sets up what it needs by itself and is quick when that is done.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

VENV ?= .venv
STATE ?= var
DEMO ?= 0
ARGS ?=
export VENV

PY := $(VENV)/bin/python

# The laws first, then rooms in the order of their floors, then recorded conversations, then the whole.
ROOMS := base asn1 model wire access protocol site net registry driverkit drivers tracker relay \
	endpoint discovery cameras telemetry appliance web settings cli
EARLY := tests/architecture
SOAKS := tests/e2e/test_lossy.py
# Files, not the folder: pytest would take what is named before it back into the folder's place.
LATE := $(wildcard tests/vectors tests/transcripts tests/interop tests/image) \
	$(filter-out $(SOAKS), $(wildcard tests/e2e/test_*.py))
UNIT := $(wildcard $(addprefix tests/,$(ROOMS)))
REST := $(filter-out $(EARLY) $(UNIT) $(LATE) tests/e2e tests/support tests/zoo tests/conftest.py, \
	$(filter-out %__pycache__,$(wildcard tests/*)))

# Names of single benchmarks (gateway relay udp server); none: the first, which is quick.
BENCHES ?=

.PHONY: help run test lint types check format render bench bench-relay bench-server image install uninstall clean

help:
	@echo 'make run            set up and start the gateway (DEMO=2 adds virtual cameras, STATE=folder)'
	@echo 'make test           lint, types and all tests; what CI runs (SOAK=n: the long ones n times as long)'
	@echo 'make lint           ruff check and ruff format --check'
	@echo 'make types          mypy --strict'
	@echo 'make format         let ruff put the code in shape'
	@echo 'make render         write what is generated anew: config/, docs/interoperability.md, docs/features.md'
	@echo 'make bench          measure; results go to bench/results/ (BENCHES=udp for another one)'
	@echo 'make bench-relay    the relay and the camera tunnel beside haproxy and socat (eight minutes)'
	@echo 'make bench-server   the tracker under 100, 1,000 and 10,000 endpoints (two minutes)'
	@echo 'make image          build a root file system with the service in it (as root)'
	@echo 'make install        install as a systemd service (as root)'
	@echo 'make uninstall      take it off again; PURGE=1 also removes settings and state'
	@echo 'make clean          remove what was built here; the state in var/ stays'

run:
	@.ci/setup.sh $(if $(filter-out 0,$(DEMO)),demo,run)
	@exec $(VENV)/bin/softnet-gateway run --state '$(STATE)' --demo '$(DEMO)' $(ARGS)

# The five minutes of the lossy network begin first and run beside all the others.
test: lint types
	@$(PY) -m pytest $(EARLY) -q $(ARGS)
	@.ci/side_by_side $(SOAKS) $(UNIT) $(REST) $(LATE) $(ARGS)

lint:
	@.ci/setup.sh test
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet . || \
		{ echo 'Some files are not formatted; run: make format'; exit 1; }

types:
	@.ci/setup.sh test
	@$(VENV)/bin/mypy

check: lint types

format:
	@.ci/setup.sh test
	@$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format .

render:
	@.ci/setup.sh test
	@$(VENV)/bin/softnet-gateway config render --write config
	@$(PY) -m tests.interop.table
	@$(PY) -m tests.features.table

bench:
	@.ci/setup.sh test
	@$(PY) -m bench $(BENCHES) $(ARGS)

bench-relay:
	@.ci/setup.sh test
	@$(PY) -m bench.relay $(ARGS)

bench-server:
	@.ci/setup.sh test
	@$(PY) -m bench.server $(ARGS)

image:
	@.ci/setup.sh image
	@image/build-rootfs.sh build/image/rootfs

install:
	@sh systemd/install.sh

uninstall:
	@PURGE='$(PURGE)' sh systemd/install.sh --remove

clean:
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
