SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help venv demo test kube bench faults check lock clean

BIN := .venv/bin
STAMP := .venv/.installed
# Long runs have their own targets.
LEFT_OUT := not slow and not faults

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Make .venv exactly what deploy/locks/dev.txt says, and install the project into it
	@echo "venv: .venv is as deploy/locks/dev.txt says"

$(STAMP): deploy/locks/dev.txt deploy/locks/uv.txt pyproject.toml deploy/venv.sh deploy/wheel_data.py
	@deploy/venv.sh
	@touch $@

demo: $(STAMP) ## Run the whole bot here, with a local Slack and a small ML system (ARGS="--scripted --minute 2s")
	@$(BIN)/python -m playground.parts install prometheus alertmanager
	@$(BIN)/mlops-bot demo $(ARGS)

# Most tests wait for real programs, so a third worker pays; with a control plane for each worker it does not.
test: $(STAMP) ## Run the tests (ARGS="tests/core -k ladder" for some of them)
	@$(BIN)/python -m playground.parts install prometheus promtool alertmanager postgres chromium \
		|| echo "test: going on; the tests that need a missing part will fail and name it"
	@marks="$(LEFT_OUT)"; workers=2; why=$$($(BIN)/python -m playground.kube found) \
		|| { marks="$$marks and not cluster"; workers=3; echo "test: not run: tests/cluster, for want of a Kubernetes: $$why"; }; \
	$(BIN)/python -m pytest -n $$workers --dist loadfile -m "$$marks" $(ARGS)

kube: $(STAMP) ## Build the Kubernetes that tests/cluster and the demo run against, once, outside this folder
	@$(BIN)/python -m playground.kube build

bench: $(STAMP) ## Measure what the parts cost; a line for each figure (ARGS="drift" for some of them)
	@$(BIN)/python -m bench $(ARGS)

faults: $(STAMP) ## Kill, freeze and cut real processes and count the pages that people got (ARGS="--only frozen")
	@$(BIN)/python -m playground.parts install postgres libfaketime \
		|| echo "faults: going on; the trials that need a missing part are said to be not proven"
	@$(BIN)/python -m tests.faults $(ARGS)

check: $(STAMP) ## Judge the code without running it: ruff, mypy --strict, import contracts
	@echo "check: ruff" && $(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@echo "check: mypy --strict" && $(BIN)/mypy
	@echo "check: import contracts" && $(BIN)/lint-imports --no-logo

lock: $(STAMP) ## Write deploy/locks/*.txt anew from pyproject.toml, with the newest versions it allows
	@deploy/lock.sh

clean: ## Remove .venv, what was built, and every cache inside this folder
	@rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
