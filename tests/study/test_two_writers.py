"""One log, several processes: one writes, the others are told who, readers never write, repeated rows are seen."""

import multiprocessing
import os
import subprocess
import sys
import time
from argparse import Namespace

import pytest
from conftest import ROOT

from llm_accuracy import files, locks
from llm_accuracy.errors import InputError
from llm_accuracy.study import ledger, migration
from llm_accuracy.study.columns import LOGS, Columns
from llm_accuracy.study.ledger import Ledger

COLUMNS = Columns(("scenario", "seed"), ("width",), ("history",))
HOLD = """
import sys
from llm_accuracy import locks
with locks.writing(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def row(seed, width=0.5, history="h"):
    return {"scenario": "all", "seed": seed, "width": width, "history": history}


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "logs" / "log.csv"], cwd=ROOT,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_writer_is_told_who_is_at_it_and_a_kill_lets_go(tmp_path, holder):
    log = tmp_path / "logs" / "log.csv"
    with pytest.raises(InputError, match=f"is being written by process {holder.pid} on .*log.csv"), locks.writing(log):
        pass
    Ledger(log, COLUMNS)  # readers need no lock
    holder.kill()
    holder.wait()
    with locks.writing(log), locks.writing(log):  # whoever holds it may enter again
        assert os.listdir(log.parent) == [".log.csv.lock"]
    assert os.listdir(log.parent) == []


def test_a_folder_made_for_a_lock_goes_where_nothing_was_written(tmp_path):
    with locks.writing(tmp_path / "new" / "logs" / "log.csv"):
        assert (tmp_path / "new" / "logs").is_dir()
    assert not (tmp_path / "new").exists()


def _write(folder, start):
    @ledger.writes("log")
    def run(args):
        log = Ledger(args.logs_dir / "log.csv", COLUMNS)
        for seed in range(50):
            if row(seed) not in log:
                log.append([row(seed)])

    start.wait()
    while True:
        try:
            run(Namespace(logs_dir=folder, dry_run=False))
            return
        except InputError:
            time.sleep(0.01)


def test_equal_commands_at_once_leave_every_trial_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    runs = [context.Process(target=_write, args=(tmp_path, start)) for _ in range(3)]
    for run in runs:
        run.start()
    start.set()
    for run in runs:
        run.join(60)
        assert run.exitcode == 0
    assert len(Ledger(tmp_path / "log.csv", COLUMNS)) == 50
    assert (tmp_path / "log.csv").read_bytes().count(b"\n") == 51


def test_readers_leave_a_torn_line_to_the_writer(tmp_path):
    log = Ledger(tmp_path / "log.csv", COLUMNS)
    log.append([row(0), row(1)])
    torn = log.path.read_bytes() + b"all,2,.5"
    log.path.write_bytes(torn)
    again = Ledger(log.path, COLUMNS)
    assert len(again) == 2 and len(ledger.read(log.path, "x.py")) == 2 and log.path.read_bytes() == torn
    again.append([row(2)])
    assert len(Ledger(log.path, COLUMNS)) == 3


def test_a_full_disk_leaves_whole_rows_only(tmp_path):
    script = f"""
import resource, signal
from llm_accuracy.study.ledger import Ledger
from llm_accuracy.study.columns import Columns
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = Ledger({str(tmp_path / "log.csv")!r}, Columns(("scenario", "seed"), ("width",), ("history",)))
row = lambda seed: {{"scenario": "all", "seed": seed, "width": .5, "history": "h"}}
log.append([row(0)])
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    log.append([row(seed) for seed in range(1, 100)])
except ValueError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True)
    assert "log.csv: cannot be written (File too large)" in said.stdout and not said.stderr
    assert len(Ledger(tmp_path / "log.csv", COLUMNS)) == 1


