# Everything that a person does with this tree. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := locks/requirements.txt

.DEFAULT_GOAL := help
.PHONY: help
help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The lock is a constraints file: pip takes a CPU build of torch where the machine's own
# configuration offers one, and then nothing of CUDA is resolved.
$(BIN)/.runtime: pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "graviton-agent needs Python 3.11 or later; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(LOCK) --editable '.[torch]'
	@touch $@

$(BIN)/.test: $(BIN)/.runtime
	$(BIN)/python -m pip install --quiet --constraint $(LOCK) --editable '.[torch,test]'
	@touch $@

.PHONY: calibrate
calibrate: $(BIN)/.runtime ## Calibrate the tutorial's model on this machine with real PyTorch.
	@$(BIN)/graviton-agent calibrate $(ARGS)

.PHONY: test
test: $(BIN)/.test ## Lint, types and the whole default test suite.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses=2 --dist=loadfile

.PHONY: test-graviton
test-graviton: $(BIN)/.test $(BIN)/.packages ## The arm64 package in emulated EC2 machines, with real aarch64 torch (hours, root).
	@PYTHONPATH=packaging $(BIN)/python -m graviton_packages build
	@PYTHONPATH=packaging $(BIN)/python -m tests.graviton $(ARGS)

.PHONY: test-dispatch
test-dispatch: $(BIN)/.test ## Which settings are alive: real aarch64 torch on emulated cores (half an hour).
	@PYTHONPATH=packaging $(BIN)/python -m tests.graviton.dispatch $(ARGS)

.PHONY: check
check: $(BIN)/.test ## Lint and types only: seconds.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(BIN)/.test ## Format the sources.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove what the commands above made.
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/.packages: $(BIN)/.runtime
	$(BIN)/python -m pip install --quiet --constraint $(LOCK) --editable '.[packages]'
	@touch $@

.PHONY: package-tools
package-tools: ## Install what builds and checks packages, on Debian as root.
	packaging/install-tools

.PHONY: packages
packages: $(BIN)/.packages ## Build deb and rpm for both architectures into dist/.
	@PYTHONPATH=packaging $(BIN)/python -m graviton_packages build $(ARGS)

.PHONY: repository
repository: $(BIN)/.packages ## Make signed apt and dnf repositories of them: make repository KEY=0123456789ABCDEF
	@test -n "$(KEY)" || { echo "name the GPG key that signs, by its id: make repository KEY=..." >&2; exit 2; }
	@PYTHONPATH=packaging $(BIN)/python -m graviton_packages repository --key "$(KEY)" $(ARGS)

.PHONY: test-packages
test-packages: $(BIN)/.test .cache/ansible/.made packages ## Life of the packages in booted containers, lintian, repositories (root, half an hour).
	$(BIN)/pytest -m packages tests/packaging

.PHONY: lock-libraries
lock-libraries: $(BIN)/.packages ## Write locks/libraries.txt, what packages carry, from the other lock.
	$(BIN)/uv pip compile --quiet --system-certs --generate-hashes --no-annotate --no-header \
	  --python-version 3.11 --constraint $(LOCK) --output-file locks/libraries.txt pyproject.toml

.PHONY: schema
schema: $(BIN)/.test ## Write docs/record.schema.json from the record's model.
	$(BIN)/python -c 'import json; from graviton_agent.record import Record; print(json.dumps(Record.model_json_schema(), indent=1))' > docs/record.schema.json

.cache/ansible/.made: Makefile
	$(PYTHON) -m venv .cache/ansible
	.cache/ansible/bin/pip install --quiet 'ansible-core>=2.19,<2.20' 'ansible-lint>=26'
	@touch $@

.PHONY: test-ansible
test-ansible: $(BIN)/.test .cache/ansible/.made ## The Ansible role: its lint, and three booted hosts (root; minutes).
	cd packaging/ansible && PATH="$(CURDIR)/.cache/ansible/bin:$$PATH" ansible-lint
	$(BIN)/pytest tests/ansible

.PHONY: bench-decisions
bench-decisions: $(BIN)/.test ## How often the decision is right, on simulated hosts (40 minutes on two cores).
	$(BIN)/python -m benchmarks.decisions $(ARGS)

.PHONY: bench-planted
bench-planted: $(BIN)/.test ## Planted gains on real torch, alone and beside a neighbour (an hour); resumable.
	$(BIN)/python -m benchmarks.planted $(ARGS)

.PHONY: bench-fleet
bench-fleet: $(BIN)/.test ## How long `fleet report` takes over 10,000 hosts' files, and how much memory.
	$(BIN)/python -m benchmarks.fleet_report $(ARGS)

.PHONY: bench-daemon
bench-daemon: $(BIN)/.test ## What the idle daemon costs and how soon it is ready, beside TuneD (a quarter of an hour, root).
	PYTHONPATH=packaging $(BIN)/python -m benchmarks.idle_daemon $(ARGS)
