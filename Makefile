# The targets people and CI use. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo test test-slow lint types format bench bench-day bench-data bench-quality bench-train up down lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

setup: .venv/installed.lock ## make .venv from the lock (PYTHON=, TORCH_BACKEND=)

.venv/installed.lock: requirements.lock pyproject.toml infra/setup.sh
	@PYTHON=$(PYTHON) infra/setup.sh

demo: setup ## five simulated days (or RAW= PROFILE= FROM= TO=) through a real Airflow backfill
	@esmm demo $(if $(RAW),--raw "$(RAW)") $(if $(PROFILE),--profile "$(PROFILE)") $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

test: setup ## the whole suite
	@python -m pytest -q --durations=15

test-slow: setup ## ten minutes and more: real services, hundreds of kills, full disks
	@python -m pytest -q -m slow

lint: setup ## ruff, import-linter, codespell
	ruff check .
	ruff format --check .
	lint-imports
	codespell

types: setup ## mypy, strict
	mypy

format: setup ## rewrite to the house's format
	ruff check --fix .
	ruff format .

bench: bench-day bench-data ## the benchmarks that make their own logs

bench-day: setup ## the steps of a day beside what bounds them; JSON under ESMM_HOME/bench
	@python -m tests.benchmarks.day

bench-data: setup ## the data layer at 2, 20 and 100 million impressions beside copies and DuckDB, half an hour (IMPRESSIONS=2e6)
	@python -m tests.benchmarks.data $(if $(IMPRESSIONS),--impressions "$(IMPRESSIONS)")

bench-quality: setup .peers/installed.lock ## our arms and the peers' ESMM, MMoE and PLE on the real sets in DATA=, an hour (SETS= ARMS= SEEDS= PEERS=no)
	@[ -n "$(DATA)" ] || { echo "bench-quality: name the folder of the sets: make bench-quality DATA=FOLDER" >&2; exit 2; }
	@python -m tests.benchmarks.quality "$(DATA)" $(if $(SETS),--sets "$(SETS)") $(if $(ARMS),--arms "$(ARMS)") $(if $(SEEDS),--seeds "$(SEEDS)") $(if $(filter no,$(PEERS)),--no-peers)

bench-train: setup .peers/installed.lock ## training beside the peers' ESMM and its dense towers alone, more than an hour (IDS=4.2e6 GROWTH=20e6 ROUNDS=3 QUICK=yes PEERS=no)
	@python -m tests.benchmarks.train $(if $(IDS),--ids "$(IDS)") $(if $(GROWTH),--growth "$(GROWTH)") $(if $(ROUNDS),--rounds "$(ROUNDS)") $(if $(QUICK),--quick) $(if $(filter no,$(PEERS)),--no-peers)

.peers/installed.lock: tests/benchmarks/peers.lock infra/peers.sh
	@infra/peers.sh

up: setup ## start PostgreSQL, Airflow, MLflow and the lookups
	@esmm up

down: setup ## stop them
	@esmm down

lock: ## resolve again and rewrite requirements.lock and tests/benchmarks/peers.lock
	@infra/lock.sh
