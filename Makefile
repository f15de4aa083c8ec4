# custodyd: what one types. CI runs "make test" and nothing else.

SHELL := /bin/bash

# Where .ci/tools.sh puts what it builds; tests find the S3 servers on the PATH.
TOOLS_BIN := $(or $(CUSTODYD_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/custodyd)/bin
export PATH := $(TOOLS_BIN):$(PATH):/usr/sbin:/sbin

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := $(if $(VERSION),-ldflags "-X main.version=$(VERSION)")
FUZZTIME ?= 3s

.PHONY: help build test check-quick vet tidy lint race fuzz vuln tools bench demo demo-s3 generate generate-check clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build custodyd and custody-cli into ./bin
	go build -trimpath $(LDFLAGS) -o bin/ ./cmd/...

demo: ## the whole story on IMAGE=file, or on a small file system it makes
	@.ci/demo.sh

demo-s3: ## the same on a real S3 server, fetched and started
	@.ci/demo.sh s3

test: ## everything CI runs, fetching what it needs
	@.ci/test.sh

check-quick: vet ## build, vet and the tests once, without the race detector
	@.ci/tools.sh minio versitygw >/dev/null
	@go run ./.ci/gate ./... ./.ci/gate ./.ci/bench
	@go build -o bin/gate ./.ci/gate && cd .ci/peers && GOFLAGS=-mod=readonly GOWORK=off ../../bin/gate .

vet:
	go vet ./... ./.ci/gate ./.ci/bench
	GOFLAGS=-mod=readonly GOWORK=off go vet -C .ci/peers .
	GOFLAGS=-mod=readonly GOWORK=off go vet -C .ci/bench/tessera .
	GOFLAGS=-mod=readonly GOWORK=off go build -C .ci/bench/tessera -o $(CURDIR)/bin/bench/tessera .

tidy: ## fail if go.mod or go.sum is not what the code needs
	@.ci/tidy.sh

lint: ## the linters of .golangci.yml
	@.ci/tools.sh golangci-lint >/dev/null
	golangci-lint run --timeout 15m ./... ./.ci/gate ./.ci/bench
	cd .ci/bench/tessera && golangci-lint run --timeout 15m --config $(CURDIR)/.golangci.yml
	cd .ci/peers && golangci-lint run --timeout 15m --config $(CURDIR)/.golangci.yml

# The longest packages begin first, so that no core is idle while the last one runs. A
# process that was built with the race detector sleeps a second before it ends.
LONGEST := ./internal/custody ./internal/verify ./cmd/custody-cli ./internal/attack

# The curve arithmetic of crypto/ed25519 is six times as slow when it is watched. What goes
# into it and comes out is watched still.
UNWATCHED := -gcflags='crypto/internal/fips140/edwards25519/...=-race=false'

race: export GORACE := atexit_sleep_ms=10
race: ## the tests with the race detector; a skip is a failure
	@.ci/tools.sh minio versitygw >/dev/null
	@go run ./.ci/gate -race $(UNWATCHED) -timeout 20m $(LONGEST) ./... ./.ci/gate ./.ci/bench
	@go build -o bin/gate ./.ci/gate && cd .ci/peers && GOFLAGS=-mod=readonly GOWORK=off ../../bin/gate -race $(UNWATCHED) -timeout 10m .

fuzz: ## every fuzz target for FUZZTIME (3s)
	@.ci/fuzz.sh $(FUZZTIME)

vuln: ## govulncheck, if CUSTODYD_VULNDB names a local database
	@.ci/vuln.sh

bench: ## the table of ratios, measured side by side
	@.ci/bench.sh

tools: ## build the pinned tools that tests need
	@.ci/tools.sh minio versitygw golangci-lint oapi-codegen

generate: ## renew the generated code from api/openapi.yaml
	@.ci/tools.sh oapi-codegen >/dev/null
	go generate ./...

generate-check: ## fail if generated code is out of date
	@.ci/generate-check.sh

clean: ## remove ./bin
	rm -rf bin
