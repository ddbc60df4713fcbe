# Every verb of this repository; `make` alone lists them. One virtual environment, .venv; what no Python wheel
# carries is below .work. What is up to date is not done again.

PYTHON ?= python3
VENV := .venv
WORK := .work
PY := $(VENV)/bin/python
UV := $(WORK)/uv/bin/uv
SOURCES := libs services stack tests
BENCHMARKS := $(wildcard benchmarks)
ARGS ?=

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# A shell's own habits must not decide where packages go or what is imported.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT PIP_NO_BINARY PIP_FIND_LINKS
# Bytecode is written: without it every process compiles all that it imports, which doubles the start of a service.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV CONDA_PREFIX UV_SYSTEM_PYTHON UV_PYTHON UV_FIND_LINKS UV_CONSTRAINT
export UV_PYTHON_DOWNLOADS := never
# Trust whom the machine trusts: pip, uv, Go and the Maven resolver each carry another list of authorities.
CERTIFICATES := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt))
ifneq ($(CERTIFICATES),)
export SSL_CERT_FILE ?= $(CERTIFICATES)
export REQUESTS_CA_BUNDLE ?= $(CERTIFICATES)
export PIP_CERT ?= $(CERTIFICATES)
endif

PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore
SYNC = $(UV) pip sync --quiet --python $(PY) --require-hashes
# `sync` removes what its list does not name, this project too: hence put it back, from this checkout, unbuilt.
LINK = $(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .

## help: list the verbs
.PHONY: help
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

## setup: bring what the demo needs into .venv and .work (Python packages, PostgreSQL, Java, Kafka; about 245 MB)
.PHONY: setup
setup: $(VENV)/.python $(WORK)/kafka

## setup-test: bring what the tests need besides (linters, Go, the S3 server, Node, Chromium, espeak-ng)
.PHONY: setup-test
setup-test:
	@$(MAKE) -s -j3 $(VENV)/.python-test $(WORK)/kafka $(WORK)/versitygw $(WORK)/chromium $(WORK)/espeak

## setup-bench: bring what the benchmarks compare us with (peers from PyPI and npm, Redis, matplotlib)
.PHONY: setup-bench
setup-bench: setup-test $(VENV)/.python-bench $(WORK)/bench-npm/package-lock.json

## demo: start everything on this machine and make a journey; options by ARGS="--once"
.PHONY: demo
demo: setup
	@$(VENV)/bin/parcours demo $(ARGS)

## test: run all tests against real PostgreSQL, Kafka and S3; options by ARGS="tests/unit -x"
.PHONY: test
test: setup-test
	@$(PY) -m pytest -n 3 --dist loadscope --no-loadscope-reorder $(ARGS)

## bench: run all benchmarks in their short form; the whole (hours) by FULL=1, some by ARGS="quota listeners"
.PHONY: bench
bench: setup-bench
	@$(PY) -m benchmarks $(if $(FULL),--full,--short) $(ARGS)

## up: start the platform in containers (docker compose), wait until it is healthy
.PHONY: up
up:
	docker compose up --build --detach --wait $(ARGS)

## down: stop the containers; data stay in their volumes
.PHONY: down
down:
	docker compose down $(ARGS)

## lint: ruff, mypy, import contracts, YAML
.PHONY: lint
lint: setup-test
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy $(SOURCES) $(BENCHMARKS)
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/yamllint --strict .

## format: let ruff rewrite what it can
.PHONY: format
format: setup-test
	@$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format .

## contracts: write what is generated from the code: schemas of topics and edge, schema.sql, states
.PHONY: contracts
contracts: setup
	@$(PY) -m libs.common.contracts
	@$(PY) -m stack.schema_file
	@$(PY) -m libs.common.state_diagram
	@$(PY) -m stack.openapi_file

## locks: compile all lock files anew from their .in files; newer versions by ARGS=--upgrade
.PHONY: locks
locks: setup
	@echo uv | $(COMPILE) --output-file requirements-uv.lock -
	@$(COMPILE) --output-file requirements.lock requirements.in
	@$(COMPILE) --constraint requirements.lock --output-file requirements-test.lock requirements-test.in
	@$(COMPILE) --constraint requirements-test.lock --output-file requirements-bench.lock requirements-bench.in
	@$(PY) -m stack.embedded.install lock

# Versions and hashes for every platform from Python 3.11 on; no address, so that any mirror serves.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(ARGS)

## clean: remove .venv, .work and all caches; no data of a stack
.PHONY: clean
clean:
	rm -rf $(VENV) $(WORK) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the verbs are made of; each file is the proof that its step is done ---

# Each list names all that the one before names, in the same versions: the longest that was ever asked for stays.
HELD = $(if $(wildcard $(VENV)/.python-bench),requirements-bench.lock,$(if $(wildcard $(VENV)/.python-test),requirements-test.lock))

$(VENV)/.made:
	@mkdir -p $(WORK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Parcours needs Python 3.11 or later; '$(PYTHON)' is not. Type: apt-get install python3 python3-venv (Debian 12 or later)," \
	       "or name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv >/dev/null; \
	  else echo "Python's venv is missing. Type: sudo apt-get install python3-venv" >&2; exit 1; fi; }
	@$(PY) -c '' 2>/dev/null || { echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

# uv stands outside .venv, which holds exactly what the lock names.
$(UV): requirements-uv.lock | $(VENV)/.made
	@echo "installing uv"
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@rm -rf $(WORK)/uv
	@$(PIP_INSTALL) --require-hashes --target $(WORK)/uv --requirement requirements-uv.lock
	@touch $@

$(VENV)/.python: requirements.lock pyproject.toml $(UV)
	@echo "installing the Python packages, PostgreSQL, Java and ffmpeg"
	@$(SYNC) $(firstword $(HELD) requirements.lock)
	@$(LINK)
	@touch $@

$(VENV)/.python-test: requirements-test.lock $(VENV)/.python
	@echo "installing what tests and checks need: linters, Go, Node"
	@$(SYNC) $(firstword $(HELD) requirements-test.lock)
	@$(LINK)
	@touch $@

$(VENV)/.python-bench: requirements-bench.lock $(VENV)/.python-test
	@echo "installing what the benchmarks compare us with"
	@$(SYNC) requirements-bench.lock
	@$(LINK)
	@touch $@

$(WORK)/bench-npm/package-lock.json: benchmarks/npm/package-lock.json | $(VENV)/.python-bench
	@echo "installing the peers from npm, and Redis"
	@$(PY) -m benchmarks.rig.install
	@touch $@

$(WORK)/kafka: stack/kafka-jars.lock stack/embedded/kafka_cache.py | $(VENV)/.python
	@echo "fetching Kafka's jars"
	@$(PY) -m stack.embedded.install kafka
	@touch $@

$(WORK)/versitygw: stack/embedded/objects.py | $(VENV)/.python-test
	@echo "building the S3 server (a minute or two, once)"
	@$(PY) -m stack.embedded.install versitygw
	@touch $@

# Without a browser and without the right to install one, the tests that need it fail and say so; the others run.
$(WORK)/chromium: | $(VENV)/.python-test
	@if $(PY) -m stack.embedded.install chromium; then touch $@; fi

$(WORK)/espeak: | $(VENV)/.python-test
	@if $(PY) -m stack.embedded.install espeak; then touch $@; fi
