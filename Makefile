# Everything on a fresh machine with Rust, make and python3. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
# The nats-server to use, when make found or fetched one. A recipe that needs it asks for `broker`.
BROKER = $(PYTHON) scripts/fetch-nats-server
# The environments with the real LittleBrother programs and the real cbapi, made when they are missing or not what
# they should be.
LITTLEBROTHER = $(PYTHON) scripts/venv littlebrother
CBAPI = $(PYTHON) scripts/venv cbapi

.PHONY: help
help: ## show this
	@grep -hE '^[a-z][^:]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 28

.PHONY: build
build: ## build server and agent (debug: quick to build, quick enough to run)
	$(CARGO) build --workspace

.PHONY: demo
demo: broker build ## start broker, server and agent, trip a pipeline, show the result
	TRIPLINE_NATS_SERVER="$$($(BROKER))" target/debug/tripline demo

# The last line printed is the test runner's own summary.
.PHONY: test
test: broker brokers-of-the-range littlebrother cbapi lint ## everything that CI runs: formatting, lints, tests
	@broker="$$($(BROKER))"; littlebrother="$$($(LITTLEBROTHER))"; cbapi="$$($(CBAPI))"; \
	export TRIPLINE_NATS_SERVER="$$broker" TRIPLINE_LITTLEBROTHER="$$littlebrother" TRIPLINE_CBAPI="$$cbapi"; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) test --doc -p tripline-client; \
		$(CARGO) nextest run --workspace; \
	else \
		$(CARGO) test --workspace; \
	fi

.PHONY: test-littlebrother
test-littlebrother: broker littlebrother build ## only the tests against the real LittleBrother programs
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_LITTLEBROTHER="$$($(LITTLEBROTHER))" \
		$(CARGO) test -p tripline --test littlebrother

.PHONY: test-cbapi
test-cbapi: broker cbapi build ## only the tests that drive the real cbapi
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_CBAPI="$$($(CBAPI))" $(CARGO) test -p tripline --test cbapi

.PHONY: lint
lint: ## formatting and lints alone
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: deny
deny: ## licences, sources and bans (needs cargo-deny)
	$(CARGO) deny check licenses bans sources

.PHONY: soak
soak: broker build ## 100 rounds each of kill -9 of server, agent and broker under load
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_SOAK_ROUNDS=100 \
		$(CARGO) test -p tripline --test system -- --nocapture --test-threads 3 crash::

# Needs about ten minutes a target; `scripts/fuzz --help` says how to run one, or for how long.
.PHONY: fuzz
fuzz: broker ## every fuzz target under the engine, ten minutes each
	TRIPLINE_NATS_SERVER="$$($(BROKER))" scripts/fuzz

.PHONY: bench
bench: broker ## the load program; its table belongs into benches/README.md
	TRIPLINE_NATS_SERVER="$$($(BROKER))" $(CARGO) bench --bench load

.PHONY: bench-littlebrother
bench-littlebrother: broker littlebrother ## Tripline beside the real LittleBrother server, under the same load
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_LITTLEBROTHER="$$($(LITTLEBROTHER))" \
		$(CARGO) bench --bench littlebrother

# The agent is a program of its own, which the bench starts.
.PHONY: bench-carbonblack
bench-carbonblack: broker cbapi ## the real cbapi, the Rust client and large files, beside peers and floors
	$(CARGO) build --release -p tripline-agent
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_CBAPI="$$($(CBAPI))" $(CARGO) bench --bench carbonblack

.PHONY: broker
broker: ## find nats-server 2.11 or newer, or fetch one into .nats/bin
	@$(BROKER) >/dev/null

.PHONY: littlebrother
littlebrother: ## put the real LittleBrother programs into .venv/littlebrother, for the tests
	@$(LITTLEBROTHER) >/dev/null

.PHONY: cbapi
cbapi: ## put the real cbapi into .venv/cbapi, for the tests
	@$(CBAPI) >/dev/null

# Always fetched, whatever else is installed.
.nats/bin/nats-server:
	@$(BROKER) --version 2.15.1

# The oldest server that must work, and one that must be refused.
.PHONY: brokers-of-the-range
brokers-of-the-range:
	@$(BROKER) --version 2.11.11 --to .nats/2.11.11 >/dev/null
	@$(BROKER) --version 2.10.26 --to .nats/2.10.26 >/dev/null

.PHONY: clean
clean: ## remove what was built and fetched, and the demo's data
	$(CARGO) clean
	rm -rf .nats .venv .tools
