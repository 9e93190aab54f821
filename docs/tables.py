#!/usr/bin/env python3
"""Write the generated tables of the documents: steps, from the scripts' docstrings, commands and figures.

    python docs/tables.py            rewrite the marked sections
    python docs/tables.py --check    exit 1, naming the page, where one is not as the code says

A section lies between <!-- NAME --> and <!-- /NAME --> in a page of PAGES. The first line of a script's docstring is
"Step 7: what it does." or just what it does; the first span of time in the docstring is how long the laptop tier
takes. So a table is corrected by correcting the docstring. Takes seconds.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

sys.path.insert(1, str(ROOT / "figures"))

import draw  # noqa: E402

from llm_accuracy.__main__ import COMMANDS  # noqa: E402

PAGES = ("README.md", "docs/performance.md", "docs/degradation.md", "docs/figures.md")
STEP = re.compile(r"Step (?P<number>\d+[a-z]?): (?P<what>.+)")
NUMBER, UNIT = r"(?:\d+|half an?|an?|one|two|three|tens of)", r"(?:seconds?|minutes?|hours?)"
TIME = re.compile(rf"\b(?:about )?(?:{NUMBER} {UNIT}|seconds|minutes)\b", re.IGNORECASE)


def scripts(*folders: str) -> list[Path]:
    """What is run by `python FILE`: the scripts of the root and of data/ (or of the folders named)."""
    return [path for folder in folders or (".", "data") for path in sorted((ROOT / folder).glob("*.py"))
            if 'if __name__ == "__main__"' in path.read_text()]


def described(path: Path) -> tuple[str, str, str]:
    """(number or "", what it does, how long it takes or "") of a script."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    first, found = doc.partition("\n")[0], TIME.search(doc)
    step = STEP.fullmatch(first)
    what = step["what"] if step else first
    return step["number"] if step else "", what[0].lower() + what[1:].rstrip("."), found[0].lower() if found else ""


def steps() -> list[str]:
    rows = [(*described(path), path.relative_to(ROOT)) for path in scripts()]
    rows.sort(key=lambda row: (not row[0], int(re.sub(r"\D", "", row[0]) or 0), row[0], str(row[3])))
    return ["| # | script | what it does | laptop tier |", "|---|---|---|---|",
            *(f"| {number} | `{path}` | {what} | {time} |" for number, what, time, path in rows)]


def benchmarks() -> list[str]:
    return ["| benchmark | what it answers | takes |", "|---|---|---|",
            *(f"| `{path.relative_to(ROOT)}` | {what} | {time} |"
              for path in scripts("benchmarks") for _, what, time in [described(path)])]


def commands() -> list[str]:
    return ["| command | what it does |", "|---|---|",
            *(f"| `llm-accuracy {name}` | {what} |" for name, (_, what) in COMMANDS.items())]


def figures() -> list[str]:
    rows = []
    for figure in draw.figures().values():
        first = ", ".join(f"`{log.name}`" for log in figure.logs) or "none: computed"
        *before, last = (f"`{command}`" for command in figure.commands or [""])
        made = ", ".join(before) + (", then " if before else "") + last
        rows.append(f"| `{figure.name}{'_*' if figure.per else ''}` | {figure.paper or '(not in the paper)'} "
                    f"| {figure.notebook}, \"{figure.section}\" | {first} | {made if figure.commands else ''} "
                    f"| {figure.per or ''} |")
    return ["| figure (`figures/…`) | in the paper | notebook, section | drawn from | commands that make the log "
            "| one for each |", "|---|---|---|---|---|---|", *rows]


SECTIONS = {"steps": steps, "commands": commands, "benchmarks": benchmarks, "figures": figures}


def renewed(text: str) -> str:
    """A page with its marked sections as the code has them now."""
    for name, make in SECTIONS.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if start in text:
            before, _, rest = text.partition(start)
            after = rest.partition(end)[2]
            text = "".join([before, start, *(line + "\n" for line in make()), end, after])
    return text


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something would change")
    check = parser.parse_args(argv).check
    stale = [page for page in PAGES if renewed((ROOT / page).read_text()) != (ROOT / page).read_text()]
    for page in stale:
        if not check:
            (ROOT / page).write_text(renewed((ROOT / page).read_text()))
        print(f"{page}: {'not what the code says; python docs/tables.py rewrites it' if check else 'rewritten'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
