# One binary, three promises about targets: `make demo` shows the main job on
# embedded defaults, `make test` is what continuous integration runs, `make check`
# is that plus the linters.

SHELL      := /bin/bash
GO         ?= go
CACHE      := $(CURDIR)/.cache
TESTBIN    := $(CACHE)/bin
HISTORIES  ?= 10000
KILLS      ?= 50
PLATFORMS  ?= linux/amd64 linux/arm64 darwin/arm64
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export AUDITRELAY_TEST_BIN := $(TESTBIN)

VERSITYGW     := $(TESTBIN)/versitygw
SERVERS       := $(VERSITYGW) $(TESTBIN)/victoria-logs $(TESTBIN)/webhook-receiver $(TESTBIN)/otel-collector $(TESTBIN)/fake-gcs-server
STATICCHECK   := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Packages with one goroutine, or whose work is done by processes of their own: the
# race detector would find nothing there and take minutes.
ALONE := ^auditrelay/(cli|document|builtin/redact|guests/examples|guests/conformance|integrations/(litellm|fanout)|internal/(confine|detect|meter|compile|query|readmetest|test/corpus))$$

# The packages whose tests take longest begin first. Many wait for servers and disks: four
# at a time keep two cores busy.
FIRST := ^auditrelay/(runtime|cli/internal/app|internal/auditstore|builtin/wasm)

.DEFAULT_GOAL := help
.PHONY: help build release demo test check soak bench guests generate fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/auditrelay
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/auditrelay ./cmd/auditrelay

# RELEASE_KEY signs the release: an SSH key of type ed25519 (ssh-keygen -t ed25519), or its public
# half where an agent or a hardware token has the rest. BUILDER is a URI that names who builds.
RELEASE_KEY ?=
BUILDER     ?= urn:auditrelay:builder:unknown
release: ## build dist/: an archive for each platform, with notices, SBOM, checksums and provenance; signed with RELEASE_KEY
	rm -rf dist && mkdir -p dist
	@set -e; for platform in $(PLATFORMS); do \
	  export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
	  name=auditrelay-$(VERSION)-$$GOOS-$$GOARCH; mkdir -p dist/$$name; \
	  $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o dist/$$name/auditrelay ./cmd/auditrelay; \
	  env -u GOOS -u GOARCH $(GO) build -o dist/.notices ./internal/tools/notices; \
	  dist/.notices -version $(VERSION) -out dist/$$name; rm dist/.notices; \
	  cp -r LICENSE README.md CHANGELOG.md docs packaging/completions packaging/monitoring packaging/auditrelay.service dist/$$name/; \
	  cp dist/$$name/sbom.cdx.json dist/$$name.sbom.cdx.json; \
	  tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$$(git log -1 --format=%ct)" -C dist -cf - $$name | gzip -n > dist/$$name.tar.gz; \
	  rm -r dist/$$name; echo dist/$$name.tar.gz; \
	done
	cd dist && sha256sum *.tar.gz *.cdx.json > SHA256SUMS
	$(GO) run ./internal/tools/notices -provenance dist/SHA256SUMS -version $(VERSION) -platforms "$(PLATFORMS)" -builder "$(BUILDER)" > dist/provenance.intoto.json
ifneq ($(RELEASE_KEY),)
	cd dist && for file in SHA256SUMS provenance.intoto.json; do ssh-keygen -q -Y sign -f $(abspath $(RELEASE_KEY)) -n auditrelay-release $$file; done
else
	@echo "not signed: RELEASE_KEY names no key"
endif

.PHONY: packages
packages: $(TESTBIN)/nfpm ## build dist/: deb and rpm for Linux, amd64 and arm64
	@mkdir -p dist
	@set -e; for arch in amd64 arm64; do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o dist/auditrelay-$$arch ./cmd/auditrelay; \
	  for format in deb rpm; do \
	    (cd packaging && SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) VERSION=$(if $(filter v%,$(VERSION)),$(VERSION),0.0.0+$(VERSION)) ARCH=$$arch BIN=../dist/auditrelay-$$arch $(TESTBIN)/nfpm package -f nfpm.yaml -p $$format -t ../dist/); \
	  done; rm dist/auditrelay-$$arch; \
	done

demo: build ## run the main job on embedded defaults: events in, guests in between, files out
	$(GO) run ./internal/test/demo -binary bin/auditrelay

test: $(SERVERS) ## all tests but soak and bench; installs what they need
	@scripts/install-test-tools
	$(GO) build ./...
	$(GO) test -race -shuffle=on -short -timeout 30m -p 4 $$($(GO) list ./... | grep -E '$(FIRST)'; $(GO) list ./... | grep -vE '$(FIRST)|$(ALONE)')
	$(GO) test -shuffle=on -timeout 20m $$($(GO) list ./... | grep -E '$(ALONE)')
	$(GO) test -timeout 20m -count=1 ./runtime/internal/journal
	$(GO) test -timeout 20m -count=1 -run 'TestHostFunctionsPayFirst|TestTheWorstCallsAreBounded|TestLargeCallsLookAtTheClock' ./hostfuncs
	$(GO) test -timeout 20m -count=1 -run 'TestAnOpenPageCostsLittle' ./cli/internal/ui
	@scripts/side-by-side \
	  "AUDITRELAY_KILLS=$(KILLS) $(GO) test -timeout 45m -count=1 ./runtime/internal/crashtest" \
	  "GOGC=800 $(GO) test -timeout 45m -count=1 -run TestHistories ./runtime/internal/delivery -histories $(HISTORIES)"
	cd bench && $(GO) vet ./... && $(GO) test ./...
	cd internal/testservers/packaging && $(GO) vet ./... && $(GO) test ./...
	@scripts/test-guests
	@scripts/test-embedding
	@scripts/test-page

