# `make` prints its targets; CI runs `check` and `test` and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := $(shell find web/source web/locales -type f -not -name '*.mo' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help run test check fix protos migration demo bench chaos soak assets lock counterparts

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

# Three times, because a package index can be busy.
$(STAMP): pyproject.toml requirements.lock hatch_build.py web/package.json web/package-lock.json $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	for try in 1 2 3; do \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && break; \
	  test $$try != 3 || { echo "Installing the locked packages failed three times: is the package index reachable?" >&2; exit 1; }; \
	  echo "Installing the locked packages failed; trying again ($$try of 3)" >&2; done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: $(STAMP)  ## Collector, an agent on this host, the database and the web UI: everything, here
	$(BIN)/sigap up --data var

test: $(STAMP) counterparts  ## Everything that proves the product, on SQLite and on PostgreSQL
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(STAMP)  ## Format, lint, types, import order, generated code, manual, translations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.meta.protos --check
	$(BIN)/python -m tests.meta.locales
	$(BIN)/python -m tests.meta.manual

fix: $(STAMP)  ## Let the formatter and the linter mend what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(STAMP)  ## Write the generated wire code anew
	$(BIN)/python -m tests.meta.protos

migration: $(STAMP)  ## Write the migration that the tables need: make migration NAME="add the supplier register"
	$(BIN)/sigap migrate --generate "$(NAME)"

demo: $(STAMP)  ## A filled instance: 20 simulated hosts, 8 services, a month of history
	$(BIN)/sigap demo

bench: $(STAMP) counterparts  ## What it costs, beside node_exporter, VictoriaMetrics and Prometheus
	$(BIN)/python -m tests.bench

chaos: $(STAMP)  ## Kill, cut and fill: the long versions of the fault tests
	SIGAP_CHAOS=$${SIGAP_CHAOS:-long} $(BIN)/python -m pytest tests/chaos --timeout=3600 $(ARGS)

soak: $(STAMP)  ## The product in use for an hour, watched for what grows: make soak MINUTES=60
	$(BIN)/python -m tests.soak $(MINUTES)

assets: $(STAMP)  ## Bundle the web assets anew
	$(BIN)/python hatch_build.py

lock: $(STAMP)  ## Pin every dependency anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --generate-hashes --universal --python-version 3.11 \
	  --default-index https://pypi.org/simple --no-header -o requirements.lock

# Chromium and the counterpart programs come from Debian where we may install; else their tests are skipped by name.
counterparts:
	@sh deploy/counterparts.sh
