"""What is registered from outside appears on the command line, in the logs, the printed table and the figures."""

import subprocess
import sys

import pytest
from conftest import ROOT, run_script

import baselines_all
import faq_final
import faq_val
import summarize_results
from llm_accuracy.querying import estimators, policies
from llm_accuracy.querying.beliefs import Beliefs
from llm_accuracy.querying.estimates import without_replacement
from llm_accuracy.querying.setting import Setting
from llm_accuracy.study import figures, ledger, summaries

CELL = ["--datasets", "board", "--scenarios", "nfobs=None_p=1.0"]


class Wary(Beliefs):
    """Beliefs with a prior of their own: twice as wide as the history's."""

    def __init__(self, bank, prior, rows, keep_variance=False, passes=None):
        super().__init__(bank, prior._replace(covariance=4 * prior.covariance), rows, keep_variance, passes)


@pytest.fixture
def mine():
    """A policy with beliefs, a prior and a setting of its own, and a variance."""
    policies.register(policies.Policy("closest", "closest call", lambda beliefs, moment: beliefs.p * (1 - beliefs.p),
                                      Wary, setting=Setting(tau=0.3)))
    estimators.register("without", "doubled", estimators.Estimator(
        lambda trace, n, rank: (found := without_replacement(trace, n, rank, lifted=True))._replace(se=2 * found.se)))
    yield
    del policies.POLICIES["closest"], estimators.ESTIMATORS["without", "doubled"]


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    run_script("data/simulate_leaderboard.py", "--data-dir", folder / "data", "--models", 40, "--questions", 200,
               "--dataset", "board")
    run_script("factor_models_final.py", *CELL, "--data-dir", folder / "data", "--factors-dir", folder / "factors",
               "--rank", 2, "--weight-decay", 4.0, "--epochs", 20)
    return folder


def test_a_policy_and_a_variance_from_outside(mine, board, tmp_path, capsys):
    def run(script, *flags):
        script.main([*CELL, "--data-dir", str(board / "data"), "--factors-dir", str(board / "factors"), "--logs-dir",
                     str(tmp_path), "--budgets", "20", "60", "--seeds", "2", *flags])

    run(faq_final, "--policies", "closest", "faq-mix", "rounds")
    run(faq_final, "--policies", "closest", "--variance", "doubled", "--batch", "5")
    run(baselines_all, "--policies", "srs", "unif", "2min")
    log = ledger.read(tmp_path / "faq_final.csv", "")
    own = log[log["method"] == "closest"]
    assert set(own["setting"]) == {"beta0=1.0_rho=0.0_gamma=0.0_tau=0.3"}
    assert own.groupby(["variance", "batch"]).size().to_dict() == {("pooled", 1): 4, ("doubled", 5): 4}
    others = log[log["method"] == "faq-mix"].set_index(["budget", "seed"])["mse"]
    assert (own[own["batch"] == 1].set_index(["budget", "seed"])["mse"] != others).all()
    capsys.readouterr()
    summarize_results.main(["--logs-dir", str(tmp_path)])
    printed = capsys.readouterr().out
    expected = {"closest call", "closest call, 5 at a time"}
    assert all(f"\n{name} " in printed for name in expected)
    table = summaries.compared(summaries.read(tmp_path / "summary.csv"))
    legend = {text.get_text() for text in figures.ess_and_coverage(table).legends[0].get_texts()}
    assert expected <= legend and {"FAQ-mix", "growing rounds", "uniform (SRS)", "best baseline"} <= legend


@pytest.mark.parametrize("script", [faq_final, faq_val])
def test_the_command_line_lists_it(mine, script, capsys):
    with pytest.raises(SystemExit):
        script.main(["--help"])
    said = capsys.readouterr().out
    assert "closest" in said and "doubled" in said
    with pytest.raises(SystemExit, match="2"):
        script.main(["--variance", "halved"])
    assert "doubled" in capsys.readouterr().err


SCRIPTS = sorted(path.name for path in ROOT.glob("*.py") if path.name != "mcnemar_tests.py")


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_and_refused_arguments_import_nothing_heavy(name):
    """So both take a moment; neither torch nor pandas nor matplotlib is there yet."""
    code = (f"import runpy, sys\nsys.argv = ['{name}', FLAG]\ntry: runpy.run_path('{name}', run_name='__main__')\n"
            "except SystemExit as error: assert error.code == CODE, error.code\n"
            "assert not {'torch', 'pandas', 'matplotlib', 'scipy'} & sys.modules.keys()")
    for flag, exit_code in (("--help", 0), ("--no-such-flag", 2)):
        done = subprocess.run([sys.executable, "-c", code.replace("FLAG", repr(flag)).replace("CODE", str(exit_code))],
                              cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
