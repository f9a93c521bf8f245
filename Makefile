# Sluice: build, run and test. `make help` lists the targets.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
VENV     := .venv
PYTHON   := $(VENV)/bin/python
NETWORKS := .venv-networks
TORCH    := 2.15.0
BINARY   := bin/sluice
# grpcnotrace leaves out golang.org/x/net/trace, whose templates make the linker keep all methods of all types.
GOFLAGS_BUILD := -trimpath -tags grpcnotrace -ldflags "-s -w -X main.version=$(VERSION)"
E2E      := cmd/sluice/e2e
# Packages whose tests run under the race detector: everything that shares memory between requests.
RACE     := ./gateway/... ./runtime/... ./registry/... ./tracking/... ./cmd/...
FUZZTIME ?= 20s
KILLS    ?= 500
# MLflow's own tests are not here: name a checkout whose tests fit the version (git clone https://github.com/mlflow/mlflow).
MLFLOW_SOURCE  ?=
MLFLOW_NEWEST  := 3.17.2
MLFLOW_VERSION ?= $(MLFLOW_NEWEST)
CONFORMANCE    := $(E2E)/conformance

.DEFAULT_GOAL := help
.PHONY: help setup build run test unit race e2e goldens lint crash fuzz gen bench conformance venv networks browser databases java prometheus redis dashboards clean FORCE

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(BINARY) ## build bin/sluice

# The binary is a copy, as an installed one is: what the linker wrote lies in the page cache in pages of 2 MiB, which Linux maps whole, and
# up to 25 MB more would be resident when idle.
$(BINARY): FORCE
	@mkdir -p bin
	go build $(GOFLAGS_BUILD) -o $(BINARY).linked ./cmd/sluice
	@rm -f $(BINARY) && cp $(BINARY).linked $(BINARY)

setup: $(BINARY) ## fetch ONNX Runtime and MLflow's web UI with this machine's package clients
	$(BINARY) setup

run: setup ## build, fetch what is needed, start on http://127.0.0.1:5000 with the example model
	$(BINARY) serve --demo $(ARGS)

test: lint unit race e2e ## everything: Go tests, race detector, the real clients against the binary

unit: venv databases redis setup ## Go tests
	go test -timeout 5m ./...

race: venv databases redis setup ## Go tests under the race detector
	go test -timeout 10m -race -short $(RACE)

e2e: venv networks databases redis setup browser java prometheus ## the real MLflow, Databricks, Java and browser clients against the built binary
	$(PYTHON) -m pytest $(E2E) -c $(E2E)/pytest.ini --rootdir $(E2E)

goldens: venv ## record the answers of the installed MLflow server again (some minutes)
	cd $(E2E) && ../../../$(PYTHON) record_goldens.py

lint: ## gofmt and go vet
	@test -z "$$(gofmt -l cmd gateway registry runtime tracking loadtest deploy)" || { gofmt -l cmd gateway registry runtime tracking loadtest deploy; exit 1; }
	go vet ./...

crash: ## kill -9 a process that logs predictions at KILLS random moments (default 500), and account for every record
	go test -timeout 60m -count 1 -run '^TestKill9$$' -v ./gateway/predlog -kills $(KILLS)

fuzz: ## run every fuzz target for FUZZTIME (default 20s)
	@go list ./... | while read -r package; do \
	  go test -list '^Fuzz' "$$package" | grep '^Fuzz' | while read -r target; do \
	    echo "== $$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$package" || exit 1; \
	  done || exit 1; \
	done

gen: ## write the code of the gRPC messages again from inference.proto (needs Debian's protobuf-compiler)
	GOBIN=$(CURDIR)/bin/gen go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
	GOBIN=$(CURDIR)/bin/gen go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
	cd gateway/oip/pb && PATH=$(CURDIR)/bin/gen:$$PATH protoc --go_out=. --go_opt=paths=source_relative \
	  --go-grpc_out=. --go-grpc_opt=paths=source_relative,require_unimplemented_servers=false inference.proto

dashboards: ## write deploy/grafana/*.json again from deploy/dashboards
	go run ./deploy/dashboards

bench: venv setup ## speed and memory of the built binary, as ratios within one run
	go run ./cmd/bench -binary $(BINARY) -python $(PYTHON) $(ARGS)

conformance: $(BINARY) ## MLflow's own tests, a stock server against ours: MLFLOW_SOURCE=checkout [MLFLOW_VERSION=3.12.0] [ARGS='--only rest-tracking']
	@test -d "$(MLFLOW_SOURCE)/tests/tracking" || { echo "MLFLOW_SOURCE must name a checkout of MLflow"; exit 1; }
	@set -e; for v in $(sort $(MLFLOW_VERSION) $(MLFLOW_NEWEST)); do \
	  test -x .venv-mlflow-$$v/bin/python || python3 -m venv .venv-mlflow-$$v; \
	  .venv-mlflow-$$v/bin/python -m pip install --quiet --disable-pip-version-check mlflow==$$v -r $(CONFORMANCE)/requirements.txt; \
	done
	python3 $(CONFORMANCE)/run.py --source $(MLFLOW_SOURCE) --binary $(BINARY) --python .venv-mlflow-$(MLFLOW_VERSION)/bin/python --out .conformance/$(MLFLOW_VERSION) \
	  $(if $(filter-out $(MLFLOW_NEWEST),$(MLFLOW_VERSION)),--newer-python .venv-mlflow-$(MLFLOW_NEWEST)/bin/python) $(ARGS)

venv: $(VENV)/.installed

$(VENV)/.installed: $(E2E)/requirements.txt $(E2E)/requirements-alone.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --python $(PYTHON) -r $(E2E)/requirements.txt
	$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps -r $(E2E)/requirements-alone.txt
	touch $@

# PyTorch, TensorFlow and JAX have an environment of their own, which only test_networks.py uses: 3 GB on the disk.
# PyTorch comes without CUDA's libraries (another 3 GB), which a processor never calls: hollow ones take their place.
networks: $(NETWORKS)/.installed

$(NETWORKS)/.installed: $(E2E)/requirements-networks.txt $(E2E)/hollow_cuda.py $(VENV)/.installed
	python3 -m venv --clear $(NETWORKS)
	$(VENV)/bin/uv pip install --quiet --python $(NETWORKS)/bin/python -r $(E2E)/requirements-networks.txt
	$(VENV)/bin/uv pip install --quiet --python $(NETWORKS)/bin/python --no-deps torch==$(TORCH)
	$(NETWORKS)/bin/python $(E2E)/hollow_cuda.py
	touch $@

# The browser tests need Debian's Chromium; where apt-get may install, they get it.
browser:
	@test -x /usr/bin/chromium || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; }

# Dashboards and alert rules are tested on Debian's Prometheus; without recommends it brings no web UI.
prometheus:
	@command -v prometheus >/dev/null && command -v promtool >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus; }

# The stores are tested on real PostgreSQL and MariaDB servers, which the tests start themselves from Debian's packages.
databases:
	@{ ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null; } && { test -x /usr/sbin/mariadbd || command -v mariadbd >/dev/null; } || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql mariadb-server; }

# Shared response caches are tested on a real Redis, which the tests start themselves.
redis:
	@command -v redis-server >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server; }

# The Java client's test needs a JDK and Maven, and MLflow's client in Maven's own cache.
java:
	@command -v javac >/dev/null && command -v mvn >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jdk-headless maven; }
	@mvn -q -B -f $(E2E)/java/pom.xml dependency:build-classpath

clean: ## remove what was built (not the data)
	rm -rf bin
