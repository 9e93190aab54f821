"""Step 9: the baselines on the same new models: uniform sampling, active inference from history means, survey sampling.

    python baselines_all.py                                      laptop tier, about 10 seconds on two cores
    python baselines_all.py --tier paper --shard 3/32            one of 32 parts of the full grid
    python baselines_all.py --datasets twin --budgets 5% --seeds 2 --models 100

srs: simple random sampling without replacement, no predictions. unif, sqrt, 2min: walks over the bank with
coins proportional to 1, √(p̂(1−p̂)), 2 min(p̂, 1−p̂) of the history's means p̂, mixed with a uniform share τ,
estimating with f = 0 and f = p̂ (the published "uniform" is unif with f = 0). Rivals from survey sampling
(querying/rivals.py), all without replacement: stratified on p̂ (two questions of each stratum); difference to p̂;
greg, regression on the history's components; two-batch, half stratified on p̂, then half on the regression that those
answers teach; ppi++, where ppi-python is installed. Budgets that are too small for one are left out, which is said.
Appends to LOGS_DIR/baselines_all.csv. Finished trials are not repeated.
"""

from llm_accuracy import cli
from llm_accuracy.querying.policies import WALKING
from llm_accuracy.querying.rivals import RIVALS, SRS
from llm_accuracy.study import flags


def main(argv=None):
    parser = flags.parser(__doc__)
    policies = [SRS, *WALKING, *RIVALS]
    parser.add_argument("--policies", nargs="+", metavar="NAME", choices=policies,
                        help=f"some of {', '.join(policies)} (default: all that are installed)")
    args = flags.parse(parser, argv)
    from llm_accuracy.study import baselines

    baselines.run(args)


if __name__ == "__main__":
    cli.run(main)
