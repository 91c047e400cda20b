# `make run` needs python3 (3.11 or newer) and nothing else; `make test` and `make lint` the same.
PYTHON ?= python3
BIN := .venv/bin
# The checks ask no server: the address in that file leads nowhere, which makemigrations would warn about.
MANAGE := ENV_FILE=tests/data/production.env $(BIN)/python -W "ignore:Got an error checking a consistent" manage.py
# The tests that need nothing of Debian's and take minutes rather than an hour.
TESTS := --ignore=tests/browser --ignore=tests/pooler --ignore=tests/nginx --ignore=tests/deploy \
	--ignore=tests/typescript -m "not system_long"
# pytest's options of this run, as in `make test PYTEST_OPTIONS=--durations=15`.
PYTEST_OPTIONS ?=
# Processes that run the tests of `make test`, each with a PostgreSQL and a Redis of its own, and each file in one of them:
# 2 halves the time, and some tests are not yet as reliable in that order.
# 0: in this one, which is needed where servers are given, and to see the tests' output as they run. A process that dies ends the run.
WORKERS ?= 0

.DEFAULT_GOAL := help
.PHONY: help run stop status logs deploy-files test test-faults coverage lint bench conformance browser pooler nginx typescript requirements

# The words after "##" in a target's line are its help; a target without them is not listed.
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / && $$1 != "help" {printf "make %-13s %s\n", $$1, $$2}' Makefile

run: .venv/run.stamp ## Run the whole service on this machine, with a sandbox chain; Ctrl-C stops it
	@exec $(BIN)/python -m devtools.stack

# Whoever stops or asks installs nothing: the argument is the exit code where `make run` never did.
# `make status` reports, and make's own "Error 3" below would look like a failure: a script asks
# `.venv/bin/python -m devtools.stack status`, whose exit code is 0 (reads are answered), 1 (they are not) or 3 (nothing runs).
IF_INSTALLED = test -e .venv/run.stamp || { echo "Nothing runs here: make run has not been used yet." >&2; exit $(1); }

stop: ## Stop what make run started
	@$(call IF_INSTALLED,0); exec $(BIN)/python -m devtools.stack stop

status: ## Say what runs, since when, and what is wrong
	@$(call IF_INSTALLED,0); $(BIN)/python -m devtools.stack status || true

logs: ## Show the logs of make run as they grow; Ctrl-C ends it
	@$(call IF_INSTALLED,1); exec $(BIN)/python -m devtools.stack logs

test: .venv/dev.stamp ## Run the tests, on a real PostgreSQL and a real Redis
	$(BIN)/python -m pytest $(TESTS) -n $(WORKERS) --dist loadfile --max-worker-restart=0 $(PYTEST_OPTIONS)

lint: .venv/dev.stamp ## Check style, types, spelling, settings, migrations and the OpenAPI schema
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/mypy
	$(MANAGE) check --deploy --fail-level WARNING
	$(MANAGE) makemigrations --check --dry-run
	$(MANAGE) spectacular --validate --fail-on-warn --file /dev/null

# Apart from `make test`: tracing branches makes the tests slower by half.
coverage: .venv/dev.stamp ## Measure branch coverage of the tests that run in one process
	$(BIN)/coverage run -m pytest $(TESTS) --ignore=tests/system $(PYTEST_OPTIONS)
	$(BIN)/coverage report

# The service in real processes, with servers that are stopped, frozen and killed under it.
test-faults: .venv/dev.stamp ## Run the long tests that kill processes and servers
	$(BIN)/python -m pytest tests/system -m system_long $(PYTEST_OPTIONS)

# Photographs of every page of the admin are left in .data/browser. axe-core comes with what compiles the TypeScript.
browser: .venv/dev.stamp devtools/typescript/node_modules/.package-lock.json ## Test the admin in Debian's chromium
	@command -v chromium >/dev/null || { echo "chromium is missing: apt-get install chromium" >&2; exit 1; }
	$(BIN)/python -m pytest tests/browser $(PYTEST_OPTIONS)

pooler: .venv/dev.stamp ## Test behind Debian's pgbouncer
	@command -v pgbouncer >/dev/null || { echo "pgbouncer is missing: apt-get install pgbouncer" >&2; exit 1; }
	$(BIN)/python -m pytest tests/pooler $(PYTEST_OPTIONS)

nginx: .venv/dev.stamp ## Test behind Debian's nginx
	@command -v nginx >/dev/null || { echo "nginx is missing: apt-get install nginx-light openssl" >&2; exit 1; }
	$(BIN)/python -m pytest tests/nginx $(PYTEST_OPTIONS)

deploy-files: .venv/dev.stamp ## Check deploy/ with promtool, caddy and systemd-analyze, and compose
	@for tool in promtool caddy systemd-analyze; do command -v "$$tool" >/dev/null \
		|| { echo "$$tool is missing: apt-get install prometheus caddy systemd" >&2; exit 1; }; done
	$(BIN)/python -m pytest tests/deploy $(PYTEST_OPTIONS)

typescript: .venv/dev.stamp devtools/typescript/node_modules/.package-lock.json ## Compile the guide's TypeScript with types of the schema, and run it
	$(BIN)/python -m pytest tests/typescript $(PYTEST_OPTIONS)

# npm writes that file last; it installs what the lock file names, by its hashes, and runs no script of a package.
devtools/typescript/node_modules/.package-lock.json: devtools/typescript/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: apt-get install nodejs npm" >&2; exit 1; }
	npm ci --prefix devtools/typescript
	@touch $@

conformance: .venv/dev.stamp ## Ask the Stellar RPC at LIVE_RPC_URL for all that the client relies on
	@test -n "$$LIVE_RPC_URL" || { echo "Set LIVE_RPC_URL to the address of a Stellar RPC (make test asks the sandbox)." >&2; exit 1; }
	$(BIN)/python -m pytest tests/conformance $(PYTEST_OPTIONS)

# What it prints is kept in devtools/benchmarks/results.json. With names, `python -m devtools.benchmarks writing following` measures those.
bench: .venv/dev.stamp ## Measure speed beside yardsticks (needs Debian's wrk); SCALE=10 fills ten times the database
	$(BIN)/python -m devtools.benchmarks

# One environment for all: what `make run` needs is a part of what `make test` needs.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 run")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "python3 -m venv failed: install the package that has it (Debian: python3-venv)" >&2; exit 1; }

.venv/run.stamp: requirements-run.txt | .venv/bin/python
	@$(BIN)/python devtools/stack/install.py requirements-run.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt | .venv/bin/python
	@$(BIN)/python devtools/stack/install.py requirements-dev.txt
	@touch $@ .venv/run.stamp

# requirements.txt is what the image installs; the other two contain it, at the same versions.
UV ?= uv
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make requirements" pyproject.toml
requirements: ## Pin what pyproject.toml declares (needs uv)
	$(COMPILE) -o requirements.txt
	$(COMPILE) --extra run -c requirements.txt -o requirements-run.txt
	$(COMPILE) --extra run --extra dev -c requirements-run.txt -o requirements-dev.txt
