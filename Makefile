# prewarmd: `make` prints what can be done.
#
# Every target sets itself up: a virtual environment in .venv with the versions of requirements.lock.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=

# `make run WORKERS=2 SLOTS=16 CACHE=64MiB`
WORKERS ?=
SLOTS   ?=
CACHE   ?=
KILLS   ?= 200
TRANSFERS ?= 10000
MEDIA ?= 10000
SEEDS   ?= 2500
SAMPLE  ?= 500
MODULES ?=
RUN_ENV := $(if $(WORKERS),PREWARMD_WORKERS=$(WORKERS)) $(if $(SLOTS),PREWARMD_SLOTS=$(SLOTS)) $(if $(CACHE),PREWARMD_CACHE__BYTES=$(CACHE))

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lint types contracts run status bench bench-queue bench-data sim sim-teeth mutation kill-stack transfers marathon conformance live-smoke unit-check diagrams lock clean

help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## Create .venv with the locked versions

demo: $(STAMP) ## Warm 60 real media end to end, no credentials needed (ARGS=--json)
	@$(BIN)/prewarmd demo $(ARGS)

test: $(STAMP) ## Run every test (ARGS=tests/core to choose)
	@$(BIN)/python -m pytest $(ARGS)

check: format-check lint types contracts test conformance-short sim-short ## Everything CI asks for: format, lint, types, contracts, tests, a simulation

sim: $(STAMP) ## Simulate the scheduler in seeded worlds (SEEDS=2500, 50 million steps)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

sim-teeth: $(STAMP) ## Let the simulation find the named bugs of tests/simulation/slips.py
	@$(BIN)/python -m tests.simulation.teeth $(ARGS)

mutation: $(STAMP) ## Score the tests of core with mutmut (SAMPLE=500 MODULES="gate scope")
	@$(BIN)/python -m tests.mutation --sample $(SAMPLE) $(ARGS) $(MODULES)

.PHONY: conformance-short
conformance-short: $(STAMP)
	@$(BIN)/python -m tests.conformance aiogram ptb

.PHONY: sim-short
sim-short: $(STAMP)
	@$(BIN)/python -m tests.simulation --seeds 52 --shrink 10

format: $(STAMP) ## Rewrite the code in the house format
	@$(BIN)/ruff check --quiet --fix-only --select I,UP .
	@$(BIN)/ruff format --quiet .

.PHONY: format-check
format-check: $(STAMP)
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }

lint: $(STAMP) ## Lint
	@$(BIN)/ruff check --quiet .

types: $(STAMP) ## Strict types
	@$(BIN)/mypy

contracts: $(STAMP) ## Which package may import which
	@$(BIN)/lint-imports --no-logo > $(VENV)/.contracts 2>&1 || { cat $(VENV)/.contracts; exit 1; }

run: $(STAMP) ## Run a sandbox and a daemon on it (WORKERS= SLOTS= CACHE=)
	@$(RUN_ENV) $(BIN)/prewarmd sandbox --run $(ARGS)

status: $(STAMP) ## Show the daemon of `make run`
	@$(BIN)/prewarmd status --sandbox $(ARGS)

bench: $(STAMP) ## Measure (bench/*.py)
	@$(BIN)/python -m bench $(ARGS)

bench-queue: $(STAMP) ## Measure the ready queue beside others, and the engine (ARGS=--json)
	@$(BIN)/python -m bench.queue $(ARGS)

bench-data: $(STAMP) ## Measure the data plane and the daemon beside others (nginx; ARGS=--json)
	@$(BIN)/python -m bench.data_plane $(ARGS)

kill-stack: $(STAMP) ## kill -9 a working daemon at random (KILLS=200)
	@$(BIN)/python -m tests.kill_stack --kills $(KILLS) $(ARGS)

transfers: $(STAMP) ## Downloads that are cancelled or fail at random leave nothing (TRANSFERS=10000)
	@$(BIN)/python -m tests.transfers --transfers $(TRANSFERS) $(ARGS)

marathon: $(STAMP) ## Media of every kind through a Telegram that floods and fails (MEDIA=10000)
	@$(BIN)/python -m tests.marathon --media $(MEDIA) $(ARGS)

conformance: $(STAMP) ## Foreign Bot API clients against the sandbox, each in an environment of its own
	@$(BIN)/python -m tests.conformance $(ARGS)

live-smoke: $(STAMP) ## What Telegram itself answers, beside the sandbox (CHAT=-100... TOKEN_FILE=...)
	@test -n "$(CHAT)" -a -n "$(TOKEN_FILE)" || { echo "say where: make live-smoke CHAT=-100... TOKEN_FILE=/path (a throw-away bot's)"; exit 1; }
	@$(BIN)/python -m tests.live_smoke --chat=$(CHAT) --token-file $(TOKEN_FILE) $(ARGS)

unit-check: $(STAMP) ## Have systemd judge the unit file (needs systemd-analyze)
	@command -v systemd-analyze >/dev/null || { echo "systemd-analyze is missing: apt install systemd"; exit 1; }
	@mkdir -p $(VENV)/unit && sed 's|/opt/prewarmd/bin|$(abspath $(BIN))|' deploy/prewarmd.service > $(VENV)/unit/prewarmd.service
	@systemd-analyze verify --man=no $(VENV)/unit/prewarmd.service && echo "prewarmd.service: ok"

diagrams: $(STAMP) ## Draw the state diagrams of ARCHITECTURE.md from the tables in the code
	@$(BIN)/python -m tests.support.diagrams

lock: $(STAMP) ## Re-resolve requirements.lock (needs uv)
	@uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --extra postgres \
		--no-emit-package prewarmd --no-header -q --upgrade pyproject.toml -o requirements.lock

clean: ## Remove the environment and all caches
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
