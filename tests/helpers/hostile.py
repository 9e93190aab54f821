"""A list of hostile inputs for every script, and a way to run them: one line on stderr, exit code 2, nothing written.

python tests/helpers/hostile.py FOLDER        makes a small study there, runs the list, says what was not clean
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from llm_accuracy import cli  # noqa: E402

CELL = ["--datasets", "bank", "--scenarios", "nfobs=None_p=1.0"]
TRIALS = {
    "faq_final.py": ["--budgets", "10", "--seeds", "1"],
    "faq_val.py": ["--budgets", "10", "--seeds", "1"],
    "baselines_all.py": ["--budgets", "10", "--seeds", "1"],
    "ablations_all.py": ["--budgets", "10", "--seeds", "1", "--taus", ".5"],
}
FITS = {
    "factor_models_cv.py": ["--ranks", "1", "--folds", "2", "--epochs", "2"],
    "factor_models_val.py": ["--rank", "1", "--weight-decay", "1", "--epochs", "2"],
    "factor_models_final.py": ["--rank", "1", "--weight-decay", "1", "--epochs", "2"],
}
LOG = {
    "faq_final.py": "faq_final",
    "faq_val.py": "faq_val",
    "baselines_all.py": "baselines_all",
    "ablations_all.py": "ablations_all",
    "factor_models_cv.py": "factor_models_cv",
}


@dataclass(frozen=True)
class Case:
    """One command in a copy of the study, after `spoil` has had its way with the folder."""

    name: str
    script: str
    words: tuple[str, ...]
    spoil: Callable[[Path], object] = lambda folder: None


def run(script: str, *words: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a script, in this process."""
    if (folder := str((ROOT / script).parent)) not in sys.path:  # where Python looks for a script's neighbours
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location("script", ROOT / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, [script, *map(str, words)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.run(lambda _: module.main(list(map(str, words))))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            err.write(end.code)
    except BaseException as error:
        code = 1
        err.write(f"Traceback: {type(error).__name__}: {error}")
    finally:
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()


def make(folder: Path) -> None:
    """A study in miniature: 30 models, 60 questions."""
    where = ["--data-dir", folder / "data"]
    logs = [*where, "--logs-dir", folder / "logs"]
    steps = [
        ("data/simulate_leaderboard.py", *where, "--dataset", "bank", "--models", 60, "--questions", 100),
        *((script, *CELL, *logs, *words) for script, words in (FITS | TRIALS).items()),
        ("faq_coverage.py", *CELL, *logs),
        ("summarize_results.py", "--logs-dir", folder / "logs"),
    ]
    for script, *words in steps:
        code, _, said = run(script, *words)
        if code:
            raise RuntimeError(f"{script}: {said}")


def _bytes(name: str, content: bytes) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return write


def _folder(name: str) -> Callable[[Path], object]:
    def make_folder(folder: Path) -> None:
        path = folder / name
        if path.is_file():
            path.unlink()
        path.mkdir(parents=True)

    return make_folder


def _cut(name: str, share: float) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: int(share * (folder / name).stat().st_size)]
    )


def _edit(name: str, old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes().replace(old, new, 1))


def _twice(name: str) -> Callable[[Path], object]:
    def repeat(folder: Path) -> None:
        text = (folder / name).read_bytes()
        (folder / name).write_bytes(text + text.splitlines(keepends=True)[-1])

    return repeat


