# Everything a developer does here, one target each. A fresh clone needs Go, make and a C compiler;
# tools are built from tools/go.mod when a target first needs them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.ONESHELL: # a recipe is one script; @ on its first line counts for all of it
MAKEFLAGS += --no-builtin-rules --no-print-directory

PREFIX   := github.com/meet-middleware/meet-middleware
# Every package of every module in go.work; a module without Go files is no error.
PACKAGES := $(PREFIX)/...
# Tested first, so that the rest does not end before it: it waits as much as it computes.
LONGEST := $(PREFIX)/services/standalone
TOOLS    := $(CURDIR)/.tools
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
GOBUILD  := go build -trimpath -buildvcs=false -ldflags '-s -w -X $(PREFIX)/pkg/buildinfo.version=$(VERSION) -X $(PREFIX)/pkg/buildinfo.commit=$(COMMIT)'

# Modules that have Go files, as folders.
MODULES = $(shell for m in $$(sed -n 's/^[[:space:]]*\.\/\([a-z/]*\)$$/\1/p' go.work); do \
	if [ -n "$$(find $$m -name '*.go' -not -path '*/testdata/*' -print -quit)" ]; then echo $$m; fi; done)

# Modules that go.work leaves out, so that what they need lifts no version that a service uses. A
# recipe's `env $(ALONE)` sets up any module; tests of kills and of containers are looked at too.
APART := deploy
ALONE = $$(case ' $(APART) ' in *" $$m "*) echo GOWORK=off GOFLAGS=-tags=container ;; *) echo GOFLAGS=-tags=kill ;; esac)

FUZZTIME   ?= 10s
TEST_FLAGS ?=
BENCH_ARGS ?=
SIMULATE_ARGS ?=

.PHONY: help
help: ## list targets
	@awk -F ':.*## ' '/^[a-z\/]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- build and run

PROGRAMS := gateway meetings scheduler meet-middleware meetctl google-emulator
bin/gateway:         SOURCE := ./services/gateway/cmd/gateway
bin/meetings:        SOURCE := ./services/meetings/cmd/meetings
bin/scheduler:       SOURCE := ./services/scheduler/cmd/scheduler
bin/meet-middleware: SOURCE := ./services/standalone/cmd/meet-middleware
bin/meetctl:         SOURCE := ./cli/cmd/meetctl
bin/google-emulator: SOURCE := ./pkg/googlefake/cmd/google-emulator

.PHONY: build
build: $(addprefix bin/,$(PROGRAMS)) ## build every program into bin/

# Always asked: go build knows better than make what is stale.
.PHONY: $(addprefix bin/,$(PROGRAMS))
$(addprefix bin/,$(PROGRAMS)):
	@$(GOBUILD) -o $@ $(SOURCE)

.PHONY: run
run: bin/meet-middleware ## run everything in one process (NAME=value lines of .env count where the environment has no NAME)
	@if [ -f .env ]; then
		while IFS= read -r line || [ -n "$$line" ]; do
			if [[ $$line =~ ^([A-Za-z_][A-Za-z0-9_]*)=(.*)$$ ]] && [ -z "$${!BASH_REMATCH[1]+set}" ]; then
				export "$${BASH_REMATCH[1]}=$${BASH_REMATCH[2]}"
			fi
		done < .env
	fi
	exec bin/meet-middleware

# ---- images and the stack

MEET_VERSION ?= dev
STACK        ?=
UP_ARGS      ?=
LOGS_ARGS    ?= --follow --tail 100
SERVICE_IMAGES := gateway meetings scheduler google-emulator meetctl

