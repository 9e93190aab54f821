"""Run the whole study in miniature (`make quickstart` calls this).

    python quickstart.py [--folder quickstart]

Runs the numbered scripts in order on a simulated leaderboard (a subset of the laptop tier: all data observed,
5 seeds), prints one table and writes one figure; then evaluates one of the new models live, from 5 % of the questions,
as `llm-accuracy evaluate` does any model. All of it is inside one folder. About one minute on two idle cores; run
again, it continues or just prints the result.
"""

import os
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from llm_accuracy import cli
from llm_accuracy.live import row

SCENARIO = "nfobs=None_p=1.0"
SETTINGS = [f"beta0=1.0_rho={rho}_gamma=0.0_tau={tau}" for rho in ("0.0", "0.25") for tau in ("0.05", "0.25", "0.75")]


def live(folder: Path, matrix: Path, factors: Path) -> None:
    """Evaluate the newest of the matrix's models as if its answers were not known, and say what it has in truth."""
    run, model = folder / "live", matrix.read_text().splitlines()[-1].partition(",")[0]
    if (run / "manifest.json").is_file():
        cli.step("evaluate_model.py", run, "--resume")
    else:
        answer = shlex.join([sys.executable, os.path.relpath(row.__file__), str(matrix), model])
        cli.step("evaluate_model.py", run, "--history", factors, "--budget", "5%", "--model", model,
                 "--command", answer)
    print(f"(its accuracy on all of them, which is known on a simulated board only: "
          f"{100 * np.mean(list(row.scores_of(matrix, model).values())):.1f} %)")


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("quickstart"), metavar="DIR")
    folder = parser.parse_args(argv).folder
    data, logs = folder / "data", folder / "logs"
    where = ["--datasets", "simulated", "--scenarios", SCENARIO, "--data-dir", data]
    to_logs = [*where, "--logs-dir", logs]
    started = time.monotonic()
    if not (data / "simulated" / "M2.csv").is_file():
        cli.step_here("data/simulate_leaderboard.py", "--data-dir", data)
    cli.step_here("data/simulate_missingness.py", *where)
    cli.step_here("factor_models_cv.py", *to_logs, "--weight-decays", "16.0", "8.0", "4.0")
    cli.step_here("factor_models_val.py", *to_logs)
    cli.step_here("factor_models_final.py", *to_logs)
    cli.step_here("faq_val.py", *to_logs, "--seeds", 2, "--settings", *SETTINGS)
    cli.step_here("faq_final.py", *to_logs, "--seeds", 5, "--policies", "faq")
    cli.step_here("faq_final.py", *to_logs, "--seeds", 5, "--policies", "faq-mix", "rounds")
    cli.step_here("baselines_all.py", *to_logs, "--seeds", 5)
    cli.step_here("summarize_results.py", "--logs-dir", logs, "--figure", folder / "ess_and_coverage")
    print(f"the study took {cli.duration(time.monotonic() - started)}", flush=True)
    live(folder, data / "simulated" / "M2.csv", logs / "factor_models" / "simulated" / f"{SCENARIO}_final.npz")
    print(f"all of it took {cli.duration(time.monotonic() - started)}")


if __name__ == "__main__":
    cli.run(main)
