# wavepool. "make" alone lists the targets.

GO          ?= go
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.7.0
FUZZTIME    ?= 10s
SEEDS       ?= 200
BENCHTIME   ?= 200ms

.DEFAULT_GOAL := help
.PHONY: help build test test-long lint sim determinism bench bench-pool bench-proxy bench-sim show-lb show-health h2spec interop soak mutants fuzz cover ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the commands into bin/
	@mkdir -p bin
	$(GO) build -o bin/ ./cmd/...

test: ## run every test under the race detector
	$(GO) test -race -timeout 40m ./...

test-long: ## run the simulator's tests without the race detector, with those that take too long under it
	$(GO) test -count=1 -timeout 20m ./netsim/scenario

lint: ## gofmt, go vet, the house rules, staticcheck
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test -count=1 .
	@./.ci/staticcheck $(STATICCHECK)

sim: ## run every scenario once
	@./.ci/scenarios 1 0

determinism: ## prove that a seed gives one trace: GOMAXPROCS 1 and 2, race on and off
	@./.ci/determinism

bench: ## run the benchmarks briefly (BENCHTIME=200ms)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

bench-pool: ## measure pool beside other pools: one table of ratios (its module is testdata/bench-pool)
	@cd testdata/bench-pool && $(GO) test -count=1 . && $(GO) run .

bench-proxy: ## measure the proxy beside HAProxy, nginx and others: CPU per request and per GB (its module is testdata/bench-proxy)
	@cd testdata/bench-proxy && $(GO) test -count=1 . && $(GO) run . -install

bench-sim: ## measure the simulator: events and requests per second, memory per connection, cost of growing worlds
	@$(GO) test -count=1 -p 1 -v ./netsim ./netsim/scenario -run Pace -bench-sim

h2spec: ## run h2spec against wavepool and against net/http's own server: wavepool must fail nothing that the other passes
	@cd testdata/h2spec && $(GO) run .

interop: ## run gRPC's own interoperability tests through wavepool (its module is testdata/grpc-interop)
	@cd testdata/grpc-interop && $(GO) test -count=1 .

show-lb: ## what each strategy does in a model of traffic: evenness, a slow backend, one that fails fast, keys that move
	@$(GO) test -count=1 -v ./lb -run ShowLB -show-lb | grep -v '^=== \|^--- \|^PASS'

show-health: ## what health does by setting: a flapping backend, a crashed fleet, a retry storm, a silent backend, a slow one
	@$(GO) test -count=1 -v ./netsim/scenario -run ShowHealth -show-health | grep -v '^=== \|^--- \|^PASS'

soak: ## one virtual hour of a pool under random faults and resizes, for SEEDS=200 seeds
	$(GO) test -count=1 ./pool -run Soak -soak $(SEEDS) -timeout 20m

mutants: ## plant every bug of testdata/bugs and see that the test which it names fails
	@./.ci/mutants

fuzz: ## run every fuzz target for FUZZTIME=10s
	@./.ci/fuzz $(FUZZTIME)

cover: ## write the coverage of all tests to bin/cover.out and print the total
	@mkdir -p bin
	$(GO) test -coverprofile=bin/cover.out -coverpkg=./... ./...
	$(GO) tool cover -func=bin/cover.out | tail -n 1

ci: lint test test-long soak mutants ## lint, test, test-long, soak, mutants, and each scenario with the race detector and without
	@./.ci/scenarios 1 1
