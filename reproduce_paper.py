"""Run the paper's methods at the paper's settings on one dataset, and print the results beside the published ones.

    python reproduce_paper.py --paper PAPER --datasets twin --as mmlu-pro --models 100 --seeds 3
    python reproduce_paper.py --paper PAPER --datasets mmlu-pro --models 2213 --seeds 100 --device cuda

PAPER is a folder with the published tables (faq_best_settings.csv, faq_summary.csv ...). Nothing is tuned: rank
and weight decay of the factor model and FAQ's hyperparameters are the published ones, FAQ draws with replacement,
the baselines and ablations are the paper's. Appends to LOGS_DIR; finished trials are not repeated. The first line
takes tens of minutes on two cores; the fit of the factor model is kept.
"""

from pathlib import Path

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.study import flags, grids


def main(argv=None):
    parser = flags.parser(__doc__, "datasets", "scenarios", "budgets", "seeds", "models", "data-dir", "logs-dir",
                          "factors-dir", "device")
    parser.add_argument("--paper", type=Path, required=True, metavar="PAPER", help="folder of published tables")
    parser.add_argument("--as", dest="stands_for", metavar="NAME", help="the published dataset that ours stands for")
    parser.add_argument("--ablation-seeds", type=cli.at_least(1), metavar="S", help="(default: as --seeds)")
    parser.add_argument("--taus", nargs="+", type=cli.as_written(cli.number(0, 1)), metavar="TAU",
                        default=["0.25", "0.5"], help="uniform shares of active inference with factors, the "
                        "costliest part (default: .25 .5)")
    args = flags.parse(parser, argv)
    args.tier = "paper"
    if not args.datasets or len(args.datasets) > 1:
        raise InputError("--datasets: name one dataset")
    from llm_accuracy.scores.dataset import Dataset
    from llm_accuracy.study import published

    [dataset], scenarios = args.datasets, args.scenarios or [grids.DEFAULT_SCENARIO]
    stands_for = args.stands_for or dataset
    n_questions = Dataset(args.data_dir, dataset).new_models(1).n_questions
    budgets = grids.budgets(args, n_questions, dataset)
    seeds = args.seeds or grids.TIERS["paper"].seeds
    ablation_seeds = args.ablation_seeds or seeds
    for scenario in scenarios:
        cell = grids.Cell(stands_for, scenario)
        rank, decay = published.factor_setting(args.paper, cell)
        chosen = {budget: published.best_settings(args.paper, cell).get(fortieths(budget, n_questions))
                  for budget in budgets}
        if untuned := [budget for budget, setting in chosen.items() if setting is None]:
            raise InputError(f"--budgets {untuned[0]}: the paper's budgets are k/40 of the questions, e.g. 2.5% 5% 10%")
        where = ["--tier", "paper", "--datasets", dataset, "--scenarios", scenario, *given(args)]
        models = ["--models", args.models] if args.models else []
        cli.step("data/simulate_missingness.py", *where[:6], "--data-dir", args.data_dir)
        cli.step("factor_models_final.py", *where, "--rank", rank, "--weight-decay", decay)
        cli.step("baselines_all.py", *where, *models, "--seeds", seeds, "--budgets", *budgets)
        for budget, setting in chosen.items():
            trials = [*where, *models, "--budgets", budget, "--setting", setting.key]
            cli.step("faq_final.py", *trials, "--seeds", seeds, "--policies", "faq")
            cli.step("ablations_all.py", *trials, "--seeds", ablation_seeds, "--arms", "replacement")
        cli.step("ablations_all.py", *where, *models, "--seeds", ablation_seeds, "--budgets", *budgets,
             "--arms", "active+factors", "--taus", *args.taus)
    cli.step("summarize_results.py", "--datasets", dataset, "--logs-dir", args.logs_dir, "--compare", args.paper,
         "--as", stands_for)


def fortieths(budget, n_questions):
    """k such that the budget is ⌊N k/40⌋, or None."""
    k = -(-budget * grids.SHARE_DENOMINATOR // n_questions)
    return k if n_questions * k // grids.SHARE_DENOMINATOR == budget else None


def given(args):
    """The folders and the device, as every step takes them."""
    factors = ["--factors-dir", args.factors_dir] if args.factors_dir else []
    return ["--data-dir", args.data_dir, "--logs-dir", args.logs_dir, *factors, "--device", args.device]


if __name__ == "__main__":
    cli.run(main)
