# Two commands do everything on a fresh clone: `make local` and `make test`. Both set up what they need.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
SOURCES := contracts problems models actors executors buffer learner weights rltf

.PHONY: help setup local submit test lint format bench bench-executors bench-load fuzz parity bench-credit bench-static bench-grow bench-metrics ablate dry-runs tools boards dashboards clean

help: ## What there is to make
	@grep -E '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup: $(STAMP) ## A virtual environment in .venv with exactly the pinned packages (about 2 GB)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

local: setup ## Train a small code model on this machine and show what it learnt: runs/local/report.html
	$(BIN)/rltf train recipes/local.yaml $(ARGS)

submit: setup ## Train on a Ray cluster: make submit ADDRESS=http://HEAD:8265 RECIPE=recipes/x.yaml OUTPUT=/shared/runs [ARGS=...]
	@test -n '$(RECIPE)' || { echo "make submit needs a recipe: make submit ADDRESS=http://HEAD:8265 RECIPE=recipes/local.yaml OUTPUT=/shared/runs" >&2; exit 2; }
	$(BIN)/rltf submit $(RECIPE) $(if $(OUTPUT),output=$(OUTPUT)) $(ARGS) $(if $(ADDRESS),--address $(ADDRESS))

test: setup ## All tests, one more at a time than there are cores: many of them wait for processes that they started
	$(BIN)/pytest --numprocesses auto --dist worksteal $(ARGS)

lint: setup ## Style, types, and the walls between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Cost per trained sample, overlap, seconds per step
	$(BIN)/python -m benchmarks.loop

bench-executors: setup ## What a verdict costs, by isolation and kind of program, and how it scales
	$(BIN)/python -m benchmarks.executors $(ARGS)

bench-load: setup ## Are verdicts the same on an overloaded machine?
	$(BIN)/python -m benchmarks.load $(ARGS)

fuzz: setup ## 20,000 broken programs and 50,000 quick ones: no hang, nothing lost, memory flat
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

parity: setup ## Verdicts against published ones and plain runs, where RLTF_DATA names the benchmark data
	$(BIN)/python -m benchmarks.parity $(ARGS)

bench-credit: setup ## How much of the blame falls on the faulty statement, by objective and spans
	$(BIN)/python -m benchmarks.credit

bench-static: setup ## What static analysis finds in published programs, where RLTF_DATA names the benchmark data
	$(BIN)/python -m benchmarks.static $(ARGS)

bench-grow: setup ## Are grown tests right, and what do they find: primer, and APPS, MBPP, HumanEval where RLTF_DATA names them
	$(BIN)/python -m benchmarks.grow $(ARGS)

bench-metrics: setup ## What metrics cost the driver, and how many series they are at 1,024 actors
	$(BIN)/python -m benchmarks.metrics $(ARGS)

ablate: setup ## Arms of the objective over three seeds, with intervals: runs/ablation-local/ablation.html (about an hour)
	$(BIN)/rltf ablate recipes/ablation-local.yaml $(ARGS)

dry-runs: setup ## Try every recipe: its memory at full size, two steps with one block of its model (about a minute each)
	@for recipe in $(filter-out recipes/ablation-%,$(wildcard recipes/*.yaml)); do \
		echo "== $$recipe"; $(BIN)/rltf train $$recipe --dry-run $(ARGS) || exit $$?; \
	done

tools: ## Prometheus and promtool, into .tools/ where PATH has none: no root, no service (Debian, Ubuntu)
	$(PYTHON) -m deploy.tools

boards: setup ## Write the Grafana boards' JSON again, from deploy/grafana/*.py
	$(BIN)/python -m deploy.grafana

dashboards: setup ## Prometheus and Grafana over runs/, until Ctrl-C (docs/boards.md)
	$(BIN)/python -m deploy.dashboards $(ARGS)

clean: ## Remove what was made: environment, caches, runs
	rm -rf $(VENV) .tools runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