def _factors(which: str, **changed: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / f"logs/factor_models/bank/nfobs=None_p=1.0_{which}.npz"
        with np.load(path) as stored:
            parts = {name: stored[name] for name in stored.files}
        for name, value in changed.items():
            parts[name] = value(parts[name]) if callable(value) else value
        np.savez(path, **{name: value for name, value in parts.items() if value is not None})

    return change


def _spoilt(part: np.ndarray, value: object) -> np.ndarray:
    part = part.astype(complex if isinstance(value, complex) else part.dtype)
    part.flat[0] = value
    return part


BAD_FACTORS: dict[str, dict[str, object]] = {
    "NaN": {"V": lambda v: _spoilt(v, np.nan)},
    "infinite": {"U": lambda u: _spoilt(u, np.inf)},
    "complex": {"V": lambda v: _spoilt(v, 1j)},
    "rank 0": {"U": lambda u: u[:, :0], "V": lambda v: v[:, :0]},
    "few rows": {"V": lambda v: v[:3]},
    "no rows": {"U": lambda u: u[:0]},
    "mean 2": {"history_mean": lambda m: m + 2},
    "mean NaN": {"history_mean": lambda m: m * np.nan},
    "no mean": {"history_mean": None},
    "text": {"V": lambda v: v.astype(str)},
    "vector": {"V": lambda v: v[:, 0]},
    "ranks": {"U": lambda u: np.hstack([u, u])},
    "about": {"about": np.array("[1")},
    "about list": {"about": np.array("[]")},
    "deep": {"about": np.array("[" * 10**5)},
    "other questions": {"questions": lambda q: np.roll(q, 1)},
}
BAD_FLAGS = {
    "--seeds": ["0", "-1", "x", "1e3", "nan", "9" * 5000, "10000000000"],
    "--budgets": ["0", "-3", "x", "101%", "10**9", "5 %", "nan"],
    "--shard": ["1/1", "a/b", "-1/2", "1", "1/0"],
    "--models": ["0", "x"],
    "--datasets": ["../x", "absent", "", "x" * 300, "a/b", "."],
    "--scenarios": ["x", "nfobs=1_p=2", "nfobs=None_p=.5", "nfobs=1_p=nan"],
    "--device": ["tpu"],
    "--tier": ["mine"],
}


def cases() -> Iterator[Case]:
    for script, words in (FITS | TRIALS).items():
        yield from _flags(script, words)
        yield from _files(script, words)
    for which, script in (("final", "faq_final.py"), ("val", "faq_val.py")):
        for name, changed in BAD_FACTORS.items():
            yield Case(f"factors {name}", script, (*CELL, *TRIALS[script], "--seeds", "2"), _factors(which, **changed))
        for name, spoil in (("cut", 0.5), ("empty", 0), ("folder", None)):
            path = f"logs/factor_models/bank/nfobs=None_p=1.0_{which}.npz"
            yield Case(
                f"factors {name}",
                script,
                (*CELL, *TRIALS[script]),
                _folder(path) if spoil is None else _cut(path, spoil),
            )
    yield from _values()
    yield from _others()


def _flags(script: str, words: list[str]) -> Iterator[Case]:
    known = (ROOT / script).read_text()
    for flag, values in BAD_FLAGS.items():
        if script in FITS and flag in ("--seeds", "--budgets", "--models"):
            continue
        for value in values:
            yield Case(f"{flag} {value[:12]}", script, (*CELL, *words, flag, value))
    if "--policies" in known:
        yield Case(
            "policy twice",
            script,
            (*CELL, *words, "--policies", *2 * ["uniform+factors" if "final" in script else "srs"]),
        )


def _files(script: str, words: list[str]) -> Iterator[Case]:
    given = (*CELL, *words)
    new = (*given, *(("--seeds", "2") if script in TRIALS else ("--epochs", "3")))
    for file in ("M1",) if script in FITS or script == "faq_val.py" else ("M1", "M2"):  # what a script reads
        path = f"data/bank/{file}.csv"
        for name, spoil in {
            "absent": lambda folder, path=path: (folder / path).unlink(),
            "folder": _folder(path),
            "cut": _cut(path, 0.5),
            "empty": _bytes(path, b""),
            "not UTF-8": _bytes(path, b"model,q\xff\nm,1\n"),
            "zeros": _bytes(path, b"\0" * 1000),
            "letters": _edit(path, b",1,", b",x,"),
            "two": _edit(path, b",1,", b",2,"),
            "UTF-16": _bytes(path, "model,q1\nm,1\n".encode("utf-16")),
        }.items():
            yield Case(f"{file} {name}", script, new, spoil)
    if script in LOG:
        path = f"logs/{LOG[script]}.csv"
        for name, spoil in {
            "folder": _folder(path),
            "not UTF-8": lambda folder, path=path: (folder / path).write_bytes(
                (folder / path).read_bytes() + b"\xff,\n"
            ),
            "zeros": _bytes(path, b"\0" * 1000 + b"\n"),
            "other header": _edit(path, b"dataset", b"board"),
            "repeated": _twice(path),
            "short row": lambda folder, path=path: (folder / path).write_bytes((folder / path).read_bytes() + b"a,b\n"),
            "lock folder": _folder(f"logs/.{LOG[script]}.csv.lock"),
        }.items():
            yield Case(f"log {name}", script, new, spoil)
    yield Case("logs-dir a file", script, (*new, "--logs-dir", "{}/data/bank/M1.csv/x"))
    yield Case("logs-dir in /proc", script, (*new, "--logs-dir", "/proc/nowhere"))
    yield Case("logs-dir too long", script, (*new, "--logs-dir", "{}/" + 300 * "x"))
    yield Case("data-dir a file", script, (*new, "--data-dir", "{}/data/bank/M1.csv"))
    yield Case("data-dir too long", script, (*new, "--data-dir", "{}/" + 300 * "x"))


def _values() -> Iterator[Case]:
    for script in ("factor_models_val.py", "factor_models_final.py"):
        for value in ("nan", "inf", "-1", "x", "1e400", ""):
            yield Case(f"weight decay {value}", script, (*CELL, "--rank", "1", "--weight-decay", value))
        yield Case("rank too large", script, (*CELL, "--rank", "1000", "--weight-decay", "1"))
        yield Case("rank alone", script, (*CELL, "--rank", "1"))
    for words in (
        ("--weight-decays", "nan"),
        ("--weight-decays", "-1"),
        ("--ranks", "1", "1"),
        ("--folds", "1"),
        ("--folds", "1000"),
        ("--ranks", "0"),
        ("--ranks", "500"),
        ("--weight-decays", "1", "1.0"),
    ):
        yield Case(" ".join(words), "factor_models_cv.py", (*CELL, *FITS["factor_models_cv.py"], *words))
    for tau in ("-1", "2", "nan", "x"):
        yield Case(f"tau {tau}", "ablations_all.py", (*CELL, *TRIALS["ablations_all.py"], "--taus", tau))
    for setting in (
        "beta0=2.0_rho=0.0_gamma=0.0_tau=0.05",
        "beta0=nan_rho=0.0_gamma=0.0_tau=0.05",
        "x",
        "beta0=1.0_rho=inf_gamma=0.0_tau=0.05",
        "beta0=1.0_rho=0.0_gamma=0.0_tau=0",
    ):
        yield Case(
            f"setting {setting}",
            "faq_final.py",
            (*CELL, *TRIALS["faq_final.py"], "--policies", "faq", "--setting", setting),
        )


def _others() -> Iterator[Case]:
    split = ("data/bank/M1.csv", "--dataset")
    matrix = "{}/data/bank/M1.csv"
    for name, words in {
        "../x": ("../x",),
        "share .01": ("new", "--share", ".01"),
        "share nan": ("new", "--share", "nan"),
        "share 1": ("new", "--share", "1"),
        "share 0": ("new", "--share", "0"),
        "long": ("x" * 300,),
        "family": ("new", "--leave-out", "none"),
        "from": ("new", "--from", "x"),
        "info": ("new", "--model-info", "{}/none.csv"),
        "bank": ("new", "--bank", "{}"),
    }.items():
        yield Case(f"{split[1]} {name}", "data/split_history.py", (matrix, "--dataset", *words))
    for name, content in {
        "bytes": bytes(range(256)) * 9,
        "gz": b"\x1f\x8b" + b"\0" * 50,
        "deep": b"[" * 10**5,
        "zlib": zlib.compress(b"x" * 1000),
        "quote": b'model,q1,q2\n"a,1,0\n',
    }.items():
        for end in ("csv", "csv.gz"):
            yield Case(
                f"matrix {name}.{end}",
                "data/split_history.py",
                (f"{{}}/bad.{end}", "--dataset", "new"),
                _bytes(f"bad.{end}", content),
            )
            yield Case(
                f"matrix {name}.{end}", "leave_one_family_out.py", (f"{{}}/bad.{end}",), _bytes(f"bad.{end}", content)
            )
    for words in (
        ("--models", "1"),
        ("--questions", "0"),
        ("--share", "2"),
        ("--seed", "-1"),
        ("--dataset", "../x"),
        ("--dataset", ""),
        ("--from-factors", "{}/none"),
        ("--data-dir", "/proc/x"),
    ):
        yield Case(" ".join(words), "data/simulate_leaderboard.py", ("--data-dir", "{}/new", *words))
    for words in (
        ("--logs-dir", "{}/none"),
        ("--datasets", "none"),
        ("--merge", "{}/none"),
        ("--compare", "{}/none"),
        ("--as", "x", "--compare", "{}"),
        ("--figure", "/proc/x/y"),
        ("--figure", ""),
        ("--merge", "{}/data"),
    ):
        yield Case(" ".join(words), "summarize_results.py", ("--logs-dir", "{}/logs", *words))
    budgets = (b"dataset,prop_budget\nmmlu-pro,abc\n", b"dataset,prop_budget\nmmlu-pro,inf\n")
    for table in (b"", b"\n", b"\xff\xfe", b'a,b\n"x', *budgets):
        words = ("--logs-dir", "{}/logs", "--compare", "{}/paper", "--as", "mmlu-pro")
        yield Case(f"published {table!r:.20}", "summarize_results.py", words, _bytes("paper/faq_summary.csv", table))
    more = ("--seeds", "9", "--budgets", "10")
    for words in (("--workers", "0"), ("--workers", "2", "--part-dir", "{}/p"), ("--workers", "2", "--shard", "2/2"),
                  ("--part-dir", "{}/p", "--restart"), ("--part-dir", "{}/data/bank/M1.csv")):
        for script in ("faq_final.py", "baselines_all.py"):
            yield Case(" ".join(words), script, (*CELL, *more, *words))
    for spoil in (_bytes("p/faq_final.csv", b"x\n"), _folder("p/faq_final.csv")):
        yield Case("part", "faq_final.py", (*CELL, *more, "--part-dir", "{}/p"), spoil)
    path, logs = "logs/faq_final.csv", ("--logs-dir", "{}/logs", "--data-dir", "{}/data")
    for name, spoil in {"bytes": _bytes(path, b"\xff\n"), "letters": _edit(path, b",10,", b",ten,"),
                        "policy": _edit(path, b",rounds,", b",sounds,"),
                        "setting": _edit(path, b"beta0=", b"beta1=")}.items():
        yield Case(f"repro {name}", "benchmarks/repro.py", (*logs, "--share", "1"), spoil)
    for words in (("--share", "nan"), ("--seed", "-1"), ("--data-dir", "{}/none"), ("--factors-dir", "{}/none")):
        yield Case(" ".join(words), "benchmarks/repro.py", (*logs, *words))
    for script, tables in (
        ("summarize_results.py", ("faq_final", "baselines_all")),
        ("faq_coverage.py", ("faq_final_models", "faq_coverage")),
    ):
        for table in tables:
            path = f"logs/{table}.csv"
            for name, spoil in {
                "folder": _folder(path),
                "zeros": _bytes(path, b"\0\n" * 9),
                "header": _edit(path, b"dataset", b"board"),
                "twice": _twice(path),
                "bytes": _bytes(path, bytes(range(256)) * 3 + b"\n"),
                "letters": _edit(path, b",10,", b",ten,"),
            }.items():
                if table in ("faq_final_models",) or name != "folder":  # another log serves the summary
                    yield Case(
                        f"{table} {name}", script, (*(CELL if "cov" in script else ()), "--logs-dir", "{}/logs"), spoil
                    )
    yield Case("summary a folder", "summarize_results.py", ("--logs-dir", "{}/logs"), _folder("logs/summary.csv"))
    yield Case("coverage a folder", "faq_coverage.py", (*CELL,), _folder("logs/faq_coverage.csv"))
    yield Case("empty", "migrate_logs.py", ("{}/data",))
    yield Case("absent", "migrate_logs.py", ("{}/none",))
    yield Case("absent", "boards.py", ("{}/none",))
    yield Case("nothing", "boards.py", ("{}/logs", "--boards", "x"))
    for name, spoil in {
        "folder": _folder("data/bank/masks/nfobs=1_p=0.1.npz"),
        "zeros": _bytes("data/bank/masks/nfobs=1_p=0.1.npz", b"\0" * 99),
    }.items():
        yield Case(
            f"mask {name}",
            "data/simulate_missingness.py",
            ("--datasets", "bank", "--scenarios", "nfobs=1_p=0.1"),
            spoil,
        )
    for value in ("../x", "none", "x" * 300):
        yield Case(f"--datasets {value[:9]}", "data/simulate_missingness.py", ("--datasets", value))
        yield Case(f"--datasets {value[:9]}", "data/unpack.py", ("--datasets", value))


def state(folder: Path) -> dict[str, str]:
    """What is in a folder: path → content, caches aside."""
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if ".cache" not in path.parts
    }


