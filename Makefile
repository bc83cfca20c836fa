# Two commands do everything on a machine with Python 3.11-3.13 and make: `make demo` and `make test`.
# Each installs what it needs, from the lock with hashes, into the project's own .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q pyproject.toml
# What numba compiles, some seconds, now rather than in the first process that needs it.
COMPILED := $(BIN)/python -m detector.runtime.compiling
COMPOSE := docker compose

# Test processes, each with servers of its own; tests/conftest.py says which takes what.
PROCESSES ?= 2
DURATION ?=
SEED ?=
ARGS ?=
# A folder of recorded traffic and prompts for `make realistic`; it is not part of this repository.
DATA ?=

.PHONY: help demo test lint format bench bench-accounts bench-links bench-latency bench-scale soak evaluate evaluate-full whole evasion realistic fuzz properties sbom audit chaos kafka schemas dashboards lock up down clean

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## the service on embedded parts, simulated traffic, one campaign   [DURATION=60s SEED=1]
	@$(BIN)/detector demo $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(ARGS)

test: $(VENV)/.dev kafka ## every test, against a real Kafka and a real Redis   [ARGS="-k window"]
	@$(BIN)/python -m pytest -n $(PROCESSES) $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy --strict, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev $(VENV)/elsewhere kafka ## throughput from Kafka to findings, beside Faust, Quix Streams, Bytewax and a rules engine, a quarter of an hour
	@$(BIN)/python -m tests.bench.throughput --elsewhere $(VENV)/elsewhere/bin/python $(ARGS)

$(VENV)/elsewhere: tests/bench/requirements-elsewhere.txt
	@$(PYTHON) -m venv $@ && $@/bin/pip install -q --only-binary=:all: -r $<

bench-accounts: $(VENV)/.dev ## bytes per account in memory, at rest and in Redis; what an event costs among a million
	@$(BIN)/python -m tests.bench.hot_accounts $(ARGS)

bench-links: $(VENV)/.dev ## memory of stages 2 and 3 under 50 million links and endless accounts   [ARGS="--links 5000000"]
	@$(BIN)/python -m tests.bench.links $(ARGS)

bench-latency: $(VENV)/.dev kafka ## from an event to its finding at 10, 50 and 90 % of what a worker takes, a quarter of an hour   [ARGS="--seconds 120"]
	@$(BIN)/python -m tests.bench.latency $(ARGS)

soak: $(VENV)/.dev kafka ## an hour at half of what a worker takes: memory, descriptors, lag, drawn into docs/soak.svg   [ARGS="--minutes 5"]
	@$(BIN)/python -m tests.bench.soak $(ARGS)

bench-scale: $(VENV)/.dev kafka ## CPU seconds per million events with 1, 2 and 3 workers, and of what no worker can take over
	@$(BIN)/python -m tests.bench.scale $(ARGS)

evaluate: $(VENV)/.dev ## the score card on small scenarios, twenty minutes of CPU time a seed   [ARGS="--seeds 5"]
	@$(BIN)/python -m tests.bench.evaluate $(ARGS)

evaluate-full: $(VENV)/.dev ## the score card on every scenario at full size, hours
	@$(BIN)/python -m tests.bench.evaluate --full $(ARGS)

whole: $(VENV)/.dev ## april-june at its public size through replay, and its finding beside the truth, hours   [ARGS="--scale 0.1 --days 12"]
	@$(BIN)/python -m tests.bench.whole $(ARGS)

evasion: $(VENV)/.dev ## one dial of a campaign at a time, to where half of it is served, minutes   [ARGS="--seeds 3 --only rate"]
	@$(BIN)/python -m tests.bench.evasion $(ARGS)

realistic: $(VENV)/.dev kafka ## recorded traffic and prompts through Kafka to two workers   [DATA=folder]
	@if [ -z "$(DATA)" ]; then echo "say where the recordings are: make realistic DATA=folder" >&2; exit 2; fi
	@$(BIN)/python -m tests.bench.realistic --data $(DATA) $(ARGS)

fuzz: $(VENV)/.fuzz ## every door under a coverage-guided fuzzer, a minute each   [ARGS="--seconds 600 --only rows"]
	@$(BIN)/python -m tests.fuzz $(ARGS)

# Where there is no wheel of it, `make fuzz` goes without coverage and says so.
$(VENV)/.fuzz: $(VENV)/.dev tests/fuzz/requirements.txt
	@$(PIP) install --only-binary=:all: -r tests/fuzz/requirements.txt || echo "atheris cannot be had here"
	@touch $@

properties: $(VENV)/.dev ## the property tests with other examples each time, many of them   [ARGS="-k decode"]
	@$(BIN)/python -m pytest --hypothesis-profile=fuzz --timeout 1800 $$(grep -rl 'from hypothesis' tests --include 'test_*.py') $(ARGS)

chaos: $(VENV)/.dev kafka ## 2M events through 3 workers while they, Kafka, Redis and the network fail, 15 to 20 minutes a seed   [ARGS="--seeds 1 --minutes 2"]
	@$(BIN)/python -m tests.bench.chaos $(ARGS)

kafka: ## Apache Kafka's jars into .cache/kafka, where java and mvn are there
	@if [ -e .cache/kafka/.complete ]; then :; \
	elif command -v java >/dev/null && command -v mvn >/dev/null; then \
		mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.cache/kafka && touch .cache/kafka/.complete; \
	else echo "no java or mvn: an in-process broker stands in for Apache Kafka"; fi

schemas: $(VENV)/.dev ## deploy/schemas from the code
	@for record in request account finding verdict; do $(BIN)/detector schema $$record > deploy/schemas/$$record.json; done

dashboards: $(VENV)/.dev ## deploy/grafana/dashboards from deploy/grafana/build.py
	@$(BIN)/python deploy/grafana/build.py

lock: $(VENV)/.dev ## resolve the dependencies anew into the two locks
	@$(COMPILE) --upgrade --all-extras -o requirements-dev.lock
	@$(COMPILE) -c requirements-dev.lock --extra build --extra compression --extra demo --extra replay -o requirements.lock

sbom: $(VENV)/audit ## build/sbom.json: what the lock names, as CycloneDX
	@mkdir -p build
	@$(VENV)/audit/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
		-o build/sbom.json requirements.lock 2>/dev/null
	@echo "build/sbom.json: $$(grep -c '"purl"' build/sbom.json) components"

audit: $(VENV)/audit ## known vulnerabilities of what the lock names; fails, and says so, where they cannot be looked up
	@$(VENV)/audit/bin/python deploy/audit/audit.py requirements.lock

$(VENV)/audit: deploy/audit/requirements.txt
	@$(PYTHON) -m venv $@ && $@/bin/pip install -q --only-binary=:all: -r $< && touch $@

up: ## the deployment in containers, with traffic; dashboards at http://localhost:3000
	@$(COMPOSE) --profile demo up --build --detach --wait

down: ## stop the containers and forget their data
	@$(COMPOSE) --profile demo down --volumes --remove-orphans

clean: ## forget the virtual environment and every cache
	@rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# Debian's python3 comes without ensurepip: root installs it, anybody else is told how.
$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3" >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null; \
		else echo "python3-venv is missing: sudo apt-get install python3-venv" >&2; exit 1; fi; fi
	@echo "installing into $(VENV) (once)"; $(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements.lock pyproject.toml | $(BIN)/python
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(COMPILED)
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(COMPILED)
	@touch $@ $(VENV)/.demo
