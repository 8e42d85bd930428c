# Everything that is built, checked or run here starts with a target of this
# file; "make help" lists them. Targets never overwrite GOFLAGS: whoever calls
# may have set it.

SHELL       := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ROOT    := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
MODULES := proto registry workers connectors gateway
# A worker author never compiles DuckDB: these modules build without cgo.
PURE    := proto workers
BIN     := bin/muster
TOOLS   := $(ROOT)/.tools
export PATH := $(TOOLS):$(PATH)

.PHONY: help
help: ## Show this list
	@awk -F':.*## ' '/^[a-zA-Z_-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/muster, and beside it the workers celfilter and echoworker
	@mkdir -p bin
	cd gateway && go build -trimpath -ldflags "$(LDFLAGS)" -o ../$(BIN) ./cmd/muster
	cd workers && CGO_ENABLED=0 go build -trimpath -o ../bin/ ./cmd/...

# Both are empty in a tree without git; "muster version" then says so itself.
VERSION ?= $(shell git -C $(ROOT) describe --tags --always --dirty 2>/dev/null)
LDFLAGS ?= $(if $(VERSION),-X main.version=$(VERSION))

.PHONY: run
run: build ## Start a gateway with two workers, and ask as alice and bob about a graph of Debian packages
	examples/demo/run.sh

.PHONY: setup
setup: ## Install what the tests need beside Go (PostgreSQL, Keycloak, nginx, Python and Node packages)
	tools/setup/all.sh

.PHONY: test
test: tools ## Run everything, as CI does: checks, all tests, long ones included; prints the minutes of each part
	@$(TOOLS)/check -profile full

.PHONY: test-fast
test-fast: tools ## Run what takes under three minutes: checks without lint, tests with -short
	@$(TOOLS)/check -profile fast

.PHONY: test-solo
test-solo: tools ## Build and test each module alone, without the workspace; proto and workers without cgo
	@$(TOOLS)/check -profile solo

.PHONY: lint
lint: tools-lint ## Run golangci-lint over every module, and buf lint
	@status=0; for m in $(MODULES); do echo "lint $$m"; \
	  (cd $$m && golangci-lint run --config $(ROOT)/.golangci.yml ./...) || status=1; done; \
	for m in tools tools/bench; do echo "lint $$m"; \
	  (cd $$m && GOWORK=off golangci-lint run --config $(ROOT)/.golangci.yml ./...) || status=1; done; \
	cd proto && buf lint || status=1; exit $$status

.PHONY: gen
gen: tools ## Generate the Go code of proto/
	cd proto && buf generate

.PHONY: gen-check
gen-check: tools ## Fail when proto/gen is not what buf generates, or a contract changed incompatibly
	tools/gencheck.sh

.PHONY: baseline
baseline: tools ## Make the present contracts the baseline of the breaking check (at a release, or with an ADR)
	cd proto && buf build -o baseline.binpb

.PHONY: tidy
tidy: ## go work sync, then go mod tidy in every module (the sync raises versions whose sums only tidy adds)
	@tools/tidy.sh $(MODULES) tools tools/lint tools/bench

.PHONY: tidy-check
tidy-check: tools ## Fail on a missing sibling replace, a differing go line or a differing DuckDB
	@$(TOOLS)/tidycheck -root $(ROOT)

.PHONY: bench
bench: build tools-bench ## Measure against the yardsticks and write docs/performance.md (BENCH=quick for a short run, ONLY=regexp for some bars, which writes nothing)
	@tools/setup/nginx.sh >/dev/null
	@$(TOOLS)/bench run -bin $(BIN) $(if $(ONLY),-only '$(ONLY)',-o docs/performance.md -json bin/bench.json) $(if $(filter quick,$(BENCH)),-quick) $(BENCHFLAGS)

FUZZTIME ?= 20s
.PHONY: fuzz
fuzz: tools ## Run every fuzz target for FUZZTIME (20s each)
	@$(TOOLS)/check -profile fuzz -fuzztime $(FUZZTIME)

.PHONY: vuln
vuln: tools-lint ## Look for known vulnerabilities in what is called (needs the vulnerability database)
	@tools/vuln.sh $(MODULES)

.PHONY: tools
tools: ## Build the pinned tools into .tools (only when their sources changed)
	@tools/build.sh base

.PHONY: tools-lint
tools-lint:
	@tools/build.sh base lint

.PHONY: tools-bench
tools-bench:
	@tools/build.sh bench

.PHONY: clean
clean: ## Remove what was built (not the caches outside the tree)
	rm -rf bin .tools data coverage
