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
from llm_accuracy.study.ledger import Ledger

KEY, COLUMNS = ("scenario", "budget", "seed"), ("width", "note")


def row(seed, budget=10, width=0.5):
    return {"scenario": "nfobs=None_p=1.0", "budget": budget, "seed": seed, "width": width, "note": 'a, "b"'}


def test_append_and_resume(tmp_path):
    log = Ledger(tmp_path / "new" / "log.csv", KEY, COLUMNS)
    log.append([row(0), row(1)])
    again = Ledger(log.path, KEY, COLUMNS)
    assert len(again) == 2 and row(1) in again and row(2) not in again
    again.append([row(2)])
    assert again.get(row(2))["note"] == 'a, "b"'
    table = ledger.read(log.path, "x.py")
    assert table["scenario"].tolist() == ["nfobs=None_p=1.0"] * 3 and table["width"].tolist() == [0.5] * 3
    with pytest.raises(ValueError, match="there already"):
        again.append([row(2)])


def test_torn_last_line_is_cut_off(tmp_path):
    log = Ledger(tmp_path / "log.csv", KEY, COLUMNS)
    log.append([row(0), row(1)])
    whole = log.path.read_bytes()
    for cut in range(whole.index(b"\n") + 2, len(whole)):
        log.path.write_bytes(whole[:cut])
        survivor = Ledger(log.path, KEY, COLUMNS)
        assert len(survivor) == whole[:cut].count(b"\n") - 1
        survivor.append([row(seed) for seed in (0, 1) if row(seed) not in survivor])
        assert log.path.read_bytes() == whole


def test_torn_header_is_begun_again(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("scenario,bud")
    log = Ledger(path, KEY, COLUMNS)
    log.append([row(0)])
    assert len(Ledger(path, KEY, COLUMNS)) == 1


def test_changed_headers_and_foreign_files_are_refused_untouched(tmp_path):
    path = tmp_path / "log.csv"
    for text, message in (("scenario,budget,seed,width\n", "header has changed [(]note"),
                          ("budget,scenario,seed,width,note\n", "order of the columns"),
                          ("something else", "not a result log"),
                          ("scenario,budget,seed,width,note\na,1,2\n", "line 2 has 3 fields")):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            Ledger(path, KEY, COLUMNS)
        assert path.read_text() == text


def test_sidecar_says_what_made_the_log(tmp_path):
    for seed in range(2):
        Ledger(tmp_path / "log.csv", KEY, COLUMNS).append([row(seed)])
    runs = json.loads((tmp_path / "log.json").read_text())
    assert len(runs) == 2 and {"command", "version", "packages", "device", "started"} <= set(runs[0])


def test_shards_merge(tmp_path):
    parts = [Ledger(tmp_path / f"part{i}.csv", KEY, COLUMNS) for i in range(2)]
    parts[0].append([row(0), row(2)])
    parts[1].append([row(1), row(2)])
    whole = Ledger(tmp_path / "log.csv", KEY, COLUMNS)
    assert ledger.merge(whole, [part.path for part in parts]) == 3
    assert ledger.merge(whole, [part.path for part in parts]) == 0


def test_absent_log_names_the_script(tmp_path):
    with pytest.raises(InputError, match=r"python faq_final\.py makes it"):
        ledger.read(tmp_path / "log.csv", "faq_final.py")


WRITER = """
import sys
from llm_accuracy.study.ledger import Ledger
log = Ledger(sys.argv[1], ("seed",), ("text",))
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
