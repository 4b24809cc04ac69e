# Two commands do everything on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
BUNDLE := viewer/static/dist/manifest.json
SOURCES := $(shell find viewer/frontend worklist/locale -type f -not -path '*/node_modules/*' 2>/dev/null)
WORKERS ?= 2

.PHONY: setup run test campaign bench screens lint lock clean peers

setup: $(STAMP) $(BUNDLE)

$(STAMP): requirements/dev.lock pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "需要 Python 3.11 以上 / Python 3.11 or newer is needed"; exit 1; }
	@test -x $(PYTHON) || python3 -m venv $(VENV) || { echo "apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	TELEREAD_SKIP_BUNDLE=1 $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(BUNDLE): $(STAMP) $(SOURCES) hatch_build.py
	$(PYTHON) hatch_build.py

run: setup
	$(VENV)/bin/teleread run --demo

peers: setup
	$(PYTHON) -m tests.peers.install

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: setup peers lint
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup -q tests --ignore=tests/scenarios --ignore=tests/browser --ignore=tests/benchmarks
	$(PYTHON) -m pytest -q tests/browser tests/scenarios

campaign: setup peers
	$(PYTHON) -m tests.campaigns

bench: setup peers
	$(PYTHON) -m tests.benchmarks

screens: setup peers
	$(PYTHON) -m tests.browser.screens docs/screens

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/run.in -o requirements/run.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/dev.in -o requirements/dev.lock

clean:
	rm -rf $(VENV) viewer/frontend/node_modules viewer/static/dist