def test_repeated_rows_are_refused_and_migrated_where_they_are_alike(tmp_path):
    columns = LOGS["factor_models_cv"]
    text = ",".join(columns.header) + "\n" + 2 * ("s,nfobs=None_p=1.0,map,1,1.0,0,10,5,.5,.5,.5,.5,h,f\n")
    path = tmp_path / "factor_models_cv.csv"
    path.write_text(text)
    for read in (lambda: Ledger(path, columns), lambda: ledger.read(path, "x.py"),
                 lambda: ledger.merge(Ledger(tmp_path / "other.csv", columns), [path])):
        with pytest.raises(InputError, match=r"line 3 repeats the trial of line 2 .*migrate_logs.py"):
            read()
    [found] = migration.migrate(tmp_path)
    assert found.repeated == 1
    found.write()
    assert len(Ledger(path, columns)) == 1
    path.write_text(text.replace(",.5,h", ",.6,h", 1))
    with pytest.raises(InputError, match=r"line 3 repeats the trial .* with other results"):
        migration.migrate(tmp_path)


def test_rows_of_other_data_do_not_mix(tmp_path):
    log = Ledger(tmp_path / "log.csv", COLUMNS)
    log.append([row(0)])
    log.refuse_mixing(row(1))
    with pytest.raises(InputError, match=r"rows of all were computed from other data .*history h, now other"):
        log.refuse_mixing(row(1, history="other"))


def test_restart_puts_the_old_log_aside_when_there_is_something_new(tmp_path, capsys):
    for history in "abc":
        log = Ledger(tmp_path / "log.csv", COLUMNS, restart=True)
        assert len(log) == 0
        log.append([row(0, history=history)])
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["log.before-2.csv", "log.before.csv", "log.csv"]
    assert "a\n" in (tmp_path / "log.before.csv").read_text() and (tmp_path / "log.before-2.json").exists()
    assert "put aside" in capsys.readouterr().err
    Ledger(tmp_path / "log.csv", COLUMNS, restart=True)
    assert len(Ledger(tmp_path / "log.csv", COLUMNS)) == 1  # nothing new was appended: it is still there


def test_what_killed_runs_left_half_written_goes_and_what_is_alive_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".old.csv.{files._host()}.{dead.pid}.part"
    kept = [tmp_path / f".x.{files._host()}.{os.getppid()}.part", tmp_path / f".x.00000000.{dead.pid}.part",
            tmp_path / "thesis.part"]
    for path in (left, *kept):
        path.touch()
    files.write_whole(tmp_path / "new.csv", "x")
    assert not left.exists() and all(path.exists() for path in kept)


def test_a_lock_that_is_no_file_is_named_and_a_link_is_not_followed(tmp_path):
    lock, mine = tmp_path / ".log.csv.lock", tmp_path / "thesis.txt"
    mine.write_text("mine")
    for make in (lock.mkdir, lambda: lock.symlink_to(mine)):
        make()
        with pytest.raises(InputError, match=r"\.log\.csv\.lock: cannot be used as the lock of log.csv"):
            with locks.writing(tmp_path / "log.csv"):
                pass
        lock.rmdir() if lock.is_dir() and not lock.is_symlink() else lock.unlink()
    assert mine.read_text() == "mine"


def test_a_lock_on_a_full_disk_holds_and_goes(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with locks.writing(tmp_path / "log.csv"):
        assert os.listdir(tmp_path) == [".log.csv.lock"]
    assert not os.listdir(tmp_path)


def test_a_full_disk_leaves_no_empty_log(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(InputError, match="cannot be written"):
        Ledger(tmp_path / "log.csv", COLUMNS).append([row(0)])
    assert not os.listdir(tmp_path)


def test_a_log_that_something_else_cut_is_not_written_on(tmp_path):
    log = Ledger(tmp_path / "log.csv", COLUMNS)
    log.append([row(seed) for seed in range(9)])
    log.path.write_text("scenario,seed\n")
    with pytest.raises(InputError, match="something else has changed it"):
        log.append([row(9)])
    assert log.path.read_text() == "scenario,seed\n"


def test_migration_waits_for_the_writer(tmp_path, script):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "faq_final.csv").write_text(",".join(LOGS["faq_final"].header) + "\n")
    process = subprocess.Popen([sys.executable, "-c", HOLD, logs / "faq_final.csv"], cwd=ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        assert f"process {process.pid}" in script("migrate_logs.py", logs, code=2).stderr
        script("migrate_logs.py", logs, "--dry-run")
    finally:
        process.kill()
        process.wait()
