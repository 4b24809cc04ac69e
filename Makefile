# Two commands do everything on a fresh Debian or Ubuntu: `make run` and `make test`.
# Needed from the system: make, Python 3.11 or newer with venv. Everything else is installed into .venv.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip -qq --disable-pip-version-check install
RUN_STAMP := $(VENV)/.run-installed
DEV_STAMP := $(VENV)/.dev-installed
BUNDLE := viewer/static/dist/manifest.json
SOURCES := $(shell find viewer/frontend worklist/locale -type f -not -path '*/node_modules/*' 2>/dev/null)
LOCKS := run build dev node
WORKERS ?= 2

.PHONY: setup setup-dev run test lint campaign bench screens docs lock clean peers

setup: $(BUNDLE)
setup-dev: $(DEV_STAMP) $(BUNDLE)

$(RUN_STAMP): requirements/run.lock requirements/build.lock pyproject.toml
	@command -v python3 >/dev/null || { echo "apt-get install python3 python3-venv"; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "需要 Python 3.11 以上 / Python 3.11 or newer is needed: apt-get install python3"; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "apt-get install python3-venv"; exit 1; }
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@echo "安装依赖，第一次需要几分钟 / installing dependencies, a few minutes the first time"
	@$(PIP) --require-hashes -r requirements/run.lock -r requirements/build.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): requirements/dev.lock $(RUN_STAMP)
	@$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@

# Where the machine has no node (20.19 or newer), the one from PyPI builds the pages.
$(BUNDLE): $(SOURCES) hatch_build.py | $(RUN_STAMP)
	@$(PYTHON) -c 'import sys, hatch_build as b; sys.exit(not (b.is_current() or b.node_on_path() or b.node_of_wheel()))' \
	  || $(PIP) --require-hashes -r requirements/node.lock
	@$(PYTHON) hatch_build.py
	@touch $@

run: setup
	@$(VENV)/bin/teleread run --demo

peers: setup-dev
	@$(PYTHON) -m tests.peers.install

lint: setup-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Browser, server and PostgreSQL share a few cores with each other: what fails beside others is run once more,
# alone, and is named in the output; what fails alone is a failure.
ALONE := $(PYTHON) -m pytest -q --last-failed --last-failed-no-failures none

test: peers lint
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup -q tests --ignore=tests/scenarios --ignore=tests/browser --ignore=tests/benchmarks || $(ALONE) tests
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile -q tests/browser tests/scenarios || $(ALONE) tests/browser tests/scenarios

campaign: peers
	$(PYTHON) -m tests.campaigns

bench: peers
	$(PYTHON) -m tests.benchmarks
	$(PYTHON) -m tests.benchmarks.ingest
	$(PYTHON) -m tests.benchmarks.dicomweb
	$(PYTHON) -m tests.benchmarks.retrieve
	$(PYTHON) -m tests.benchmarks.queries
	$(PYTHON) -m tests.benchmarks.connections

screens: peers
	$(PYTHON) -m tests.browser.screens docs/screens

docs: setup-dev
	$(PYTHON) -m tests.docs

# Newer versions: make lock UPGRADE=--upgrade
lock: setup-dev
	for name in $(LOCKS); do \
	  $(VENV)/bin/uv pip compile --universal --python-version 3.11 --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --no-header \
	    requirements/$$name.in -o requirements/$$name.lock || exit 1; \
	done

clean:
	rm -rf $(VENV) viewer/frontend/node_modules viewer/static/dist
