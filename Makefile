# `make run` needs python3 (3.11 or newer) and nothing else; `make test` and `make lint` the same.
PYTHON ?= python3
BIN := .venv/bin
# No server is asked: the address in that file leads nowhere, which makemigrations would warn about.
MANAGE := ENV_FILE=tests/data/production.env $(BIN)/python -W "ignore:Got an error checking a consistent" manage.py

.PHONY: run test test-faults lint bench conformance browser pooler nginx requirements

run: .venv/run.stamp
	@exec $(BIN)/python -m devtools.stack

test: .venv/dev.stamp
	$(BIN)/python -m pytest --ignore=tests/browser --ignore=tests/pooler --ignore=tests/nginx -m "not system_long"

# The service in real processes, with servers that are stopped, frozen and killed under it.
test-faults: .venv/dev.stamp
	$(BIN)/python -m pytest tests/system -m system_long

# Needs Debian's chromium; photographs of every page of the admin are left in .data/browser.
browser: .venv/dev.stamp
	@command -v chromium >/dev/null || { echo "chromium is missing: apt-get install chromium" >&2; exit 1; }
	$(BIN)/python -m pytest tests/browser

# Needs Debian's pgbouncer.
pooler: .venv/dev.stamp
	@command -v pgbouncer >/dev/null || { echo "pgbouncer is missing: apt-get install pgbouncer" >&2; exit 1; }
	$(BIN)/python -m pytest tests/pooler

# Needs Debian's nginx.
nginx: .venv/dev.stamp
	@command -v nginx >/dev/null || { echo "nginx is missing: apt-get install nginx-light" >&2; exit 1; }
	$(BIN)/python -m pytest tests/nginx

conformance: .venv/dev.stamp
	@test -n "$$LIVE_RPC_URL" || { echo "Set LIVE_RPC_URL to the address of a Stellar RPC (make test asks the sandbox)." >&2; exit 1; }
	$(BIN)/python -m pytest tests/conformance

# SCALE=10 fills ten times the database; what it prints is kept in devtools/benchmarks/results.json.
bench: .venv/dev.stamp
	$(BIN)/python -m devtools.benchmarks

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MANAGE) check --deploy --fail-level WARNING
	$(MANAGE) makemigrations --check --dry-run
	$(MANAGE) spectacular --validate --fail-on-warn --file /dev/null

# One environment for all: what `make run` needs is a part of what `make test` needs.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 run")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "python3 -m venv failed: install the package that has it (Debian: python3-venv)" >&2; exit 1; }

.venv/run.stamp: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ .venv/run.stamp

# Pins again what pyproject.toml asks for (needs uv).
COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make requirements" pyproject.toml
requirements:
	$(COMPILE) -o requirements.txt
	$(COMPILE) --extra dev -c requirements.txt -o requirements-dev.txt
