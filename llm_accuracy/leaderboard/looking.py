"""Inspecting datasets, folders and zips: their content, and whether it matches their names."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .. import locks
from ..errors import InputError
from ..files import atomic, check_new, unpacked
from ..scores.dataset import Dataset
from ..scores.matrix import Responses
from ..scores.scenario import ALL_OBSERVED, Scenario, read_mask
from ..scores.splitting import span
from . import suites

WANTED = re.compile(r"M1\.csv|M2\.csv|M1_nfobs=(None|\d+)_p=[0-9.e+-]+\.csv|questions\.csv|manifest\.json")
LARGE_Z = 4.5  # exceeded by chance 7 times in a million


def unzip(data_dir: Path, name: str, overwrite: bool) -> list[str]:
    """Write the files of the layout in DATA_DIR/NAME.zip, wherever they are in it, into DATA_DIR/NAME; returns their
    names.

    Raises InputError if the zip is absent or incomplete, and if a file exists and must not be replaced.
    """
    archive, folder = data_dir / f"{name}.zip", data_dir / name
    if not archive.is_file():
        raise InputError(f"{archive}: no such file")
    try:
        with zipfile.ZipFile(archive) as stream:
            members = {Path(info.filename).name: info for info in stream.infolist()
                       if WANTED.fullmatch(Path(info.filename).name)}
            check_new([folder / file for file in members], overwrite, make_parent=True)
            with locks.writing(folder / "M1.csv"), ExitStack() as whole:  # all is on disk before any is replaced
                for file, info in members.items():
                    target = whole.enter_context(atomic(folder / file))
                    with unpacked(stream, info, f"{archive}:{info.filename}") as source:
                        shutil.copyfileobj(source, target, 1 << 20)
                    target.flush()
    except zipfile.BadZipFile as error:
        raise InputError(f"{archive}: not a complete zip ({error}); fetch it again") from None
    return sorted(members)


def look(dataset: Dataset, say: Callable[[str], None] = print) -> list[str]:
    """Describe a dataset, line by line as it is read; returns the problems found.

    Raises InputError if it cannot be read, if new models lack scores, or if the questions differ.
    """
    history, new = dataset.history(), dataset.new_models()  # same questions, new models complete: or InputError
    problems = []
    where = dataset.folder if (dataset.folder / "M1.csv").is_file() else dataset.archive
    say(f"\n{dataset.name} ({where})")
    say(f"  {history.n_questions} questions" + _described(new))
    for label, part in (("history M1", history), ("new M2", new)):
        accuracy = part.accuracy()
        say(f"  {label:<10} {part.n_models:>5} models, {span(part)}, {1 - part.observed.mean():.3%} blank, accuracy "
            f"{np.nanmin(accuracy):.3f} to {np.nanmax(accuracy):.3f}")
    if both := sorted(set(history.models) & set(new.models)):
        problems.append(f"{len(both)} models are in both M1 and M2, first {both[0]}")
    dated = history.dates[history.dates != ""], new.dates[new.dates != ""]
    if all(map(len, dated)) and max(dated[0]) > min(dated[1]):
        say(f"  the history is not older: M1 ends {max(dated[0])}, M2 begins {min(dated[1])}")
    problems += _expected_size(dataset.name, history)
    problems += [f"{scenario.key}: {problem}" for scenario in _scenarios(dataset)
                 for problem in _look_at_scenario(dataset, scenario, history, say)]
    return problems


def _described(new: Responses) -> str:
    if new.tasks is None:
        return ", no tasks known"
    categories = "" if new.categories is None else f" of {len(np.unique(new.categories))} categories"
    return f" in {len(np.unique(new.tasks))} tasks{categories}"


def _expected_size(name: str, history: Responses) -> list[str]:
    """The two suites of the leaderboard have a known number of questions."""
    known = {suite: sum(task.size for task in tasks) for suite, tasks in suites.SUITES.items()}
    if known.get(name, history.n_questions) == history.n_questions:
        return []
    return [f"{history.n_questions} questions, {known[name]} are expected in a dataset of this name"]


def _scenarios(dataset: Dataset) -> list[Scenario]:
    """The scenarios with a CSV of their own or a mask, from complete to sparse."""
    files = [path.name for path in dataset.folder.glob("M1_*.csv")]
    if dataset.archive:
        with zipfile.ZipFile(dataset.archive) as archive:
            files += [Path(name).name for name in archive.namelist() if Path(name).name.startswith("M1_")]
    keys = {file.removeprefix("M1_").removesuffix(".csv") for file in files if WANTED.fullmatch(file)}
    keys |= {path.stem for path in dataset.folder.glob("masks/*.npz")}
    return sorted((Scenario.parse(key) for key in keys), key=lambda s: (-s.p, -(s.n_full or 0)))


def _look_at_scenario(dataset: Dataset, scenario: Scenario, full: Responses, say: Callable[[str], None]) -> list[str]:
    part = dataset.history(scenario.key, checked=False)  # told as a problem among others
    if not (np.array_equal(part.models, full.models) and np.array_equal(part.questions, full.questions)):
        return ["models or questions are not those of M1"]
    seen, known = part.observed, full.observed
    from_mask = scenario != ALL_OBSERVED and not dataset.has_table(scenario)
    own = read_mask(dataset.mask_path(scenario)) if from_mask else seen
    differing = int((part.scores != full.scores)[seen & known].sum()) + int((seen & ~known).sum())
    n_full, share, z = _compare(own, scenario)
    say(f"  {scenario.key:<20} {n_full:>5} models fully, {share:.6f} of the other entries (p = {scenario.p:g}, "
          f"z = {z:+.1f})")
    problems = [f"{differing} scores are not those of M1"] if differing else []
    wanted = min(scenario.n_full or 0, len(own)) if scenario != ALL_OBSERVED else len(own)
    checkable = from_mask or known.all()  # blanks of M1 itself hide the mask
    if n_full != wanted and checkable:
        problems.append(f"{n_full} models are seen fully, but the name says {wanted}")
    if abs(z) > LARGE_Z and checkable:
        problems.append(f"{share:.6f} of the entries are seen, but the name says {scenario.p:g} (z = {z:+.1f})")
    return problems


def _compare(seen: np.ndarray, scenario: Scenario) -> tuple[int, float, float]:
    """(models seen fully, share seen of the other entries, its distance from p in standard errors)."""
    fully = seen.all(axis=1)
    others = seen[~fully]
    if not others.size or scenario.p == 1:
        return int(fully.sum()), float(others.mean()) if others.size else 1.0, 0.0
    error = np.sqrt(scenario.p * (1 - scenario.p) / others.size)
    return int(fully.sum()), float(others.mean()), float((others.mean() - scenario.p) / error)
