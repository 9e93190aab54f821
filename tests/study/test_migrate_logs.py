"""Old logs are brought over whole, or refused whole."""

import csv
import json
import shutil

import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.study import columns, ledger

SETTING = "beta0=1.0_rho=0.0_gamma=0.0_tau=0.25"
CELL = "board,nfobs=None_p=1.0,50"
OLD = {
    "faq_final": [f"{CELL},{method},without,pooled,{SETTING},{seed},0.0250,30,0.1,0.95,0.002,0.002,50,2,0.2,0.2,0.004,,"
                  for method in ("faq-mix", "faq-mix:B64") for seed in range(2)],
    "faq_final_models": [f"{CELL},faq-mix,without,pooled,{SETTING},0,3,101,0.10 -2.00 1.00"],
    "factor_models_cv": ["board,nfobs=None_p=1.0,map,1,32.0,0,120,100,0.47,0.48,0.78,0.77"],
    "summary": [f"{CELL},faq-mix:B8,without,pooled,{SETTING},0.025{',1' * 16}"],
}
KNOWN = columns.LOGS | columns.TABLES


@pytest.fixture
def logs(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, rows in OLD.items():
        (folder / f"{name}.csv").write_text("\n".join([",".join(KNOWN[name].before), *rows, ""]))
    (folder / "faq_final.json").write_text(json.dumps([{"command": ["faq_final.py"]}]))
    (folder / "another.csv").write_text("a,b\n1,2\n")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_old_logs_are_brought_over(logs, script):
    before = contents(logs)
    said = script("migrate_logs.py", logs, "--dry-run").stdout
    assert f"{logs / 'faq_final.csv'}: 4 rows to migrate" in said and contents(logs) == before
    old = {name: rows_of(logs / f"{name}.csv") for name in OLD}
    script("migrate_logs.py", logs)
    for name in OLD:
        new = rows_of(logs / f"{name}.csv")
        assert tuple(new[0]) == KNOWN[name].header
        for was, now in zip(old[name], new, strict=True):
            assert all(now[column] == was[column] for column in was if column != "method")
            if "method" in was:
                assert was["method"] in (now["method"], f"{now['method']}:B{now['batch']}")
            assert {now[column] for column in KNOWN[name].made_from} <= {"unknown"}
    assert [(row["method"], row["batch"]) for row in rows_of(logs / "faq_final.csv")] == [
        ("faq-mix", "1")] * 2 + [("faq-mix", "64")] * 2
    assert ledger.read(logs / "faq_final.csv", "")["batch"].tolist() == [1, 1, 64, 64]
    assert all(contents(logs)[name] == before[name] for name in ("faq_final.json", "another.csv"))


def test_what_is_migrated_stays(logs, script):
    script("migrate_logs.py", logs)
    before = contents(logs)
    said = script("migrate_logs.py", logs).stdout.splitlines()
    assert len(said) == len(OLD) and all(line.endswith("has today's columns already") for line in said)
    assert contents(logs) == before


def test_a_torn_last_line_is_left_out(logs, script):
    path = logs / "faq_final.csv"
    path.write_bytes(path.read_bytes()[:-20])
    assert "faq_final.csv: 3 rows migrated" in script("migrate_logs.py", logs).stdout
    assert len(rows_of(path)) == 3


def new_row_below(folder):
    old = (folder / "faq_final.csv").read_text()
    parts = OLD["faq_final"][0].split(",")
    (folder / "faq_final.csv").write_text(old + ",".join([*parts[:7], "1", *parts[7:], *["unknown"] * 4]) + "\n")


def header(change):
    def change_it(folder):
        path = folder / "faq_final.csv"
        first, rest = path.read_text().split("\n", 1)
        path.write_text(f"{change(first)}\n{rest}")
    return change_it


def suffix_beside_batch(folder):
    path = folder / "faq_final_models.csv"
    row = f"{CELL},faq-mix:B8,without,pooled,{SETTING},1,0,3,101,0.10 -2.00 1.00,a,b,c,d"
    path.write_text(",".join(KNOWN["faq_final_models"].header) + f"\n{row}\n")


HALF = {
    "a new row below old ones": (new_row_below, "faq_final.csv: line 6 has 26 fields, the header 21"),
    "half a header": (header(lambda text: text.replace("setting,seed", "setting,batch,seed")),
                      "neither the old nor the new ones"),
    "a new header on old rows": (header(lambda text: ",".join(KNOWN["faq_final"].header)), "line 2 has 21 fields"),
    "a column of somebody's": (header(lambda text: f"{text},mine"), "neither the old nor the new ones (mine)"),
    "a suffix beside the column": (suffix_beside_batch, "method 'faq-mix:B8' beside the header with a column batch"),
    "an unknown suffix": (lambda folder: (folder / "faq_final.csv").write_text(
        (folder / "faq_final.csv").read_text().replace(":B64", ":Bx")), "line 4: method 'faq-mix:Bx'"),
    "no line at all": (lambda folder: (folder / "faq_final.csv").write_text("dataset,sce"), "not complete"),
    "no log": (lambda folder: [(folder / f"{name}.csv").unlink() for name in OLD], "holds none of"),
    "no folder": (shutil.rmtree, "holds none of"),
}


@pytest.mark.parametrize("case", HALF)
def test_half_migrated_logs_are_refused_and_nothing_is_written(logs, script, case):
    change, message = HALF[case]
    change(logs)
    before = contents(logs) if logs.is_dir() else None
    done = script("migrate_logs.py", logs, code=2)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
    assert (contents(logs) if logs.is_dir() else None) == before


@pytest.mark.parametrize("name", ["faq_final", "summary"])
def test_old_logs_are_not_read_or_continued(logs, name):
    with pytest.raises(InputError, match=r"to migrate it: python migrate_logs\.py .*logs$"):
        ledger.read(logs / f"{name}.csv", "")
    if name in columns.LOGS:
        with pytest.raises(InputError, match=r"to migrate it: python migrate_logs\.py .*logs$"):
            ledger.Ledger.named(logs, name)


def test_the_committed_logs_have_todays_columns():
    from conftest import ROOT

    from llm_accuracy.study import migration

    for folder in ("logs", "logs/twin"):
        assert all(file.lines is None for file in migration.migrate(ROOT / folder))
