# Everything on a fresh machine with Rust, make and python3. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
# The nats-server to use, when make found or fetched one. A recipe that needs it asks for `broker`.
BROKER = $(PYTHON) scripts/fetch-nats-server
# The environments with the real LittleBrother programs, the real cbapi and the real lcservice, made when they are missing
# or not what they should be.
LITTLEBROTHER = $(PYTHON) scripts/venv littlebrother
CBAPI = $(PYTHON) scripts/venv cbapi
LCSERVICE = $(PYTHON) scripts/venv lcservice
# Cargo for other systems than this one, and what is checked for them.
CROSS = $(PYTHON) scripts/cross
PORTABLE = -p tripline-agent -p tripline-protocol -p tripline-client
# The nft that isolates hosts in tests; empty where there is none and none can be fetched.
NFT = $(PYTHON) scripts/fetch-nft

.PHONY: help
help: ## show this
	@grep -hE '^[a-z][^:]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 28

.PHONY: build
build: ## build server and agent (debug: quick to build, quick enough to run)
	$(CARGO) build --workspace

.PHONY: demo
demo: broker build ## start broker, server and agent, trip a pipeline, show the result
	TRIPLINE_NATS_SERVER="$$($(BROKER))" target/debug/tripline demo

# The last line printed is the test runner's own summary. Most tests wait most of the time, for what they started: twice as
# many at once as there are processors end in little more than half the time.
.PHONY: test
test: broker brokers-of-the-range littlebrother cbapi lcservice nft cargo-deb lint cross-check static-agent ## everything that CI runs: formatting, lints, tests
	@broker="$$($(BROKER))"; littlebrother="$$($(LITTLEBROTHER))"; cbapi="$$($(CBAPI))"; \
	lcservice="$$($(LCSERVICE))"; nft="$$($(NFT))"; \
	export TRIPLINE_NATS_SERVER="$$broker" TRIPLINE_LITTLEBROTHER="$$littlebrother" TRIPLINE_CBAPI="$$cbapi" \
		TRIPLINE_LCSERVICE="$$lcservice"; \
	if [ -n "$$nft" ]; then export TRIPLINE_NFT="$$nft"; fi; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) test --doc -p tripline-client; \
		$(CARGO) nextest run --workspace --test-threads $$((2 * $$(getconf _NPROCESSORS_ONLN))); \
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

.PHONY: test-lcservice
test-lcservice: broker lcservice build ## only the tests with the real lcservice
	$(CARGO) build -p tripline-service --features server --examples
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_LCSERVICE="$$($(LCSERVICE))" $(CARGO) test -p tripline --test lcservice

.PHONY: test-packaging
test-packaging: broker cargo-deb build ## only the tests of units, packages and container
	TRIPLINE_NATS_SERVER="$$($(BROKER))" $(CARGO) test -p tripline --test packaging

.PHONY: lint
lint: ## formatting and lints alone
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# The page is held to the code by tests; this writes values that changed.
.PHONY: limits
limits: ## write values that changed into docs/limits.md
	TRIPLINE_WRITE_LIMITS=1 $(CARGO) test -p tripline --test docs -- limits::values

# What runs on hosts has to compile for their systems; warnings are errors there, too.
.PHONY: cross-check
cross-check: ## lints of agent, protocol and client for Windows and for Linux on arm64 with musl
	$(CROSS) clippy x86_64-pc-windows-gnu $(PORTABLE) -- -D warnings
	$(CROSS) clippy aarch64-unknown-linux-musl $(PORTABLE) -- -D warnings

# For tests/chroot, which looks for it there.
.PHONY: static-agent
static-agent: ## build a static agent of this machine's kind (debug)
	$(CROSS) zigbuild $$(uname -m)-unknown-linux-musl -p tripline-agent

.PHONY: test-chroot
test-chroot: broker static-agent ## only the tests of the static agent in an empty chroot
	TRIPLINE_NATS_SERVER="$$($(BROKER))" $(CARGO) test -p tripline --test chroot

.PHONY: dist
dist: ## build static agents, the server's archive, bills of materials and checksums into dist/
	$(PYTHON) scripts/dist

# This machine's agent in a folder that scripts/dist made.
agent_in = $$(ls $(CURDIR)/$(1)/tripline-agent-*-$$(uname -m)-unknown-linux-musl)

# The agent that is handed out, in the same chroot.
.PHONY: test-dist
test-dist: broker dist ## build dist/ and test this machine's agent of it in an empty chroot
	cd dist && sha256sum --check --quiet SHA256SUMS
	TRIPLINE_NATS_SERVER="$$($(BROKER))" \
		TRIPLINE_STATIC_AGENT="$(call agent_in,dist)" $(CARGO) test -p tripline --test chroot

# The same as is handed out, for benches; dist/ stays as its checksums say.
.PHONY: dist-agent
dist-agent:
	$(PYTHON) scripts/dist --only agent-$$(uname -m) --to target/dist-agent

# A test compares it; the document is replaced only when it could be printed.
.PHONY: openapi
openapi: ## write docs/openapi.json, the document of the HTTP API, anew
	$(CARGO) run --quiet --bin tripline -- openapi > docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json