# What images are told of themselves, and where modules come from.
images up: export VERSION := $(VERSION)
images up: export COMMIT := $(COMMIT)
images up: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
images up: export GOPROXY ?= $(shell go env GOPROXY 2>/dev/null || echo https://proxy.golang.org,direct)
images up down logs ps backup restore: export MEET_VERSION := $(MEET_VERSION)

COMPOSE = docker compose $(if $(wildcard .env),--env-file .env) -f deploy/compose/compose.yaml $(foreach s,$(STACK),-f deploy/compose/compose.$(s).yaml)

.PHONY: images
images: ## build every image, as meet-middleware/NAME:MEET_VERSION, and meet-middleware, which is all in one
	@build() { docker build --build-arg VERSION --build-arg COMMIT --build-arg SOURCE_DATE_EPOCH --build-arg GOPROXY "$$@" .; }
	for name in $(SERVICE_IMAGES); do
		build --target "$$name" -t "meet-middleware/$$name:$(MEET_VERSION)"
	done
	build -t "meet-middleware:$(MEET_VERSION)" -t meet-middleware

.PHONY: up
up: ## build and start the stack, and wait until it is healthy (STACK=dev or prod, or several; UP_ARGS='--scale gateway=2')
	@$(COMPOSE) up --build --detach --wait $(UP_ARGS)

.PHONY: down
down: ## stop the stack; its data stay
	@$(COMPOSE) down --remove-orphans

.PHONY: logs
logs: ## follow what the stack logs (LOGS_ARGS='gateway')
	@$(COMPOSE) logs $(LOGS_ARGS)

.PHONY: ps
ps: ## list the containers of the stack
	@$(COMPOSE) ps --all

TO   ?=
FROM ?=

.PHONY: backup
backup: ## back up the running stack (TO=folder; else one in backups/ named by the time)
	@COMPOSE='$(COMPOSE)' deploy/compose/backup $(if $(TO),'$(TO)')

.PHONY: restore
restore: ## bring the stack back from a backup (FROM=folder; YES=1 does not ask)
	@COMPOSE='$(COMPOSE)' deploy/compose/restore '$(FROM)'

# ---- test

.PHONY: test
test: ## run all tests with the race detector, on real Postgres and NATS (TEST_FLAGS='-run Name')
	@echo "testing $(MODULES)"
	go test -race -timeout 10m $(TEST_FLAGS) $(LONGEST) $(PACKAGES)

# The table starts hundreds of programs: the race detector doubles what that costs, and sees the same code in the storms.
CRASHES := ^TestKillAtEveryPlace

.PHONY: test/kill
test/kill: ## kill -9 every part, many times, under load: nothing answered may be lost
	@packages=$$(grep -rl --include='*_test.go' '^func TestKill' services/standalone | xargs -r -n 1 dirname | sort -u | sed 's/^/.\//' || true)
	if [ -z "$$packages" ]; then echo "no test in services/standalone is called TestKill…" >&2; exit 1; fi
	go test -race -tags kill -count=1 -timeout 20m -run '^TestKill' -skip '$(CRASHES)' $(TEST_FLAGS) $$packages
	go test -tags kill -count=1 -timeout 20m -run '$(CRASHES)' $(TEST_FLAGS) $$packages

.PHONY: test/containers
test/containers: ## build the images, then run, scale, kill, back up and restore the stack of deploy/compose (needs Docker)
	@if ! problem=$$(.ci/engine 2>&1); then
		echo "$$problem" >&2
		if [ "$${CI:-}" = true ]; then exit 1; fi
		echo "skipped: make test/containers" >&2
		exit 0
	fi
	cd deploy && GOWORK=off go test -tags container -count=1 -timeout 25m -v -run '^TestContainers' ./containertest $(TEST_FLAGS)

# One core for each target, as many targets at once as there are cores: one target on all of them learns little more.
.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME (10s)
	@fuzz() {
		local folder=$${1%:*} target=$${1##*:} output
		folder=$${folder%/*}
		if output=$$(go test -run '^$$' -fuzz "^$$target\$$" -fuzztime '$(FUZZTIME)' -parallel 1 "./$$folder" 2>&1 < /dev/null); then
			echo "fuzzed $$target in $$folder for $(FUZZTIME)"
		elif [[ $$output == *"    context deadline exceeded"* && $$output != *"Failing input written"* && $$output != *panic* ]]; then
			echo "fuzzed $$target in $$folder for $(FUZZTIME), and nothing failed: the deadline is the fuzzer's own (go.dev/issue/75804, mended in Go 1.27)"
		else
			printf '%s\n' "$$target in $$folder fails:" "$$output" >&2
			return 1
		fi
	}
	export -f fuzz
	targets=$$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' $(MODULES) | sed 's/:func /:/' | sort -t : -k 2)
	if [ -z "$$targets" ]; then echo "no fuzz target found" >&2; exit 1; fi
	xargs -n 1 -P "$$(getconf _NPROCESSORS_ONLN)" bash -c 'fuzz "$$1"' fuzz <<< "$$targets"

.PHONY: bench
bench: build ## measure a running instance and the machine's own limits (BENCH_ARGS=…)
	@go run ./bench/cmd/bench $(BENCH_ARGS)

.PHONY: simulate
simulate: build ## a month of 10,000 meetings on the emulator's clock, compared with what happened (SIMULATE_ARGS='-meetings 500 -days 10')
	@go run ./bench/cmd/bench simulate $(SIMULATE_ARGS)

.PHONY: bench/due
bench/due: build ## how soon due jobs start, with half a million pending and after kills (BENCH_ARGS=…)
	@go run ./bench/cmd/bench due $(BENCH_ARGS)

.PHONY: bench/scale
bench/scale: build ## what more of each program, NATS servers and events bring or cost (BENCH_ARGS=…)
	@go run ./bench/cmd/bench scale $(BENCH_ARGS)

# ---- check

.PHONY: check
check: fmt verify lint vulnerabilities ## everything but the tests: fmt, verify, lint, vulnerabilities

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## fail where a file is not formatted (make fmt/fix writes it)
	@for m in $(MODULES) $(APART); do (cd $$m && $(TOOLS)/golangci-lint fmt --config $(CURDIR)/.golangci.yml --diff ./...); done

.PHONY: fmt/fix
fmt/fix: $(TOOLS)/golangci-lint ## format every file
	@for m in $(MODULES) $(APART); do (cd $$m && $(TOOLS)/golangci-lint fmt --config $(CURDIR)/.golangci.yml ./...); done

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## run the linters of .golangci.yml
	@for m in $(MODULES) $(APART); do
		echo "linting $$m"
		(cd $$m && env $(ALONE) $(TOOLS)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...)
	done

.PHONY: vulnerabilities
vulnerabilities: $(TOOLS)/govulncheck ## fail when code that is called has a known vulnerability (needs the database)
	@status=0
	output=$$(cd services/standalone && $(TOOLS)/govulncheck $(PACKAGES) 2>&1) || status=$$?
	case $$status in
	0) echo "no known vulnerability in what is called" ;;
	3) echo "$$output"; exit 1 ;; # 3: govulncheck's own status for findings
	*) if grep -q 'fetching vulnerabilities' <<< "$$output"; then
			echo "vulnerabilities not checked: the database can't be reached" >&2
		else
			echo "$$output" >&2; exit 1
		fi ;;
	esac

.PHONY: verify
verify: verify/migrations verify/tidy verify/generated verify/breaking verify/deploy ## committed files are what they would be if made anew

.PHONY: verify/migrations
verify/migrations: ## migrations are numbered 0001, 0002, … without a gap
	@want=1
	for file in services/meetings/migrations/*.sql; do
		name=$${file##*/}
		if [[ ! $$name =~ ^[0-9]{4}_[a-z0-9_]+\.sql$$ ]] || [ "$$((10#$${name:0:4}))" != "$$want" ]; then
			echo "$$file: expected number $$(printf %04d $$want) and a name of a-z, 0-9 and _" >&2
			exit 1
		fi
		want=$$((want + 1))
	done

.PHONY: verify/tidy
verify/tidy: ## every go.mod and go.sum is tidy, and each module stands without the workspace
	@stale=()
	for m in $(MODULES) $(APART); do
		(cd $$m && GOWORK=off go mod tidy -diff) || stale+=($$m)
	done
	if [ "$${#stale[@]}" -gt 0 ]; then echo "run go mod tidy in: $${stale[*]}" >&2; exit 1; fi

# State of all files that git knows or could know, changed ones by content.
STATE = { git status --porcelain --untracked-files=all; git diff; } | git hash-object --stdin

.PHONY: verify/generated
verify/generated: ## make generate changes nothing
	@before=$$($(STATE))
	$(MAKE) generate
	if [ "$$before" != "$$($(STATE))" ]; then
		git status --short >&2
		git --no-pager diff --stat >&2
		echo "generated files are stale: run make generate and commit the result" >&2
		exit 1
	fi

# The last release, else the commit before this one.
BREAKING_AGAINST ?= $(shell git describe --tags --abbrev=0 2>/dev/null || git rev-parse -q --verify HEAD~1 || true)

.PHONY: verify/breaking
verify/breaking: $(TOOLS)/buf ## the protos break nobody who uses the last release (BREAKING_AGAINST=commit)
	@(cd pkg/api && $(TOOLS)/buf lint)
	if [ -z '$(BREAKING_AGAINST)' ] || ! git cat-file -e '$(BREAKING_AGAINST):pkg/api/buf.yaml' 2>/dev/null; then
		echo "no earlier protos to compare with"
		exit 0
	fi
	old=$$(mktemp -d)
	trap 'rm -rf "$$old"' EXIT
	git archive '$(BREAKING_AGAINST)' pkg/api | tar -x -C "$$old"
	(cd pkg/api && $(TOOLS)/buf breaking --against "$$old/pkg/api")

.PHONY: verify/deploy
verify/deploy: ## charts, rules, dashboards and images' inputs are well-formed and agree with the programs
	@cd deploy
	GOWORK=off go test $(TEST_FLAGS) ./...

# ---- generate

.PHONY: generate
generate: generate/proto generate/sql generate/docs ## make all generated files anew

.PHONY: generate/proto
generate/proto: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-connect-go ## Go from pkg/api/**/*.proto
	@echo "generating Go from protos"
	cd pkg/api && PATH="$(TOOLS):$$PATH" buf generate

.PHONY: generate/sql
generate/sql: $(TOOLS)/sqlc ## Go from queries/*.sql
	@echo "generating Go from SQL"
	find services -name sqlc.yaml -execdir $(TOOLS)/sqlc generate \;

.PHONY: generate/docs
generate/docs: ## docs that are made from code: docs/config.md, and what go:generate lines say
	@go generate $(PACKAGES)
	trap 'rm -f docs/config.md.new' EXIT
	{
		echo '# Settings'
		echo
		echo 'Made by `make generate` from the settings structs; `--help-env` of each program shows the same.'
		echo 'Settings are environment variables, read once at start. An empty one counts as absent; where'
		echo '`_FILE` stands beside a name, that variable may name a file that holds the secret instead.'
		for main in $$(compgen -G 'services/*/cmd/*/main.go' | LC_ALL=C sort) pkg/googlefake/cmd/google-emulator/main.go; do
			program=$$(basename "$${main%/main.go}")
			printf '\n## `%s`\n\n' "$$program"
			go run "./$${main%/main.go}" --help-env=markdown
		done
	} > docs/config.md.new
	mv docs/config.md.new docs/config.md

.PHONY: migration
migration: ## start the next migration: make migration name=meeting_agenda
	@if [[ ! '$(name)' =~ ^[a-z0-9_]+$$ ]]; then echo "usage: make migration name=meeting_agenda" >&2; exit 2; fi
	count=$$(find services/meetings/migrations -name '*.sql' | wc -l)
	file=services/meetings/migrations/$$(printf %04d $$((count + 1)))_$(name).sql
	printf '%s\n' '-- +goose Up' > "$$file"
	echo "$$file"
name ?=

.PHONY: graph
graph: build ## draw what each program is wired from into bin/graph/ (.dot; .svg where Graphviz is installed)
	@mkdir -p bin/graph
	for program in gateway meetings scheduler meet-middleware; do
		DEBUG=True bin/$$program --graph > bin/graph/$$program.dot
		if command -v dot >/dev/null; then dot -Tsvg -o bin/graph/$$program.svg bin/graph/$$program.dot; fi
	done
	ls bin/graph/*

.PHONY: clean
clean: ## remove bin/ (.tools/ and .data/ stay)
	@rm -rf bin

# ---- tools

$(TOOLS)/buf:                   TOOL := github.com/bufbuild/buf/cmd/buf
$(TOOLS)/golangci-lint:         TOOL := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/govulncheck:           TOOL := golang.org/x/vuln/cmd/govulncheck
$(TOOLS)/protoc-gen-go:         TOOL := google.golang.org/protobuf/cmd/protoc-gen-go
$(TOOLS)/protoc-gen-connect-go: TOOL := connectrpc.com/connect/cmd/protoc-gen-connect-go
$(TOOLS)/sqlc:                  TOOL := github.com/sqlc-dev/sqlc/cmd/sqlc

# Without C, sqlc runs the Postgres parser as WebAssembly: no minutes of compiling C for the same output.
$(TOOLS)/sqlc: export CGO_ENABLED := 0

$(TOOLS)/%: tools/go.mod tools/go.sum
	@echo "building $*"
	mkdir -p $(TOOLS)
	cd tools && GOWORK=off go build -buildvcs=false -o $@ $(TOOL)
	touch $@
