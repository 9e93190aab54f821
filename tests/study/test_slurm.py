"""The study on a real Slurm of one node: tasks are cancelled, killed and told that their time is up, the node is
drained while jobs wait, and the result is that of a serial run, row by row."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import slurm_node
from conftest import ROOT, not_installed, run_script

from llm_accuracy.errors import InputError
from llm_accuracy.study import cluster

WHERE = ["--datasets", "board", "--scenarios", "nfobs=None_p=1.0"]
TRIALS = ["--seeds", 2, "--budgets", 20, 40, "--models", 15]
LOGS = ("factor_models_cv", "faq_val", "faq_final", "baselines_all", "ablations_all")


@pytest.fixture(scope="module")
def needs_submitit():
    if importlib.util.find_spec("submitit") is None:
        not_installed("submitit", "requirements.txt installs it")


@pytest.fixture(scope="module")
def node(needs_submitit):
    if not slurm_node.installed():
        not_installed("Slurm", "slurm-wlm and munge of Debian; .ci/run installs them where it may")
    with slurm_node.running() as one:
        yield one


@pytest.fixture(scope="module")
def serial(tmp_path_factory, needs_submitit):
    """A board of 40 models × 200 questions, and some steps of the study on it, one after the other."""
    folder = tmp_path_factory.mktemp("serial")
    run_script("data/simulate_leaderboard.py", "--data-dir", folder / "data", "--models", 40, "--questions", 200,
               "--dataset", "board")
    run_steps(folder, "cv", "final", "others", "baselines")
    return folder


@pytest.fixture(scope="module")
def whole(serial):
    """The other steps as well."""
    run_steps(serial, "val", "tune", "faq", "ablations")
    return serial


def run_steps(folder, *names):
    where = [*WHERE, "--data-dir", folder / "data", "--logs-dir", folder / "logs"]
    for step in (step for step in cluster.STEPS if step.name in names):
        run_script(step.script, *where, *(TRIALS if "seeds" in step.takes else []), *step.flags)


def submit(node, serial, logs, *more, code=0):
    words = [sys.executable, ROOT / "slurm" / "submit.py", *WHERE, "--data-dir", serial / "data", "--logs-dir", logs,
             *TRIALS, *more]
    done = subprocess.run(list(map(str, words)), cwd=ROOT, env=node.environment, text=True, capture_output=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def assert_same(logs, serial, names=LOGS):
    for name in (name for log in names for name in (log, f"{log}_models")):
        if name != "factor_models_cv_models":
            found, expected = (sorted((folder / f"{name}.csv").read_text().splitlines())
                               for folder in (logs, serial / "logs"))
            assert found == expected, name


def processes(words):
    """Process numbers of the scripts (not what started them) that have a text in their command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words in command and any(word.endswith(".py") for word in command):
            found.append(int(folder.name))
    return found


