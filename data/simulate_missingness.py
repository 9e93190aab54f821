"""Step 2: hide parts of the history, scenario by scenario.

    python data/simulate_missingness.py                          laptop tier, seconds
    python data/simulate_missingness.py --tier paper             the eight scenarios of the paper, 20 seconds
    python data/simulate_missingness.py --datasets twin --scenarios nfobs=200_p=0.1 --csv

In scenario nfobs=50_p=0.1, fifty models of M1 chosen at random are seen fully and every other entry is seen
with probability .1. The mask is a function of the dataset's and the scenario's name and of nothing else; it is
stored packed in DATA_DIR/<dataset>/masks/, and with --csv also as M1_<scenario>.csv, the layout of the paper's
archive. Masks and CSVs that are there, the archive's own among them, are kept. Prints the share of M1's entries
that is seen beside the expected one, and their distance in standard errors of a binomial share.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "tier", "datasets", "scenarios", "data-dir", "dry-run")
    parser.add_argument("--csv", action="store_true", help="write M1_<scenario>.csv as well")
    args = parser.parse_args(argv)
    from llm_accuracy.scores.scenario import Scenario
    from llm_accuracy.study import grids

    todo = [(cell, Scenario.parse(cell.scenario)) for cell in grids.cells(args)]
    if args.dry_run:
        print(f"{len(todo)} masks, seconds each")
        return
    from llm_accuracy.scores.dataset import Dataset
    from llm_accuracy.scores.missingness import hide, shares, write_table

    header = f"{'dataset':<26} {'scenario':<18} {'observed':>9} {'expected':>9} {'z':>5}  from\n"
    for cell, scenario in todo:
        dataset = Dataset(args.data_dir, cell.dataset)
        full = dataset.history()
        origin = hide(dataset, scenario, full)
        seen = dataset.history(cell.scenario)
        if args.csv:
            write_table(dataset, scenario, seen)
        observed, expected, z = shares(full, seen, scenario)
        row = f"{cell.dataset:<26.26} {cell.scenario:<18} {observed:>9.6f} {expected:>9.6f} {z:>+5.1f}  {origin}"
        print(header + row)
        header = ""


if __name__ == "__main__":
    cli.run(main)
