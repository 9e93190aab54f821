"""The study on a cluster: every step as a job array of Slurm, each after those that it reads, through submitit.

    python slurm/submit.py --tier paper --datasets mmlu-pro --partition gpu --gpus 1 --device cuda
    python slurm/submit.py --tier paper --datasets mmlu-pro --partition cpu --dry-run     the plan, and no more
    python slurm/submit.py --datasets board --logs-dir board/logs --local                 the same plan on this machine

Each step is priced by its --dry-run and cut into tasks of 20 to 60 minutes; a task that runs out of time is queued
again and goes on. At the end of a step its tasks' logs are gathered into LOGS_DIR, then the next one starts. The same
line again says what is queued, or gathers what there is and submits what is missing: nothing finished is repeated,
whatever was cancelled, killed, or lost with a node. No accounting is needed: what is queued comes from squeue, what is
done from the logs. Needs pip install "llm-accuracy[cluster]"; run it where jobs are submitted from.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError


def main(argv=None):
    from llm_accuracy.study import flags

    parser = flags.parser(__doc__, "tier", "datasets", "scenarios", "budgets", "seeds", "models", "data-dir",
                          "logs-dir", "device", "dry-run")
    parser.add_argument("--local", action="store_true", help="run the plan here, through submitit's local executor")
    parser.add_argument("--steps", nargs="+", metavar="STEP", choices=names(), default=names(),
                        help=f"some of {', '.join(names())} (default: all)")
    parser.add_argument("--partition", metavar="P", help="of Slurm")
    parser.add_argument("--account", metavar="A", help="of Slurm")
    parser.add_argument("--qos", metavar="Q", help="of Slurm")
    parser.add_argument("--cpus", type=cli.at_least(1, 1024), default=1, help="a task (default: 1)")
    parser.add_argument("--gpus", type=cli.at_least(1, 64), help="a task (default: none)")
    parser.add_argument("--mem-gb", type=cli.number(0.1, 10_000), help="a task (default: the partition's)")
    parser.add_argument("--throttle", type=cli.at_least(1, 10_000), metavar="T",
                        help="tasks of a step at a time (default: 64; with --local, one a core)")
    parser.add_argument("--task-minutes", type=cli.number(0.001, 1440), default=40, metavar="M",
                        help="what a task should take (default: 40)")
    parser.add_argument("--time-minutes", type=cli.at_least(5, 43200), metavar="M",
                        help="time limit of a task (default: three times its price and ten minutes)")
    parser.add_argument("--slower", type=cli.number(0.001, 1000), default=1.0, metavar="F",
                        help="a node takes F times as long as this machine, on which the steps are priced")
    parser.add_argument("--requeues", type=cli.at_least(0, 1000), default=10, metavar="R",
                        help="how often a task that runs out of time is queued again (default: 10)")
    args = flags.parse(parser, argv)
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise InputError('submitit is not installed: pip install "llm-accuracy[cluster]"') from None
    args.data_dir, args.logs_dir = args.data_dir.resolve(), args.logs_dir.resolve()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).resolve().parents[1]), *filter(
        None, [os.environ.get("PYTHONPATH")])])  # tasks are unpickled wherever they run
    from llm_accuracy.study import queueing

    queueing.submit(args)


def names():
    from llm_accuracy.study import cluster

    return [step.name for step in cluster.STEPS]


if __name__ == "__main__":
    cli.run(main)
