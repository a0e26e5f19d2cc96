# Everything is set up on first use, inside .venv/ and .toolchain/. `make` alone lists the targets.
PYTHON ?= python3
BOOTSTRAP := $(PYTHON) -m offline.bootstrap
# The shell that a person gets after sourcing the one file; -e stops at the first failing command.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
ENV := source .toolchain/env.sh
STACK ?= demo
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-aws destroy test lint format lock bench down status clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: ## install the toolchain and start the servers (the first time 5-15 min, then 1-2 s)
	@$(BOOTSTRAP) up

demo: setup ## pulumi up of the demo stack on Docker, then agentenv verify in each session, and one at work
	@$(ENV); \
	python -m offline.demo prepare; \
	pulumi stack select --create --non-interactive $(STACK); \
	pulumi up --yes --suppress-outputs --stack $(STACK) --policy-pack policies --refresh; \
	python -m offline.demo $(STACK)

demo-aws: STACK = demo-aws
demo-aws: setup ## pulumi up of the demo-aws stack on an emulated AWS, then a table of what exists there
	@$(ENV); \
	pulumi stack select --create --non-interactive $(STACK); \
	refresh=; if [ -e .toolchain/run/aws-is-new ]; then refresh=--refresh; fi; \
	pulumi up --yes --suppress-outputs --stack $(STACK) --policy-pack policies $$refresh; \
	rm -f .toolchain/run/aws-is-new; \
	python -m offline.inventory $(STACK)

destroy: setup ## pulumi destroy of the demo stack (STACK=demo-aws for the other one)
	@$(ENV); pulumi destroy --yes --refresh --stack $(STACK)

test: setup ## run every test, with the real pulumi engine and the Docker engine (PYTEST_ARGS: only those)
	@$(BOOTSTRAP) test-tools
	@$(ENV); \
	if [ -n "$(PYTEST_ARGS)" ]; then exec python -m pytest $(PYTEST_ARGS); fi; \
	code=0; \
	python -m pytest --numprocesses 2 -m "not engine and not containers" || code=$$?; \
	python -m pytest -m "engine or containers" || code=$$?; \
	exit $$code

lint: ## ruff and mypy --strict
	@$(BOOTSTRAP) venv
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy .

format: ## let ruff format and fix
	@$(BOOTSTRAP) venv
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

UV_COMPILE = env -u PIP_FIND_LINKS -u UV_FIND_LINKS .venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	--constraint offline/toolchain/constraints.txt pyproject.toml

lock: ## write the hash-pinned requirement files anew from pyproject.toml
	@$(BOOTSTRAP) venv
	@$(UV_COMPILE) --upgrade --output-file requirements.txt
	@$(UV_COMPILE) --upgrade --extra dev --output-file requirements-dev.txt
	@cd images/session && env -u PIP_FIND_LINKS -u UV_FIND_LINKS ../../.venv/bin/uv pip compile --quiet --upgrade \
		--python-version 3.13 --python-platform linux --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --output-file requirements.txt requirements.in

bench: setup ## print the benchmarks' ratios
	@$(ENV); for benchmark in program_time egress sessions; do echo "== $$benchmark"; python -m benchmarks.$$benchmark; done

down: ## stop the servers that were started here
	@$(BOOTSTRAP) down

status: ## show what is set up and what runs
	@$(BOOTSTRAP) status

clean: down ## remove everything that was made here, the toolchain too
	rm -rf .venv .toolchain build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
