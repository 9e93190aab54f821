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

import re
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import atomic, check_new
from llm_accuracy.leaderboard import suites
from llm_accuracy.scores.dataset import Dataset, datasets_in
from llm_accuracy.scores.matrix import Responses
from llm_accuracy.scores.scenario import ALL_OBSERVED, Scenario, read_mask

WANTED = re.compile(r"M1\.csv|M2\.csv|M1_nfobs=(None|\d+)_p=[0-9.e+-]+\.csv|questions\.csv|manifest\.json")
LARGE_Z = 4.5  # by luck alone: 7 in a million


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "datasets", "data-dir")
    parser.add_argument("--unzip", action="store_true", help="write the files of DATA_DIR/NAME.zip into DATA_DIR/NAME/")
    parser.add_argument("--overwrite", action="store_true", help="with --unzip: replace files that are there")
    args = parser.parse_args(argv)
    names = args.datasets or datasets_in(args.data_dir)
    if not names:
        raise InputError(f"{args.data_dir}: no dataset here; drop NAME.zip into it, or make one with "
                         "data/simulate_leaderboard.py or data/split_history.py")
    problems = []
    for name in names:
        if args.unzip:
            unzip(args.data_dir, name, args.overwrite)
        problems += [f"{name}: {problem}" for problem in look(Dataset(args.data_dir, name))]
    if problems:
        print("\nproblems")
        for problem in problems:
            print(f"  {problem}")
        raise InputError(f"{len(problems)} things do not fit, first {problems[0]}")


def unzip(data_dir: Path, name: str, overwrite: bool) -> None:
    """Only files of the layout, wherever they lie in the zip, into one folder."""
    archive, folder = data_dir / f"{name}.zip", data_dir / name
    if not archive.is_file():
        raise InputError(f"{archive}: no such file")
    try:
        with zipfile.ZipFile(archive) as stream:
            members = {Path(info.filename).name: info for info in stream.infolist()
                       if WANTED.fullmatch(Path(info.filename).name)}
            check_new([folder / file for file in members], overwrite, make_parent=True)
            for file, info in members.items():
                with stream.open(info) as source, atomic(folder / file) as target:
                    while block := source.read(1 << 20):
                        target.write(block)
    except zipfile.BadZipFile as error:
        raise InputError(f"{archive}: not a complete zip ({error}); fetch it again") from None
    print(f"{folder}: {', '.join(sorted(members))}")


def look(dataset: Dataset) -> list[str]:
    """Print what the dataset holds; what does not fit."""
    history, new = dataset.history(), dataset.new_models()  # same questions, new models complete: or InputError
    problems = []
    where = dataset.folder if (dataset.folder / "M1.csv").is_file() else dataset.archive
    print(f"\n{dataset.name} ({where})")
    print(f"  {history.n_questions} questions" + described(new))
    for label, part in (("history M1", history), ("new M2", new)):
        accuracy = part.accuracy()
        print(f"  {label:<10} {part.n_models:>5} models, {span(part)}, {1 - part.observed.mean():.3%} blank, accuracy "
              f"{np.nanmin(accuracy):.3f} to {np.nanmax(accuracy):.3f}")
    if both := sorted(set(history.models) & set(new.models)):
        problems.append(f"{len(both)} models stand in M1 and M2, first {both[0]}")
    dated = history.dates[history.dates != ""], new.dates[new.dates != ""]
    if all(map(len, dated)) and max(dated[0]) > min(dated[1]):
        print(f"  the history is not older: M1 ends {max(dated[0])}, M2 begins {min(dated[1])}")
    problems += expected_size(dataset.name, history)
    problems += [f"{scenario.key}: {problem}" for scenario in scenarios(dataset)
                 for problem in look_at_scenario(dataset, scenario, history)]
    return problems


def described(new: Responses) -> str:
    if new.tasks is None:
        return ", no tasks known"
    categories = "" if new.categories is None else f" of {len(np.unique(new.categories))} categories"
    return f" in {len(np.unique(new.tasks))} tasks{categories}"


def span(part: Responses) -> str:
    dated = sorted(part.dates[part.dates != ""])
    return f"{dated[0]} to {dated[-1]}" if dated else "undated"


def expected_size(name: str, history: Responses) -> list[str]:
    """The two suites of the leaderboard have a known number of questions."""
    known = {suite: sum(task.size for task in tasks) for suite, tasks in suites.SUITES.items()}
    if known.get(name, history.n_questions) == history.n_questions:
        return []
    return [f"{history.n_questions} questions, {known[name]} are expected of a dataset of this name"]


def scenarios(dataset: Dataset) -> list[Scenario]:
    """Those with a CSV of their own or a mask, from complete to sparse."""
    files = [path.name for path in dataset.folder.glob("M1_*.csv")]
    if dataset.archive:
        with zipfile.ZipFile(dataset.archive) as archive:
            files += [Path(name).name for name in archive.namelist() if Path(name).name.startswith("M1_")]
    keys = {file.removeprefix("M1_").removesuffix(".csv") for file in files if WANTED.fullmatch(file)}
    keys |= {path.stem for path in dataset.folder.glob("masks/*.npz")}
    return sorted((Scenario.parse(key) for key in keys), key=lambda s: (-s.p, -(s.n_full or 0)))


def look_at_scenario(dataset: Dataset, scenario: Scenario, full: Responses) -> list[str]:
    part = dataset.history(scenario.key)
    if not (np.array_equal(part.models, full.models) and np.array_equal(part.questions, full.questions)):
        return ["models or questions are not those of M1"]
    seen, known = part.observed, full.observed
    from_mask = scenario != ALL_OBSERVED and not dataset.has_table(scenario)
    own = read_mask(dataset.mask_path(scenario)) if from_mask else seen
    differing = int((part.scores != full.scores)[seen & known].sum()) + int((seen & ~known).sum())
    n_full, share, z = compare(own, scenario)
    print(f"  {scenario.key:<20} {n_full:>5} models fully, {share:.6f} of the other entries (p = {scenario.p:g}, "
          f"z = {z:+.1f})")
    problems = [f"{differing} scores are not those of M1"] if differing else []
    wanted = min(scenario.n_full or 0, len(own)) if scenario != ALL_OBSERVED else len(own)
    checkable = from_mask or known.all()  # blanks of M1 itself hide the mask
    if n_full != wanted and checkable:
        problems.append(f"{n_full} models are seen fully, the name says {wanted}")
    if abs(z) > LARGE_Z and checkable:
        problems.append(f"{share:.6f} of the entries are seen, the name says {scenario.p:g} (z = {z:+.1f})")
    return problems


def compare(seen: np.ndarray, scenario: Scenario) -> tuple[int, float, float]:
    """(models seen fully, share seen of the other entries, its distance from p in standard errors)."""
    fully = seen.all(axis=1)
    others = seen[~fully]
    if not others.size or scenario.p == 1:
        return int(fully.sum()), float(others.mean()) if others.size else 1.0, 0.0
    error = np.sqrt(scenario.p * (1 - scenario.p) / others.size)
    return int(fully.sum()), float(others.mean()), float((others.mean() - scenario.p) / error)


if __name__ == "__main__":
    cli.run(main)