# Tests compare them, as they do the document.
.PHONY: schemas
schemas: ## write docs/pipeline.schema.json and docs/job.schema.json anew
	$(CARGO) run --quiet --bin tripline -- pipeline schema > docs/pipeline.schema.json.new
	$(CARGO) run --quiet --bin tripline -- pipeline schema --jobs > docs/job.schema.json.new
	mv docs/pipeline.schema.json.new docs/pipeline.schema.json
	mv docs/job.schema.json.new docs/job.schema.json

.PHONY: deny
deny: ## licences, sources and bans (needs cargo-deny)
	$(CARGO) deny check licenses bans sources

.PHONY: soak
soak: broker build ## 100 rounds each of kill -9 of server, agent and broker under load
	$(CARGO) build -p tripline --example turned-clock
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_SOAK_ROUNDS=100 \
		$(CARGO) test -p tripline --test system -- --nocapture --test-threads 3 crash::
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_SOAK_ROUNDS=100 \
		$(CARGO) test -p tripline --test services -- --nocapture crash::soak

.PHONY: soak-transfer
soak-transfer: broker build ## 1 GiB fetched and put over a link cut 20 times each, agent and server killed in between
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_SOAK_TRANSFER_BYTES=1073741824 \
		$(CARGO) test -p tripline --test system -- --nocapture resume::transfers_go_on

.PHONY: soak-connections
soak-connections: broker build ## 10,000 connections without a hello, over plain HTTP and over TLS
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_SOAK_CONNECTIONS=10000 \
		$(CARGO) test -p tripline --test hostile -- --nocapture crowds::

# Needs about ten minutes a target; `scripts/fuzz --help` says how to run one, or for how long.
.PHONY: fuzz
fuzz: ## every fuzz target under the engine, ten minutes each
	scripts/fuzz

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

.PHONY: bench-limacharlie
bench-limacharlie: broker lcservice ## signed calls to Tripline, to a service in Rust and to the real lcservice, under the same load
	$(CARGO) build --release -p tripline-service --features server --example greeter
	TRIPLINE_NATS_SERVER="$$($(BROKER))" TRIPLINE_LCSERVICE="$$($(LCSERVICE))" $(CARGO) bench --bench limacharlie

.PHONY: bench-idle
bench-idle: broker ## what 10,000 attached agents that do nothing cost the server, in plain and over TLS
	TRIPLINE_NATS_SERVER="$$($(BROKER))" $(CARGO) bench --bench channel -- idle

.PHONY: bench-transfer
bench-transfer: broker dist-agent ## 1 GiB from an agent and to it, beside a bare WebSocket copy
	TRIPLINE_NATS_SERVER="$$($(BROKER))" $(CARGO) bench --bench channel -- transfer --agent "$(call agent_in,target/dist-agent)"

.PHONY: bench-agent
bench-agent: broker dist-agent ## what an agent costs its host that does nothing
	TRIPLINE_NATS_SERVER="$$($(BROKER))" $(CARGO) bench --bench channel -- rest --agent "$(call agent_in,target/dist-agent)"

.PHONY: broker
broker: ## find nats-server 2.11 or newer, or fetch one into .nats/bin
	@$(BROKER) >/dev/null

.PHONY: littlebrother
littlebrother: ## put the real LittleBrother programs into .venv/littlebrother, for the tests
	@$(LITTLEBROTHER) >/dev/null

.PHONY: cbapi
cbapi: ## put the real cbapi into .venv/cbapi, for the tests
	@$(CBAPI) >/dev/null

.PHONY: lcservice
lcservice: ## put the real lcservice into .venv/lcservice, for the tests
	@$(LCSERVICE) >/dev/null

.PHONY: nft
nft: ## find nft, or put Debian's into .nft, for the tests of isolation
	@$(NFT) >/dev/null

# Always fetched, whatever else is installed.
.nats/bin/nats-server:
	@$(BROKER) --version 2.15.1

# The oldest server that must work, and one that must be refused.
.PHONY: brokers-of-the-range
brokers-of-the-range:
	@$(BROKER) --version 2.11.11 --to .nats/2.11.11 >/dev/null
	@$(BROKER) --version 2.10.26 --to .nats/2.10.26 >/dev/null

# cargo install does nothing when this version is there. It packs a few files: to be built soon matters more than speed.
.PHONY: cargo-deb
cargo-deb: ## put cargo-deb into .tools
	@CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false $(CARGO) install --quiet --locked --root .tools --version 3.8.0 --no-default-features cargo-deb

# AGENT_TARGET names another target of the agent: a static one from `make dist`, such as x86_64-unknown-linux-musl.
.PHONY: deb
deb: cargo-deb ## build .deb packages of server and agent into target/deb
	$(CARGO) build --release --locked -p tripline $(if $(AGENT_TARGET),,-p tripline-agent)
	@$(PYTHON) scripts/deb --to target/deb --package tripline
	@$(PYTHON) scripts/deb --to target/deb --package tripline-agent $(if $(AGENT_TARGET),--target $(AGENT_TARGET))

.PHONY: clean
clean: ## remove what was built and fetched, and the demo's data
	$(CARGO) clean
	rm -rf .nats .nft .venv .tools dist
