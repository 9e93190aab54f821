"""Step 2: hide parts of the history, scenario by scenario.

    python data/simulate_missingness.py                          laptop tier, seconds
    python data/simulate_missingness.py --tier paper             the eight scenarios of the paper
    python data/simulate_missingness.py --datasets twin --scenarios nfobs=200_p=0.1 --csv

In scenario nfobs=50_p=0.1, fifty models of M1 chosen at random are seen fully and every other entry is seen
with probability .1. The mask is a function of the dataset's and the scenario's name; it is stored packed in
DATA_DIR/<dataset>/masks/, and with --csv also as M1_<scenario>.csv, the layout of the paper's archive. Masks
that are there are kept. Prints the observed share beside the expected one.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli, responses, settings
from llm_accuracy.randomness import stream
from llm_accuracy.responses import ALL_OBSERVED, Dataset, Scenario


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "tier", "datasets", "scenarios", "data-dir", "dry-run")
    parser.add_argument("--csv", action="store_true", help="write M1_<scenario>.csv as well")
    args = parser.parse_args(argv)
    todo = [(cell, Scenario.parse(cell.scenario)) for cell in settings.cells(args)]
    if args.dry_run:
        print(f"{len(todo)} masks, seconds each")
        return
    print(f"{'dataset':<16} {'scenario':<18} {'observed':>10} {'expected':>10}")
    for cell, scenario in todo:
        dataset = Dataset(args.data_dir, cell.dataset)
        make(dataset, scenario, args.csv)
        observed = dataset.history(cell.scenario).observed
        n_full = min(scenario.n_full or 0, len(observed))
        expected = (n_full + (len(observed) - n_full) * scenario.p) / len(observed)
        print(f"{cell.dataset:<16.16} {cell.scenario:<18} {observed.mean():>10.6f} {expected:>10.6f}")


def make(dataset: Dataset, scenario: Scenario, as_csv: bool) -> None:
    path = dataset.mask_path(scenario)
    if scenario != ALL_OBSERVED and not path.is_file():
        full = dataset.history()
        rng = stream("missingness", dataset.name, scenario.key)
        responses.write_mask(path, responses.mask(full.scores.shape, scenario, rng))
    table = dataset.folder / f"M1_{scenario.key}.csv"
    if as_csv and not table.is_file():
        responses.write_matrix(table, dataset.history(scenario.key))


if __name__ == "__main__":
    cli.run(main)
