"""Step 6: tune FAQ, the method of arXiv 2601.20251, on held-out history. (The default of faq_final.py needs none.)

    python faq_val.py                                            laptop tier, about 5 minutes on two cores
    python faq_val.py --tier paper --shard 0/64                  one of 64 parts of the full grid (GPU)
    python faq_val.py --datasets twin --scenarios nfobs=None_p=1.0 --budgets 5% --seeds 1 --models 100 \\
        --settings beta0=1.0_rho=0.0_gamma=0.0_tau=0.05 beta0=1.0_rho=0.0_gamma=0.0_tau=0.25
    python faq_val.py --policy faq-mix                           what tuning could gain the default

The last 20 % of the history's models are evaluated as if they were new, with factors fitted to the first 80 %
(factor_models_val.py). Logs every (setting, budget, seed) to LOGS_DIR/faq_val.csv and prints, for every budget,
the setting with the smallest mean variance (faq_final.py --select-by variance, its default).
"""

from llm_accuracy import cli
from llm_accuracy.querying.policies import POLICIES
from llm_accuracy.querying.setting import DEFAULT_SETTING, Setting
from llm_accuracy.study import grids, ledger
from llm_accuracy.study import trials as study
from llm_accuracy.study import tuning as selection


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__))
    study.add_method_flags(parser)
    parser.add_argument("--policy", default="faq",
                        choices=sorted(name for name, policy in POLICIES.items() if not policy.knows))
    parser.add_argument("--settings", nargs="+", metavar="KEY", help=f"e.g. {DEFAULT_SETTING.key}")
    args = parser.parse_args(argv)
    tier = grids.TIERS[args.tier]
    grid = [Setting.parse(key) for key in args.settings] if args.settings else tier.val_settings
    method = study.Method.chosen(args, args.policy)
    log = study.TrialLog(args, "faq_val", study.PUBLISHED_COLUMNS)
    plans = []
    for task in study.val_tasks(args):
        mine = study.my_share([(setting, seed) for setting in grid for seed in study.seeds(args, tier.val_seeds)], args)
        budgets = study.task_budgets(args, task)
        plans.append(study.Plan(task, log, method, [(s, b, seed) for s, seed in mine for b in budgets]))
    study.run_plans(plans, f"tune {args.policy}", args.dry_run)
    if not args.dry_run:
        print_choice(method, log.rows.path, [plan.task.cell for plan in plans])


def print_choice(method, path, cells):
    log = ledger.read(path, "faq_val.py")
    chosen = selection.best_settings(log[log["method"] == method.name], "variance")
    print(f"{'dataset':<16} {'scenario':<18} {'budget':>6}  setting")
    for row in chosen[chosen["sampling"] == method.sampling].itertuples():
        if grids.Cell(row.dataset, row.scenario) in cells:
            print(f"{row.dataset:<16.16} {row.scenario:<18} {row.budget:>6}  {row.setting}")


if __name__ == "__main__":
    cli.run(main)
