# Every target sets up .venv itself. PYTHON and PIP_ARGS can be set on the command line, e.g.
#   make quickstart PIP_ARGS="--extra-index-url <PyTorch's CPU wheel index>"
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: quickstart test lint

quickstart: $(VENV)/.installed
	$(PY) quickstart.py

test: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(PY) -m pytest

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q $(PIP_ARGS) -r requirements.txt
	touch $@