def test_a_study_survives_a_cancelled_a_killed_and_a_late_task_and_a_drained_node(node, serial, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    shutil.copy(serial / "logs" / "factor_models_cv.csv", logs)
    same_line = ["--steps", "final", "others", "baselines", "--task-minutes", 0.001, "--partition", "main"]

    def at_work(part):
        return node.wait(lambda: processes(str(logs / "parts" / part)))

    def number_of(state):
        return next(line.split("_")[0] for line in node.queue() if state in line)

    node.call("scontrol", "update", f"nodename={node.host}", "state=drain", "reason=test")
    said = submit(node, serial, logs, *same_line).stdout
    assert "others-end: job" in said and "tables: job" in said
    said = submit(node, serial, logs, *same_line).stdout
    assert "of 2 tasks 2 pending (Dependency)" in said and "nothing is submitted" in said
    assert not (logs / "parts" / "others").exists()
    # What waits is cancelled: what is at work may have ended before it is looked at.
    node.call("scancel", number_of("baselines PENDING"))
    node.call("scontrol", "update", f"nodename={node.host}", "state=resume")

    killed = at_work("others/0")[0]
    os.kill(killed, signal.SIGSTOP)  # so that it has not ended before it is killed
    [late] = at_work("others/1")
    node.call("scancel", "--signal=USR2", f"{number_of('others RUNNING')}_1")  # as a minute before the time is up
    node.wait(lambda: not Path(f"/proc/{late}").exists())
    os.kill(killed, signal.SIGKILL)
    node.wait(lambda: not node.queue())
    assert "Requeued job" in "".join(path.read_text() for path in (logs / "parts" / "jobs").glob("*_1_0_log.out"))
    assert not (logs / "faq_final.csv").exists()

    said = submit(node, serial, logs, *same_line).stdout
    # Slurm may take an array as ended whose cancelled task never began: then its parts are gathered already.
    assert "others: 1 of 2 tasks did not finish" in said and "baselines" in said
    assert re.search(r"faq_final.csv: \d+ rows from [12] tasks of others", said)  # what they had finished
    node.wait(lambda: not node.queue())
    assert (logs / "summary.csv").is_file()
    names = [f"{name}{kind}" for name in ("faq_final", "baselines_all") for kind in ("", "_models")]
    for name in names:
        found, expected = ((folder / f"{name}.csv").read_text().splitlines() for folder in (logs, serial / "logs"))
        assert sorted(found) == sorted(row for row in expected if ",faq,with," not in row), name
    assert "nothing is missing" in submit(node, serial, logs, *same_line).stdout
    assert not node.queue() and not list((logs / "parts").glob("[!j]*"))


def test_what_slurm_refuses_is_said_in_one_line(node, serial, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    shutil.copy(serial / "logs" / "factor_models_cv.csv", logs)
    done = submit(node, serial, logs, "--steps", "final", "--partition", "nowhere", code=2)
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: Slurm does not take the job of final") and "invalid partition" in error.lower()
    assert "Traceback" not in done.stderr
    assert not node.queue()


@pytest.mark.parametrize("flags, why", [(["--cpus", 64], "would never start others: job"),
                                        (["--mem-gb", 9000], "less --mem-gb")])
def test_what_no_node_has_is_not_waited_for(node, serial, tmp_path, flags, why):
    logs = tmp_path / "logs"
    shutil.copytree(serial / "logs" / "factor_models", logs / "factor_models")
    done = submit(node, serial, logs, "--steps", "others", *flags, code=2)
    assert why in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    node.wait(lambda: not node.queue())


def test_tables_that_a_cancelled_end_has_left_old_are_made_again(node, serial, tmp_path):
    """In a folder whose name sbatch could read otherwise, and where jobs are not given the environment."""
    logs = tmp_path / "it's \"here"
    shutil.copytree(serial / "logs", logs)
    summary, same_line = logs / "summary.csv", ["--steps", "baselines", "--seeds", 3]
    summary.write_text("old\n")
    node.environment["SBATCH_EXPORT"] = "NONE"
    node.call("scontrol", "update", f"nodename={node.host}", "state=drain", "reason=test")
    submit(node, serial, logs, *same_line)
    node.call("scancel", next(line for line in node.queue() if "baselines-end" in line).split("_")[0])
    node.call("scontrol", "update", f"nodename={node.host}", "state=resume")
    node.wait(lambda: not node.queue())
    assert summary.read_text() == "old\n"
    said = submit(node, serial, logs, *same_line).stdout
    del node.environment["SBATCH_EXPORT"]
    assert "rows from 1 tasks of baselines" in said and "tables: job" in said
    node.wait(lambda: not node.queue())
    assert summary.read_text() != "old\n"
    assert "nothing is missing" in submit(node, serial, logs, *same_line).stdout


@pytest.mark.long
def test_the_whole_study_is_that_of_a_serial_run(node, whole, tmp_path):
    submit(node, whole, tmp_path / "logs", "--task-minutes", 0.02)
    node.wait(lambda: not node.queue(), 900)
    assert_same(tmp_path / "logs", whole)


@pytest.mark.long
def test_the_same_plan_on_this_machine(whole, tmp_path, node):
    submit(node, whole, tmp_path / "logs", "--task-minutes", 0.02, "--local")
    assert_same(tmp_path / "logs", whole)


@pytest.mark.long
def test_the_laptop_study_with_a_node_that_comes_and_goes(node, tmp_path):
    """The laptop tier, an hour on two cores: the node is drained twice, and a random part of the trials, run again one
    by one, comes out as it is in the logs."""
    run_script("data/simulate_leaderboard.py", "--data-dir", tmp_path / "data")
    words = [sys.executable, ROOT / "slurm" / "submit.py", "--data-dir", tmp_path / "data", "--logs-dir",
             tmp_path / "logs", "--task-minutes", 1]
    subprocess.run(list(map(str, words)), cwd=ROOT, env=node.environment, check=True, capture_output=True)
    for _ in range(2):
        node.wait(lambda: any("RUNNING" in one for one in node.queue()), 600)
        node.call("scontrol", "update", f"nodename={node.host}", "state=drain", "reason=test")
        node.wait(lambda: not any("RUNNING" in one for one in node.queue()), 1800)
        node.call("scontrol", "update", f"nodename={node.host}", "state=resume")
    node.wait(lambda: not node.queue(), 3 * 3600)
    found = run_script("benchmarks/repro.py", "--data-dir", tmp_path / "data", "--logs-dir", tmp_path / "logs",
                       timeout=3600)
    assert re.search(r"^(\d+) of \1 trials came out", found.stdout, re.MULTILINE)
    for name in ("faq_final", "baselines_all", "ablations_all", "faq_val"):
        assert (tmp_path / "logs" / f"{name}.csv").is_file()


# --- the plan, without a queue ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("seconds, parts, minutes, tasks", [
    (0.0, 5, 40, 1), (3599, 100, 40, 1), (3601, 100, 40, 2), (40 * 60 * 10, 100, 40, 10), (1e9, 7, 40, 7),
    (1e9, 10**6, 40, 1000)])
