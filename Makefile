# Everything a developer runs. State is in .lab/ (the lab) and target/ (cargo); `make down` and `make clean` remove both.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

KUBELET_BIN ?= ours
RUNTIME ?= containerd2
NAME ?= default
UP ?=
BENCH ?=
# The whole workspace, as the unit tests are built: one package alone would be built with other features, all over again.
NODE_TESTS = cargo nextest run --no-fail-fast --workspace --run-ignored only
# End-to-end tests that `make test` leaves to `make thorough`.
LONG = ^histories::|^machine::|::much_at_once_|::what_is_used_beside_upstream_on_containerd_1
CARGO_BIN := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin
export PATH := $(CARGO_BIN):$(PATH)
LAB = cargo run --quiet -p lab --
# Not optimized: on two cores that saves a quarter of an hour, once, and these tools wait more than they compute.
INSTALL = CARGO_PROFILE_DEV_DEBUG=0 cargo install --debug --locked

.PHONY: help
help: ## this text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: ## the release binary
	cargo build --release -p kubelet

.PHONY: prerequisites
prerequisites: ## Debian packages and cargo tools that are missing
	$(LAB) prerequisites
	command -v cargo-nextest >/dev/null || $(INSTALL) cargo-nextest
	command -v cargo-deny >/dev/null || $(INSTALL) cargo-deny

.PHONY: run
run: build ## a standalone node with a sample pod
	$(LAB) prerequisites
	$(LAB) up --mode standalone --replace --name $(NAME) --runtime $(RUNTIME) --kubelet $(KUBELET_BIN) --manifest samples/hello.yaml
	$(LAB) wait-pod hello --name $(NAME)

.PHONY: cluster
cluster: build ## a node under a control plane; KUBELET_BIN=ours, upstream or a path; UP=--metrics-server for more
	$(LAB) prerequisites
	$(LAB) up --mode cluster --replace --name $(NAME) --runtime $(RUNTIME) --kubelet $(KUBELET_BIN) $(UP)

.PHONY: machine
machine: build ## the same with systemd and cgroup v2, in a virtual machine; KUBELET_BIN=ours or upstream
	$(LAB) prerequisites
	$(LAB) up --mode cluster --replace --name $(NAME) --no-kubelet
	$(LAB) machine start --name $(NAME)
	$(LAB) machine kubelet $(KUBELET_BIN) --name $(NAME)

.PHONY: bench
bench: $(if $(filter ours,$(KUBELET_BIN)),build) ## figures of KUBELET_BIN beside upstream's; BENCH='--only start --short' for less
	$(LAB) prerequisites
	$(LAB) bench --kubelet $(KUBELET_BIN) --runtime $(RUNTIME) $(BENCH)

.PHONY: down
down: ## take every lab down; leaves nothing behind
	$(LAB) down --all

.PHONY: check
check: ## format, lints, licences, dependency direction
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny --log-level error check licenses bans sources
	$(LAB) check-deps

.PHONY: test
test: prerequisites ## everything that CI runs
	$(MAKE) check
	cargo nextest run --workspace --no-fail-fast
	$(LAB) build
	cargo build --release -p kubelet
	$(NODE_TESTS) --test-threads 3 -E 'package(node-tests) & not test(/$(LONG)/)'

# Apart from the others: two kubelets of different speed go through 75 pods, which wants a machine that does nothing else.
.PHONY: histories
histories: prerequisites build ## what pods go through, beside upstream's kubelet
	$(LAB) build
	$(NODE_TESTS) -E 'package(node-tests) & test(/^histories::/)'

.PHONY: thorough
thorough: histories ## that, and what only takes longer: a thousand commands, the older runtime's statistics
	$(NODE_TESTS) --test-threads 2 -E 'package(node-tests) & test(/$(LONG)/) & not test(/^histories::/)'

.PHONY: docs
docs: ## the generated tables of docs/compat.md
	KUBELET_UPDATE_DOCS=1 cargo nextest run -p kubelet compat

.PHONY: clean
clean: down ## caches too
	rm -rf .lab target
