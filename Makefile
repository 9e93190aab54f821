# Every target sets up .venv itself. PYTHON and PIP_ARGS can be set on the command line, e.g.
#   make quickstart PIP_ARGS="--extra-index-url <PyTorch's CPU wheel index>"
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
LM_EVAL := .venv-lm-eval

.PHONY: quickstart test lint

quickstart: $(VENV)/.installed
	$(PY) quickstart.py

test: $(VENV)/.installed $(LM_EVAL)/.installed
	$(VENV)/bin/ruff check .
	$(PY) -m pytest

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q $(PIP_ARGS) -r requirements.txt
	touch $@

# lm-evaluation-harness writes logs for the tests of their reader. It is no dependency of the project: where it
# cannot be installed, those tests are skipped. The second version shares the packages of the first.
$(LM_EVAL)/.installed:
	$(PYTHON) -m venv $(LM_EVAL)
	$(LM_EVAL)/bin/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) lm_eval==0.4.13 && \
	$(LM_EVAL)/bin/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) --no-deps --upgrade \
		--target $(LM_EVAL)/0.4.11 lm_eval==0.4.11 && touch $@ \
	|| echo "lm-evaluation-harness could not be installed: its tests are skipped"
