# Targets are what CI runs; `make` alone lists them.

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
PACKAGES ?= ./...
FUZZTIME ?= 10s
COUNT    ?= 6
BINARY   := bin/hierarchy

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: fmt-check lint vet test ## what a change must pass: format, lint, vet, test

.PHONY: fmt
fmt: ## format the tree in place
	$(TOOL) golangci-lint fmt

.PHONY: fmt-check
fmt-check: ## fail if a file is not formatted
	$(TOOL) golangci-lint fmt --diff

.PHONY: lint
lint: ## run golangci-lint
	$(TOOL) golangci-lint run $(PACKAGES)

.PHONY: vet
vet: ## run go vet
	$(GO) vet $(PACKAGES)

.PHONY: test
test: ## run the tests
	$(GO) test $(PACKAGES)

# Tests of sheer volume, which show nothing more under the race detector or when they are
# repeated.
VOLUME := ^(TestX1_|TestR16_Storms|TestR12_TenThousandWait|TestR5_AllThatIsCarried)

# In a bubble of Go 1.26 all timers share one context of the race detector, and timers that two
# threads run at once corrupt it: the detector itself crashes, now and then. Go 1.27 has a
# context for each P, as outside bubbles.
RACE := GOTOOLCHAIN=go1.27.3+auto $(GO) test -race

.PHONY: race
race: ## run the tests with the race detector, but for those of sheer volume
	$(RACE) -timeout=40m -skip='$(VOLUME)' $(PACKAGES)

# Half of the injections of harm in storms from seed 1 on, half from seed 100001 on, side by
# side: a process has one bubble at a time. Each fails if it has done too few, or missed a kind.
INJECTIONS ?= 15000
STORMS      = $(GO) test -count=1 -v -timeout=60m -run='^TestR16_Storms$$' ./consumer -args -storm.injections=$$(($(INJECTIONS) / 2))

.PHONY: crashes
crashes: ## do INJECTIONS (15000) of harm to workers in bubbles, and audit what is left
	$(STORMS) -storm.seed=1 & first=$$!; $(STORMS) -storm.seed=100001; second=$$?; wait $$first && exit $$second

# What a flake would be worth looking for in.
RUN     ?= .
BUBBLES := ./operation ./subjects ./resolver ./ecsstore ./internal/natstest ./consumer

.PHONY: flakes
flakes: ## run the tests in bubbles that match RUN (all) COUNT (6) times with the race detector
	$(RACE) -count=$(COUNT) -timeout=0 -run='$(RUN)' -skip='$(VOLUME)' $(BUBBLES)

.PHONY: cover
cover: ## measure what the tests execute, of all packages together
	$(GO) test -coverpkg=./... -coverprofile=cover.out $(PACKAGES)
	$(GO) tool cover -func=cover.out | tail -n 1

# go test fuzzes one target of one package at a time.
.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@set -e; grep -rn --include='*_test.go' '^func Fuzz' . \
	| sed -E 's|^(.*)/[^/]*:[0-9]+:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | sort -u \
	| while read -r dir target; do \
		echo "$$dir $$target"; \
		$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) "$$dir"; \
	done

.PHONY: audit-million
audit-million: ## audit OPERATIONS (1000000); fail above 60 s or 512 MiB
	$(GO) test -count=1 -tags=integration -timeout=0 -v -run='^TestAuditOfManyOperations$$' ./cmd/hierarchy -args -operations=$(or $(OPERATIONS),1000000)

.PHONY: backlog
backlog: ## have OPERATIONS (1000000) wait for a worker; fail if it takes 384 MiB
	$(GO) test -count=1 -tags=integration -timeout=0 -v -run='^TestR24_ABacklogStaysOutOfMemory$$' ./cmd/hierarchy -args -operations=$(or $(OPERATIONS),1000000)

.PHONY: bench
bench: ## run the benchmarks COUNT (6) times into bench.txt and sum them up
	$(GO) test -run='^$$' -bench=. -benchmem -count=$(COUNT) $(PACKAGES) | tee bench.txt
	$(TOOL) benchstat bench.txt

.PHONY: golden
golden: ## write the golden files anew; read the diff before you commit it
	@set -e; grep -rlE --include='*_test.go' 'flag\.Bool\("update"' . \
	| xargs -rn 1 dirname | sort -u | while read -r dir; do $(GO) test "$$dir" -update; done
	@git --no-pager diff --stat

.PHONY: integration
integration: ## run the tests of containers and of the compose file; needs Docker
	$(GO) test -v -count=1 -tags=integration -timeout=20m ./integration

.PHONY: image
image: ## build the images hierarchy and hierarchy-broker from static binaries, pulling nothing
	rm -rf dist/image && mkdir -p dist/image/data && cp deploy/nats/*.conf dist/image
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -o dist/image/hierarchy ./cmd/hierarchy
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -o dist/image/nats-server github.com/nats-io/nats-server/v2
	docker build -t hierarchy --target prebuilt -f Dockerfile dist/image
	docker build -t hierarchy-broker --target prebuilt-broker -f Dockerfile dist/image

# SEED=0 takes any seed and prints it; what a run that failed has written is kept.
SEED ?= 0
FOR  ?= 2m

.PHONY: chaos
chaos: ## break real processes under load for FOR (2m), by the plan of SEED (any)
	$(GO) test -count=1 -tags=integration -timeout=0 -v -run='^TestR23_Chaos$$' ./integration/chaos -args -seed=$(SEED) -for=$(FOR)

TIMES ?= 100

.PHONY: takeover
takeover: ## kill and drain workers TIMES (100) times each, and measure how long their partitions wait
	$(GO) test -count=1 -tags=integration -timeout=0 -v -run='^TestR23_TakeOver$$' ./integration/chaos -args -seed=$(SEED) -times=$(TIMES)

.PHONY: throughput
throughput: ## measure what 1, 2 and 4 workers make of a cluster, for FOR (2m) each
	$(GO) test -count=1 -tags=integration -timeout=0 -v -run='^TestThroughput$$' ./integration/chaos -args -for=$(FOR)

.PHONY: vuln
vuln: ## look for known vulnerabilities in what we call
	$(TOOL) govulncheck $(PACKAGES)

.PHONY: build
build: ## build bin/hierarchy
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BINARY) ./cmd/hierarchy

.PHONY: demo
demo: ## run broker, worker and a small publisher, and watch
	$(GO) run ./cmd/hierarchy run --demo

.PHONY: clean
clean: ## remove what the other targets leave behind
	rm -rf bin dist cover.out bench.txt
