"""Look at the datasets that are there: shapes, names, dates and missingness, of folders and of zips.

    python data/unpack.py                                   every dataset under data/processed
    python data/unpack.py --datasets mmlu-pro --unzip       and write the zip's files into data/processed/mmlu-pro/

The archive published with arXiv 2601.20251 (mmlu-pro.zip and bbh+gpqa+ifeval+math+musr.zip) is dropped into
data/processed/ and read as it is; unzipping only saves the time of inflating it. Anything that this project writes
has the same layout, so zip a folder to publish it. A dataset of the paper's size takes about half a minute.

For every scenario of missingness: how many models are seen fully, which share of the other entries is seen beside
the p that the name promises (z: the difference in standard errors), and whether the scores are M1's own. Ends with
exit code 2 if something does not fit.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "datasets", "data-dir")
    parser.add_argument("--unzip", action="store_true", help="write the files of DATA_DIR/NAME.zip into DATA_DIR/NAME/")
    parser.add_argument("--overwrite", action="store_true", help="with --unzip: replace files that are there")
    args = parser.parse_args(argv)
    from llm_accuracy.leaderboard.looking import look, unzip
    from llm_accuracy.scores.dataset import Dataset, datasets_in

    names = args.datasets or datasets_in(args.data_dir)
    if not names:
        raise InputError(f"{args.data_dir}: no dataset here; drop NAME.zip into it, or make one with "
                         "data/simulate_leaderboard.py or data/split_history.py")
    problems = []
    for name in names:
        if args.unzip:
            print(f"{args.data_dir / name}: {', '.join(unzip(args.data_dir, name, args.overwrite))}")
        problems += [f"{name}: {problem}" for problem in look(Dataset(args.data_dir, name))]
    if problems:
        print("\nproblems")
        for problem in problems:
            print(f"  {problem}")
        raise InputError(f"{len(problems)} things do not fit, first {problems[0]}")


if __name__ == "__main__":
    cli.run(main)
