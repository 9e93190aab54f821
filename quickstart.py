"""Run the whole study in miniature (`make quickstart` calls this).

    python quickstart.py [--folder quickstart]

Runs the numbered scripts in order on a simulated leaderboard (a subset of the laptop tier: all data observed,
5 seeds), prints one table and writes one figure, all inside one folder. About one minute on two idle cores; run
again, it continues or just prints the result.
"""

import time
from pathlib import Path

from llm_accuracy import cli

SCENARIO = "nfobs=None_p=1.0"
SETTINGS = [f"beta0=1.0_rho={rho}_gamma=0.0_tau={tau}" for rho in ("0.0", "0.25") for tau in ("0.05", "0.25", "0.75")]


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("quickstart"), metavar="DIR")
    folder = parser.parse_args(argv).folder
    data, logs = folder / "data", folder / "logs"
    where = ["--datasets", "simulated", "--scenarios", SCENARIO, "--data-dir", data]
    to_logs = [*where, "--logs-dir", logs]
    started = time.monotonic()
    if not (data / "simulated" / "M2.csv").is_file():
        cli.step("data/simulate_leaderboard.py", "--data-dir", data)
    cli.step("data/simulate_missingness.py", *where)
    cli.step("factor_models_cv.py", *to_logs, "--weight-decays", "16.0", "8.0", "4.0")
    cli.step("factor_models_val.py", *to_logs)
    cli.step("factor_models_final.py", *to_logs)
    cli.step("faq_val.py", *to_logs, "--seeds", 2, "--settings", *SETTINGS)
    cli.step("faq_final.py", *to_logs, "--seeds", 5, "--policies", "faq")
    cli.step("faq_final.py", *to_logs, "--seeds", 5, "--policies", "faq-mix", "rounds")
    cli.step("baselines_all.py", *to_logs, "--seeds", 5)
    cli.step("summarize_results.py", "--logs-dir", logs, "--figure", folder / "ess_and_coverage")
    print(f"all of it took {cli.duration(time.monotonic() - started)}")


if __name__ == "__main__":
    cli.run(main)
