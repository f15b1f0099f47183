# Every verb of the project. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
INCIDENT ?= centos-reject
PAIRS ?= 20000
SEED ?=
WORKERS ?= 1
ROWS ?=
ANYWAY ?=

# A lab starts a dozen interpreters, the tests a thousand of them: compiled modules are kept, whatever the caller's own taste.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup system fmt check test unit incidents e2e manifests krew man cover run demo accuracy kill-matrix lost-updates fix-faults bench bench-short fuzz hostile clean

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: system $(STAMP) ## virtual environment and, where root, the system packages

system:
	@./setup-system

$(STAMP): pyproject.toml
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@$(BIN)/python -m compileall -q agent
	@touch $@

fmt: setup ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: setup ## lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: unit cover incidents ## unit tests, then every lab incident, the running service, the page
	@./setup-system browser || true  # who may not install a browser is told so, and its tests skip
	@$(BIN)/pytest -m "random or not unit" --ignore=tests/lab/test_incidents.py

incidents: setup ## every lab incident on every backend, with a worker for each processor: they wait more than they work
	@$(BIN)/pytest -q -n logical tests/lab/test_incidents.py

unit: setup ## the tests that need no privilege, in seconds
	@$(BIN)/pytest -q -m "not random" tests/unit

cover: setup ## branch coverage of model and analysis by unit tests, without random input: 100 %
	@$(BIN)/pytest -q -n auto -m "not random" --cov=agent.model --cov=agent.analysis --cov-branch --cov-fail-under=100 \
	  --cov-report=term-missing:skip-covered tests/unit/analysis tests/unit/model tests/unit/cli tests/unit/service tests/unit/docs tests/unit/render

e2e: setup ## the incident on a real cluster: KUBECONFIG's (load the image there first), else ../shared/cluster
	@KUBEREACH_E2E=1 $(BIN)/pytest -p no:randomly --timeout 3600 tests/e2e

manifests: setup ## write what is generated under daemonset/: install.yaml, the chart's copies, krew's manifest
	@$(BIN)/python daemonset/generate.py

krew: manifests ## build the archive of `kubectl node-reach` into dist/, and its manifest for krew
	@$(BIN)/python daemonset/krew.py dist

man: setup ## write docs/kubereach.1 from the commands' own help
	@$(BIN)/python -m agent.cli.manual > docs/kubereach.1

run: setup ## stage INCIDENT (centos-reject), diagnose it, serve the answer on http://127.0.0.1:10270
	@$(BIN)/kubereach lab serve $(INCIDENT)

demo: setup ## the incident mended on stage: plan, fix, connect, confirm, the end of its lease; leaves nothing behind
	@$(BIN)/python -m agent.lab.demo

kill-matrix: setup ## 1,000 kills at random moments of a fix, and iptables-apply's beside them
	@$(BIN)/python -m tests.lab.fixing kill-matrix

lost-updates: setup ## 10,000 writes of another program beside ours, for each backend
	@$(BIN)/python -m tests.lab.fixing lost-updates

fix-faults: setup ## every fault of the fix at its full count, on both backends: an hour
	@$(BIN)/python -m tests.lab.fixing faults

accuracy: setup ## every incident on every backend: the cause that was staged against the cause that is found
	@$(BIN)/python -m tests.accuracy

bench: setup ## every row of docs/performance.md beside its reference, 12 minutes; ROWS="P1 P5" some, ROWS=incidents, ANYWAY=1 on a busy machine
	@./setup-system bench
	@$(BIN)/python -m tests.bench $(if $(ANYWAY),--anyway) $(ROWS)

bench-short: setup ## three rows in a minute; fails where a ratio to its reference is a third worse than in docs/performance.json
	@./setup-system bench
	@$(BIN)/python -m tests.bench --short $(if $(ANYWAY),--anyway)

fuzz: setup ## the model against the kernel: PAIRS (20000) packets through random firewalls, SEED to repeat one, WORKERS
	@$(BIN)/python -m tests.differential --pairs $(PAIRS) --workers $(WORKERS) $(if $(SEED),--seed $(SEED))

hostile: setup ## a hundred thousand hostile bodies against the running service; the tests send a few hundred
	@KUBEREACH_BODIES=100000 $(BIN)/pytest -q -s --timeout 3600 tests/service/test_floods.py -k "whatever and loopback"

clean: ## remove what make made
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
