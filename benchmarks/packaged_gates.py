"""What do packaged gates say to hostile inputs, beside `llm-accuracy pair`, and what is right?

    python benchmarks/packaged_gates.py                             about two minutes, with statgate and abeval from pip
    python benchmarks/packaged_gates.py --page docs/degradation.md  also into a page, between its marks
    python benchmarks/packaged_gates.py --venv FOLDER               where the two are installed, and kept

The two are installed into a virtual environment of their own, never into that of the project. Where they cannot be, the
script says so in a line, leaves the page as it is, and exits with 0. Inputs are made here, without chance; every
command is run as a user would run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.files import around, put_between

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"statgate": "0.1.1", "abeval": "0.1.0"}
MARK = "packaged gates"
REPEATS = 1_000  # of abeval's bootstrap and sign flips, which are loops in Python


@dataclass(frozen=True)
class Case:
    """One hostile input: {item: score} of both models, clusters if items are not independent, flags of `pair`, what is
    wrong with it, and what is right."""

    name: str
    baseline: dict[str, float]
    candidate: dict[str, float]
    right: str
    flags: tuple[tuple[str, ...], ...] = ((),)
    clusters: dict[str, str] = field(default_factory=dict)


def cases() -> list[Case]:
    items = [f"q{i:04d}" for i in range(4_000)]
    right = {item: float(i % 10 < 8) for i, item in enumerate(items)}
    gone = {item for item in items if right[item]}
    gone = set(sorted(gone)[:196])
    small = items[:400]
    flat = dict.fromkeys(items[:268], 1.0)
    documents = {item: f"d{i // 20}" for i, item in enumerate(items[:1_200])}
    lost, gained = {f"d{i}" for i in range(5)}, {"d5"}
    first = {item: float(documents[item] not in gained) for item in documents}
    second = {item: float(documents[item] not in lost) for item in documents}
    errors = {item: 0.05 + 0.01 * (i % 11) for i, item in enumerate(small)}
    return [
        Case("196 of 4,000 answers are missing, all to questions that the baseline got right", right,
             {item: score for item, score in right.items() if item not in gone},
             "counted wrong, they are a drop of 4.9 points: not safe", ((), ("--max-excluded", "0.05"))),
        Case("scores of the baseline from 0 to 1, of the candidate from 0 to 100; it lost 28 of 400",
             {item: right[item] for item in small},
             {item: 100 * right[item] * (i >= 35) for i, item in enumerate(small)},
             "on one scale the drop is 7 points: degraded, or no verdict",
             ((), ("--range", "0", "100"))),
        Case("268 questions, none of which flips, for a margin of 1 point", flat, dict(flat),
             "a drop of 1 point shows no flip in .99^268 = 6.8 % of such runs: undecided at 5 %", (("--allow-same",),)),
        Case("1,200 questions on 60 documents, which are lost (5) or gained (1) as a whole", first, second,
             "six independent events, five of them losses, p = 7/64 = .109: undecided", clusters=documents),
        Case("error rates, where lower is better, that rise by 6 points on each of 400 questions", errors,
             {item: score + 0.06 for item, score in errors.items()}, "degraded", (("--higher-is-better", "false"),)),
    ]


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--venv", type=Path, metavar="FOLDER", default=ROOT / "local" / "packaged_gates",
                        help="the virtual environment (default: local/packaged_gates)")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"with <!-- {MARK} --> and <!-- /{MARK} -->")
    args = parser.parse_args(argv)
    if args.page:
        around(args.page, MARK)  # said before the work, not after it
    problem = install(args.venv)
    if problem:
        print(f"skipped: {' and '.join(PACKAGES)} could not be installed into {args.venv}: {problem}")
        return
    body = table(args.venv / "bin")
    print(body)
    if args.page:
        put_between(args.page, MARK, f"`python benchmarks/packaged_gates.py`\n\n{body}\n")


def install(venv: Path) -> str | None:
    """Make the virtual environment, unless it is there; the reason why that is not possible."""
    python = venv / "bin" / "python"
    wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
    for command in ([sys.executable, "-m", "venv", str(venv)] if not python.exists() else None,
                    [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", *wanted]):
        if command is None:
            continue
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return str(error)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            return said[-1]
    return None


def table(bin_folder: Path) -> str:
    heads = ["hostile input", *(f"{name} {version}" for name, version in PACKAGES.items()), "`pair`", "right"]
    rows = [heads, ["---"] * len(heads)]
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            write(case, Path(folder))
            rows.append([case.name, of_statgate(bin_folder, folder), of_abeval(bin_folder, folder),
                         "; ".join(of_pair(case, folder)), case.right])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def write(case: Case, folder: Path) -> None:
    """baseline and candidate as .jsonl, for the packaged gates, and as .csv, for `pair`."""
    for name, scores in (("baseline", case.baseline), ("candidate", case.candidate)):
        lines = [json.dumps({"id": item, "score": score}) for item, score in scores.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        rows = ["prompt_id,score" + (",cluster" if case.clusters else "")]
        rows += [f"{item},{score!r}" + (f",{case.clusters[item]}" if case.clusters else "")
                 for item, score in scores.items()]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")


def of_statgate(bin_folder: Path, folder: str) -> str:
    done = ran([bin_folder / "statgate", "compare", "baseline.jsonl", "candidate.jsonl", "--margin", ".01",
                "--seed", "0", "--format", "json"], folder)
    if not done.stdout.startswith("{"):
        return f"exit {done.returncode}: {one_line(done)}"
    found = json.loads(done.stdout)
    low, high = found["interval"]["low"], found["interval"]["high"]
    return f"{found['verdict']}, change {numbers(found['mean_diff'], low, high)}"


def of_abeval(bin_folder: Path, folder: str) -> str:
    done = ran([bin_folder / "abeval", "compare", "baseline.jsonl", "candidate.jsonl", "--seed", "0", "--reps",
                str(REPEATS), "--json"], folder)
    if not done.stdout.startswith("{"):
        return f"exit {done.returncode}: {one_line(done)}"
    found = json.loads(done.stdout)
    return (f"change {numbers(found['diff'], found['ci_lo'], found['ci_hi'])}, "
            f"p = {found['p_permutation']:.3f}")


def of_pair(case: Case, folder: str) -> list[str]:
    """What `pair` says, once for each of the case's flags."""
    said = []
    for flags in case.flags:
        done = ran([sys.executable, "-m", "llm_accuracy", "pair", "baseline.csv", "candidate.csv", *flags], folder)
        line = one_line(done) if done.returncode else done.stdout.partition("\n")[0]
        said.append((f"with `{' '.join(flags)}`: " if flags else "") + line)
    return said


def ran(command: list, folder: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})


def one_line(done: subprocess.CompletedProcess) -> str:
    """The last line of an error."""
    return ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1]


def numbers(change: float, low: float, high: float) -> str:
    return f"{change:+.4g} [{low:+.4g}, {high:+.4g}]"


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