def test_tasks_take_twenty_to_sixty_minutes(seconds, parts, minutes, tasks):
    assert cluster.split(seconds, parts, minutes) == tasks
    assert tasks in (1, parts, cluster.MOST_TASKS) or 20 <= seconds / 60 / tasks <= 60


def test_the_plan_has_the_steps_of_make_study():
    made = subprocess.run(["make", "-n", "study", "TIER=paper"], cwd=ROOT, text=True, capture_output=True, check=True)
    scripts = [one.split()[1:] for one in made.stdout.splitlines() if ".py" in one]
    expected = [[step.script, *step.flags] for step in cluster.STEPS]
    found = [[words[0], *words[words.index("--policies") :]] if "--policies" in words else [words[0]]
             for words in scripts[1:]]
    assert scripts[0][0] == "data/simulate_missingness.py" and found == expected


def test_a_step_is_priced_before_its_inputs_are_there(serial, tmp_path):
    args = SimpleNamespace(tier="laptop", datasets=["board"], scenarios=["nfobs=None_p=1.0"], budgets=["20"], seeds=3,
                           models=10, data_dir=serial / "data", logs_dir=tmp_path / "none", device="cpu", slower=1.0,
                           task_minutes=0.0001, cpus=1, steps=["final", "others"], dry_run=False)
    final, others = cluster.plan(args)
    assert (final.units, others.units, others.tasks) == (1, 9, 3)
    words = [task.words[-4:] for task in cluster.tasks_of(others, args)]
    assert words == [["--shard", f"{i}/3", "--part-dir", str(tmp_path / "none" / "parts" / "others" / str(i))]
                     for i in range(3)]
    assert not (tmp_path / "none").exists()


def test_a_dry_run_draws_its_masks_elsewhere(serial, tmp_path):
    data = shutil.copytree(serial / "data", tmp_path / "data")
    args = SimpleNamespace(tier="laptop", datasets=["board"], scenarios=["nfobs=3_p=0.3"], budgets=["20"], seeds=1,
                           models=10, data_dir=data, logs_dir=tmp_path / "none", device="cpu", slower=1.0,
                           task_minutes=1.0, cpus=1, steps=["final"], dry_run=True)
    before = sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*"))
    assert [job.units for job in cluster.plan(args)] == [1]
    with pytest.raises(InputError, match=rf"^{data}/else: no such dataset"):
        cluster.plan(SimpleNamespace(**{**vars(args), "datasets": ["else"]}))
    assert sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*")) == before


def test_a_task_that_fails_here_is_named_with_its_words_and_an_old_result_is_not_taken_for_its_own(needs_submitit,
                                                                                                  tmp_path):
    from llm_accuracy.study import queueing

    executor = queueing.submitit.LocalExecutor(tmp_path)
    executor.update_parameters(timeout_min=5, signal_delay_s=60)
    fails = cluster.Task("summarize_results.py", ["--logs-dir", str(tmp_path / "none")], 1)
    with pytest.raises(InputError, match=rf"1 of 1 .* holds none of .*; its words are in {tmp_path}/\d+_0"):
        queueing._all(executor, [fails], "tables", 1)
    assert not list(tmp_path.glob("*.pkl"))
    (tmp_path / "7_0_result.pkl").write_bytes(b"torn")
    assert "its result is damaged" in queueing._trouble(tmp_path, "7")
    assert "never started" in queueing._trouble(tmp_path, "8")


@pytest.mark.parametrize("reason, never", [
    ("PartitionConfig", True), ("PartitionTimeLimit", True), ("QOSMaxCpuPerJobLimit", True), ("JobHeldUser", True),
    ("launch failed requeued held", True), ("Resources", False), ("Dependency", False), ("Priority", False),
    ("QOSMaxJobsPerUserLimit", False), ("ReqNodeNotAvail, UnavailableNodes:a", False)])
def test_reasons_that_do_not_pass_are_told_from_those_that_do(needs_submitit, reason, never):
    from llm_accuracy.study import queueing

    assert queueing._never(f"others: job 5, of 3 tasks 1 running, 2 pending ({reason})") == never


def test_a_folder_whose_name_slurm_would_change_is_refused(serial, tmp_path):
    done = run_script("slurm/submit.py", *WHERE, "--data-dir", serial / "data", "--logs-dir", tmp_path / "50%j", code=2)
    assert "choose a folder without it" in done.stderr and not list(tmp_path.iterdir())


def test_one_value_may_begin_like_a_flag():
    words = cluster.Step("", "", ("datasets", "tier")).command(SimpleNamespace(datasets=["-x"], tier=None))
    assert words == ["--datasets=-x"]
