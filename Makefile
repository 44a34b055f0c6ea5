SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help venv

VENV := .venv/bin
STAMP := .venv/.installed

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Make .venv from deploy/locks/dev.txt and install the project into it, editable

$(STAMP): deploy/locks/dev.txt deploy/locks/uv.txt pyproject.toml deploy/venv.sh
	@deploy/venv.sh
	@touch $@
