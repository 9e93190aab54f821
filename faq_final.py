"""Step 7: evaluate new models by choosing the questions: width, coverage, error.

    python faq_final.py                                          laptop tier, about 3 minutes on two cores
    python faq_final.py --datasets simulated --scenarios nfobs=50_p=0.1 --budgets 300 --seeds 5
    python faq_final.py --batch 64                               asked 64 questions at a time
    python faq_final.py --policies faq                           the method of arXiv 2601.20251
    python faq_final.py --policies uniform+factors oracle        any policy registered in querying/policies.py
    python faq_final.py --tier paper --device cuda               the full grid

Every trial is one seed, budget and setting on all new models (M2) of a dataset. The default, faq-mix without
replacement, takes the history itself as its prior, asks no question twice and needs no tuning
(docs/without_replacement.md). faq, the paper's method, takes the setting that faq_val.py found best, or --setting.
Appends to LOGS_DIR/faq_final.csv (one row a trial) and
LOGS_DIR/faq_final_models.csv (who was covered). Finished trials are not repeated.
"""

from llm_accuracy import cli
from llm_accuracy.querying.policies import DEFAULT_POLICY, POLICIES
from llm_accuracy.querying.setting import DEFAULT_SETTING, Setting
from llm_accuracy.study import grids
from llm_accuracy.study import trials as study
from llm_accuracy.study import tuning as selection


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__))
    study.add_method_flags(parser)
    parser.add_argument("--policies", nargs="+", choices=sorted(POLICIES), default=[DEFAULT_POLICY])
    parser.add_argument("--setting", metavar="KEY", help=f"one setting everywhere, e.g. {DEFAULT_SETTING.key}")
    parser.add_argument("--select-by", choices=sorted(selection.SELECT_BY), default="variance",
                        help="what the tuned setting minimises (published-width: only to reproduce the paper)")
    args = parser.parse_args(argv)
    tier = grids.TIERS[args.tier]
    methods = [study.Method.chosen(args, name) for name in dict.fromkeys(args.policies)]
    log = study.TrialLog(args, "faq_final", study.PUBLISHED_COLUMNS)
    plans, remarks = [], []
    for task in study.final_tasks(args):
        for method in methods:
            wanted = []
            for budget in study.task_budgets(args, task):
                setting, remark = choose(args, task, method, budget)
                remarks += [remark] if remark and remark not in remarks else []
                wanted += [(setting, budget, seed) for seed in study.my_share(study.seeds(args, tier.seeds), args)]
            plans.append(study.Plan(task, log, method, wanted))
    print(*remarks, sep="\n" if remarks else "", end="\n" if remarks else "")
    study.run_plans(plans, "evaluate", args.dry_run)


def choose(args, task, method, budget):
    """(setting, remark) of one trial: the one given, else the policy's own, else the one that faq_val.py found best."""
    if args.setting:
        return Setting.parse(args.setting), ""
    if method.policy.setting is not None:
        return method.policy.setting, ""
    tuned = selection.Tuned(args.logs_dir / "faq_val.csv", args.select_by, method.sampling)
    return tuned.setting(task.cell, budget, task.n_questions)


if __name__ == "__main__":
    cli.run(main)