check: test lint ## make test, and the linters

.PHONY: lint
lint: $(TESTBIN)/staticcheck $(TESTBIN)/golangci-lint
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "gofmt -l lists the files above"; exit 1; }
	$(GO) vet ./...
	$(TESTBIN)/staticcheck ./...
	$(TESTBIN)/golangci-lint run ./...
	$(GO) mod tidy -diff

soak: $(SERVERS) ## the long runs: a million histories, 2,000 kills, every flipped bit, a million modules
	AUDITRELAY_SOAK=1 GOGC=800 $(GO) test -timeout 24h -count=1 -run 'TestHistories' ./runtime/internal/delivery -histories 1000000
	AUDITRELAY_SOAK=1 AUDITRELAY_KILLS=2000 $(GO) test -timeout 24h -count=1 -v ./runtime/internal/crashtest
	AUDITRELAY_SOAK=1 $(GO) test -timeout 24h -count=1 ./runtime/internal/journal
	AUDITRELAY_SOAK=1 $(GO) test -timeout 24h -count=1 -v -run 'TestEveryFlippedByteIsNamed|TestEveryDamageToAJournalIsNamed|TestAStoreVerifies' ./runtime
	AUDITRELAY_SOAK=1 $(GO) test -timeout 24h -count=1 -v -run 'TestASecondClientsLatency' ./cli/internal/http
	AUDITRELAY_SOAK=1 $(GO) test -timeout 24h -count=1 -v ./integrations/fanout
	$(GO) test -timeout 24h -count=1 -run TestExact ./internal/meter -meter.rounds 1000000
	$(GO) test -timeout 24h -count=1 ./builtin/wasm

.PHONY: worst
worst: ## what a unit of fuel costs at the worst: a search over shapes of code and calls of host functions, known ones, detectors, queries
	$(GO) test -run 'TestSearchWorst' -count=1 -v ./internal/meter -meter.worst.time 2m -meter.worst.seed $(or $(SEED),1) | cut -c1-200
	$(GO) test -run 'TestSearchWorstCalls' -count=1 -v ./hostfuncs -hostfuncs.worst.time 2m -hostfuncs.worst.seed $(or $(SEED),1) | cut -c1-300
	$(GO) test -run '^$$' -bench 'Unit' -benchtime 200ms ./internal/meter | sort -k3 -rn
	$(GO) test -run '^$$' -bench 'Worst' -benchtime 2000x -v ./internal/query
	$(GO) test -run 'TestHostFunctionsPayFirst' -count=1 -v ./hostfuncs
	$(GO) test -run '^$$' -bench 'Hostile' -benchtime 50ms ./internal/detect | sort -k5 -rn | head -20

bench: ## the figures: ratios against floors and peers in one run
	cd bench && CGO_ENABLED=0 $(GO) run .

.PHONY: versus
versus: ## one fault script, and each sink against a sink-hole: us and Benthos side by side
	cd bench && CGO_ENABLED=0 $(GO) run ./versus

guests: ## rebuild testdata/wasm from source (Go, clang, lld, wasi-libc, wabt)
	guests/build.sh

generate: ## rebuild what is generated: the configuration reference
	$(GO) generate ./...

fuzz: ## run every fuzz target for a minute
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$p || exit 1; done; done

clean: ## remove what was built
	rm -rf bin .cache demo-data

# Test tools have a module of their own, so that nobody who imports auditrelay
# inherits their dependencies.
$(VERSITYGW): internal/testservers/go.mod
	@mkdir -p $(TESTBIN)
	cd internal/testservers && $(GO) build -o $(VERSITYGW) github.com/versity/versitygw/cmd/versitygw

$(TESTBIN)/nfpm: internal/testservers/packaging/go.mod
	@mkdir -p $(TESTBIN)
	cd internal/testservers/packaging && $(GO) build -o $@ github.com/goreleaser/nfpm/v2/cmd/nfpm

$(TESTBIN)/victoria-logs: internal/testservers/victorialogs/go.mod
	@mkdir -p $(TESTBIN)
	cd internal/testservers/victorialogs && CGO_ENABLED=0 $(GO) build -o $@ github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs

$(TESTBIN)/fake-gcs-server: internal/testservers/gcs/go.mod
	@mkdir -p $(TESTBIN)
	cd internal/testservers/gcs && CGO_ENABLED=0 $(GO) build -o $@ github.com/fsouza/fake-gcs-server

$(TESTBIN)/webhook-receiver: internal/testservers/webhook/go.mod internal/testservers/webhook/main.go
	@mkdir -p $(TESTBIN)
	cd internal/testservers/webhook && $(GO) build -o $@ .

$(TESTBIN)/otel-collector: internal/testservers/collector/go.mod internal/testservers/collector/main.go
	@mkdir -p $(TESTBIN)
	cd internal/testservers/collector && CGO_ENABLED=0 $(GO) build -o $@ .

$(TESTBIN)/staticcheck:
	GOBIN=$(TESTBIN) $(GO) install $(STATICCHECK)

$(TESTBIN)/golangci-lint:
	GOBIN=$(TESTBIN) $(GO) install $(GOLANGCI_LINT)
