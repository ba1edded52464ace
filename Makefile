# Everything that is done to this repository is done by a target here; CI and the hooks call them too.
# The tools live in .venv, which the first target that needs it makes.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables

# The Python that .venv is made with: 3.11 or newer.
PYTHON ?= python3
# What `make test` passes on to pytest; for example `make test TESTS=tests/contract`.
TESTS ?=
# How many runs `make bench-scale` fills a store with.
RUNS ?= 1000000
# How many states `make power` checks.
STATES ?= 1000000
# What `make wire` sends: so many inputs to parsers, and so many connections to a server.
EXECUTIONS ?= 1000000
CASES ?= 20000
# How many damaged stores `make mutants` opens.
MUTANTS ?= 500000
# What `make histories` records: so many histories of so many operations, each with so many kills.
HISTORIES ?= 10
OPERATIONS ?= 200000
KILLS ?= 100

BIN := .venv/bin
# Wheels before sources, so that no compiler is needed where a wheel exists.
INSTALL := $(BIN)/python -m pip install --quiet --prefer-binary

.PHONY: help
help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "%-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: pass PYTHON=python3.12, say." >&2; exit 1; }
	@# Where Python has no ensurepip (Debian without python3-venv), the pip outside puts one inside.
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip .venv \
			&& $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

.venv/server.stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[server]'
	@touch $@

.venv/setup.stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[server,dev]'
	@touch .venv/server.stamp $@

.PHONY: setup
setup: .venv/setup.stamp ## Make .venv with the server and every tool

.PHONY: run
run: .venv/server.stamp ## Serve ./data on 127.0.0.1:50051
	@$(BIN)/runindex-server serve --log-format console

.PHONY: demo
demo: setup ## Record a part of the tests as a tree of runs while they happen, and ask about it
	@$(BIN)/python -m examples.demo

.PHONY: test
test: setup ## Run all tests but those of `make trust`
	$(BIN)/pytest --numprocesses=auto --dist=worksteal --ignore=tests/trust $(TESTS)

.PHONY: test-workers
test-workers: setup ## Run the contract's tests against two processes that serve one store
	$(BIN)/pytest --numprocesses=auto --dist=worksteal --store=workers tests/contract

.PHONY: trust
trust: setup ## Lose power, fail disks and wires, attack, kill, and judge 200,000 operations
	RUNINDEX_HISTORY_OPERATIONS=200000 RUNINDEX_HISTORY_KILLS=100 \
		$(BIN)/pytest --numprocesses=auto --dist=worksteal tests/trust

.PHONY: promises
promises: setup ## Run all tests that hold a promise, and write the page of promises (20 minutes)
	$(BIN)/python -m tests.trust.promises
	$(BIN)/python -m scripts.render_docs

.PHONY: power
power: setup ## Lose power until so many different states are checked: make power STATES=1000000
	@$(BIN)/python -m tests.trust.power.long --states $(STATES)

.PHONY: histories
histories: setup ## Judge long histories under kills: make histories OPERATIONS=200000 KILLS=100 HISTORIES=10
	@$(BIN)/python -m tests.trust.histories --operations $(OPERATIONS) --kills $(KILLS) --histories $(HISTORIES)

.PHONY: wire
wire: setup ## Fuzz all parsers, and a server by its wire: make wire EXECUTIONS=1000000 CASES=20000
	@$(BIN)/python -m tests.trust.wire --executions $(EXECUTIONS) --cases $(CASES)

.PHONY: mutants
mutants: setup ## Damage stores, and open them: make mutants MUTANTS=500000
	@$(BIN)/python -m tests.trust.disk.mutants --mutants $(MUTANTS)

.PHONY: callers
callers: setup ## Measure what a good caller notices of bad ones, of floods and of cut connections
	@$(BIN)/python -m tests.trust.callers

.PHONY: cov
cov: setup ## Run all tests, and tell which branches none of them takes
	$(BIN)/coverage run -m pytest $(TESTS)
	$(BIN)/coverage report