def verdict(case: Case, study: Path, scratch: Path) -> str | None:
    """What was not clean about a case, or None."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(study, scratch)
    case.spoil(scratch)
    words = [word.replace("{}", str(scratch)) for word in case.words]
    if (
        "--data-dir" not in words
        and "split" not in case.script
        and case.script not in ("summarize_results.py", "migrate_logs.py", "boards.py", "leave_one_family_out.py")
    ):
        words += ["--data-dir", str(scratch / "data")]
    if "split" in case.script:
        words += ["--data-dir", str(scratch / "data")]
    if "--logs-dir" not in words and not case.script.startswith("data/") and case.script != "migrate_logs.py":
        words += ["--logs-dir", str(scratch / "logs")]
    before = state(scratch)
    code, _, said = run(case.script, *words)
    if code != 2:
        return f"exit code {code}: {said.strip()[-300:]}"
    if len(said.strip().splitlines()) != 1:
        return f"{len(said.strip().splitlines())} lines: {said.strip()[-300:]}"
    after = state(scratch)
    if after != before:
        return f"written: {sorted(set(after.items()) ^ set(before.items()))[:3]}"
    return None


def main() -> int:
    folder = Path(sys.argv[1])
    study = folder / "study"
    if not study.is_dir():
        make(study)
    found = list(cases())
    bad = 0
    for i, case in enumerate(found):
        if problem := verdict(case, study, folder / f"scratch{os.getpid()}"):
            bad += 1
            print(f"{case.script} {case.name}: {problem}", flush=True)
        if i % 50 == 49:
            print(f"{i + 1} run", flush=True)
    print(f"{len(found) - bad} of {len(found)} clean")
    return int(bad > 0.02 * len(found))


if __name__ == "__main__":
    sys.exit(main())
