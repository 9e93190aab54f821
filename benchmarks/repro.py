"""Do trials, run again, come out as they stand in the logs? A random hundredth of a folder's (`make repro`): minutes.

    python benchmarks/repro.py                                   1 % of the trials in logs/
    python benchmarks/repro.py --logs-dir mine --share 0.05 --seed 7

Takes the trials of faq_val.csv, faq_final.csv, baselines_all.csv and ablations_all.csv, at least one of each log that
is there, with the factor models beside them; who was covered is compared where those logs are there. A trial does not
depend on what is run beside it, so each is run alone. The other logs and tables are named.
Exit code 1 where a row differs; the number of threads does not matter, another machine or another version of PyTorch
may change last digits.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.study import flags


def main(argv=None):
    parser = flags.parser(__doc__, "tier", "data-dir", "logs-dir", "factors-dir", "device")
    parser.add_argument("--share", type=cli.number(0, 1), default=0.01, help="of each log's trials (default: .01)")
    parser.add_argument("--seed", type=cli.at_least(0), default=0, help="of the choice (default: 0)")
    args = flags.parse(parser, argv)
    from llm_accuracy.study import repro

    found = repro.compare(args)
    for one in found:
        if one.lost:
            print(f"{one.log}: {', '.join(one.key)}: was not run again by its own flags")
        for column, logged, now in one.differences:
            print(f"{one.log}: {', '.join(one.key)}: {column} {logged}, now {now}")
    same = sum(one.same for one in found)
    print(f"{same} of {len(found)} trials came out as they are in {args.logs_dir}")
    if others := repro.not_run(args.logs_dir):
        print(f"not run again: {', '.join(others)}")
    return int(same < len(found))


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