# Each client's folder, and the tool without which it is left out.
CLIENTS := go:go typescript:npm java:mvn

.PHONY: clients
clients: setup ## Hold the clients in all languages to the conformance suite; in CI none is skipped
	$(BIN)/pytest -q --numprocesses=auto --dist=worksteal tests/clients/conformance
	@for client in $(CLIENTS); do \
		folder=clients/$${client%%:*}; \
		if command -v $${client##*:} > /dev/null; then $(MAKE) --no-print-directory -C $$folder check; \
		elif [[ -n "$${CI:-}" ]]; then echo "$$folder: there is no $${client##*:}"; exit 1; \
		else echo "$$folder: skipped, there is no $${client##*:}"; fi; \
	done

.PHONY: bench
bench: setup ## Measure all methods beside an empty call, on 10,000 runs (five minutes)
	@$(BIN)/python -m benchmarks.bench

.PHONY: bench-scale
bench-scale: setup ## Measure how all methods fare with very many runs: make bench-scale RUNS=1000000
	@$(BIN)/python -m benchmarks.bench --name bench-scale --runs $(RUNS)

.PHONY: bench-compare
bench-compare: setup ## Measure all methods, without and with a token, beside those of another commit: make bench-compare BASE=v0.1.0
	@$(BIN)/python -m benchmarks.compare --base $(BASE)

.PHONY: upkeep
upkeep: setup ## Measure compacting, verifying, backing up, restoring and shrinking 200,000 runs
	@$(BIN)/python -m benchmarks.upkeep

.PHONY: cascade
cascade: setup ## Measure what other writers notice while a run with a million entries is erased
	@$(BIN)/python -m benchmarks.cascade

.PHONY: fmt
fmt: setup ## Format code and protos
	$(BIN)/ruff check --quiet --select I --fix
	$(BIN)/ruff format
	$(BIN)/buf format --write protos

.PHONY: fmt-check
fmt-check: setup ## Check the format of the code
	$(BIN)/ruff format --check

.PHONY: lint
lint: setup ## Check the code with every rule of ruff that pyproject.toml keeps
	$(BIN)/ruff check

.PHONY: types
types: setup ## Check the types, strictly
	$(BIN)/mypy

.PHONY: layers
layers: setup ## Check that imports lead downwards
	$(BIN)/lint-imports

.PHONY: proto
proto: setup ## Generate code from the protos
	$(BIN)/python -m scripts.gen_protos

.PHONY: proto-check
proto-check: setup ## Check that the generated code is current
	$(BIN)/python -m scripts.gen_protos --check

.PHONY: proto-lint
proto-lint: setup ## Check the protos' style and format
	cd protos && ../$(BIN)/buf lint
	cd protos && ../$(BIN)/buf format --diff --exit-code

.PHONY: proto-breaking
proto-breaking: setup ## Check that the contract breaks no caller of the last release
	cd protos && ../$(BIN)/buf breaking --path runindex/v1 --against baseline/v1.binpb

.PHONY: proto-baseline
proto-baseline: setup ## At a release: keep the contract as what later ones are compared with
	cd protos && ../$(BIN)/buf build --path runindex/v1 --exclude-source-info --output baseline/v1.binpb

.PHONY: docs
docs: setup ## Render the tables of the docs from the code
	$(BIN)/python -m scripts.render_docs

.PHONY: docs-check
docs-check: setup ## Check that the tables of the docs are current
	$(BIN)/python -m scripts.render_docs --check

.PHONY: docker-lint
docker-lint: setup ## Check the Dockerfile
	$(BIN)/hadolint Dockerfile

.PHONY: check
check: fmt-check lint types layers proto-check proto-lint proto-breaking docs-check docker-lint test test-workers ## All checks, then all tests

.PHONY: clean
clean: ## Remove all that these targets made, but for ./data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
