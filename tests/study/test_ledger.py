"""Result logs survive kills, refuse changed headers, and never compare floats."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.study import ledger
from llm_accuracy.study.columns import Columns
from llm_accuracy.study.ledger import Ledger

COLUMNS = Columns(("scenario", "budget", "seed"), ("width", "note"), ("history", "factors"))
MADE_FROM = {"history": "h", "factors": "f"}


def row(seed, budget=10, width=0.5, **changed):
    return {"scenario": "nfobs=None_p=1.0", "budget": budget, "seed": seed, "width": width, "note": 'a, "b"',
            **MADE_FROM, **changed}


def test_append_and_resume(tmp_path):
    log = Ledger(tmp_path / "new" / "log.csv", COLUMNS)
    log.append([row(0), row(1)])
    again = Ledger(log.path, COLUMNS)
    assert len(again) == 2 and row(1) in again and row(2) not in again
    again.append([row(2)])
    assert again.get(row(2))["note"] == 'a, "b"'
    table = ledger.read(log.path, "x.py")
    assert table["scenario"].tolist() == ["nfobs=None_p=1.0"] * 3 and table["width"].tolist() == [0.5] * 3
    with pytest.raises(ValueError, match="there already"):
        again.append([row(2)])


def test_torn_last_line_is_cut_off(tmp_path):
    log = Ledger(tmp_path / "log.csv", COLUMNS)
    log.append([row(0), row(1)])
    whole = log.path.read_bytes()
    for cut in range(whole.index(b"\n") + 2, len(whole)):
        log.path.write_bytes(whole[:cut])
        survivor = Ledger(log.path, COLUMNS)
        assert len(survivor) == whole[:cut].count(b"\n") - 1
        survivor.append([row(seed) for seed in (0, 1) if row(seed) not in survivor])
        assert log.path.read_bytes() == whole


def test_torn_header_is_begun_again(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("scenario,bud")
    log = Ledger(path, COLUMNS)
    log.append([row(0)])
    assert len(Ledger(path, COLUMNS)) == 1


def test_changed_headers_and_foreign_files_are_refused_untouched(tmp_path):
    path = tmp_path / "log.csv"
    for text, message in (("scenario,budget,seed,width\n", "header has changed [(]factors, history, note"),
                          ("budget,scenario,seed,width,note,history,factors\n", "order of the columns"),
                          ("something else", "not a result log"),
                          ("scenario,budget,seed,width,note,history,factors\na,1,2\n", "line 2 has 3 fields")):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            Ledger(path, COLUMNS)
        assert path.read_text() == text


def test_sidecar_says_what_made_the_log(tmp_path):
    for seed in range(2):
        Ledger(tmp_path / "log.csv", COLUMNS).append([row(seed)])
    runs = json.loads((tmp_path / "log.json").read_text())
    assert len(runs) == 2 and {"command", "version", "packages", "device", "started"} <= set(runs[0])


def test_shards_merge(tmp_path):
    parts = [Ledger(tmp_path / f"part{i}.csv", COLUMNS) for i in range(2)]
    parts[0].append([row(0), row(2)])
    parts[1].append([row(1), row(2)])
    whole = Ledger(tmp_path / "log.csv", COLUMNS)
    assert ledger.merge(whole, [part.path for part in parts]) == 3
    assert ledger.merge(whole, [part.path for part in parts]) == 0


def test_a_row_of_other_data_is_refused(tmp_path):
    log = Ledger(tmp_path / "log.csv", COLUMNS)
    log.append([row(0), row(1, history="unknown")])
    assert log.find(row(0), MADE_FROM)["width"] == "0.5" and log.find(row(2), MADE_FROM) is None
    with pytest.raises(InputError, match=r"in another way [(]factors f, now g[)]; choose another --logs-dir"):
        log.find(row(0), MADE_FROM | {"factors": "g"})
    for made_from in (MADE_FROM, MADE_FROM | {"factors": "g"}):
        with pytest.raises(InputError, match="computed from is unknown: it can be drawn, not continued; choose an"):
            log.find(row(1), made_from)


@pytest.mark.parametrize("other", [row(0, history="g"), row(1, history="g"), row(1, factors="unknown")])
def test_shards_of_other_data_are_not_merged(tmp_path, other):
    """Neither over a row that is there nor beside it."""
    whole, part = Ledger(tmp_path / "log.csv", COLUMNS), Ledger(tmp_path / "part.csv", COLUMNS)
    whole.append([row(0)])
    part.append([row(2), other])
    before = whole.path.read_bytes()
    with pytest.raises(InputError, match=r"part.csv: .* not made from the same (history|factors) as"):
        ledger.merge(whole, [part.path])
    assert whole.path.read_bytes() == before


def test_absent_log_names_the_script(tmp_path):
    with pytest.raises(InputError, match=r"python faq_final\.py makes it"):
        ledger.read(tmp_path / "log.csv", "faq_final.py")


WRITER = """
import sys
from llm_accuracy.study.columns import Columns
from llm_accuracy.study.ledger import Ledger
log = Ledger(sys.argv[1], Columns(("seed",), ("text",)))
for seed in range(2000):
    if {"seed": seed} not in log:
        log.append([{"seed": seed, "text": "x" * 200}])
"""


def test_kill_at_any_moment_loses_at_most_the_row_in_flight(tmp_path):
    """Ten kills at odd moments, then a run to the end: every row once, in order."""
    path = tmp_path / "log.csv"
    command = [sys.executable, "-c", WRITER, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    for kill in range(10):
        process = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + 30
        known = path.stat().st_size if path.exists() else 0
        while time.monotonic() < deadline and (path.stat().st_size if path.exists() else 0) <= known + 997 * kill:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=environment, check=True)
    assert ledger.read(path, "")["seed"].tolist() == list(range(2000))
