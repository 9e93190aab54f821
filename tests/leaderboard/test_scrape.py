"""The scraper, run as a script with the real huggingface_hub client against a stand-in hub on real sockets."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import TOKEN, Fault, Generated, Repo, StandIn
from leaderboard_board import NEW, OLD, Entry, answers_of, board, jsonl, published, samples

from llm_accuracy.errors import InputError
from llm_accuracy.leaderboard import suites
from llm_accuracy.leaderboard.hub import File, Hub, Stopped, Unavailable
from llm_accuracy.leaderboard.scraping import CONTENT_COLUMNS, Model, Scrape, _models, choose
from llm_accuracy.leaderboard.suites import SUITES, Answers, BadSamples
from llm_accuracy.scores.dataset import Dataset

ROOT = Path(__file__).resolve().parents[2]
SMALL, LARGE = "bbh+gpqa+ifeval+math+musr", "mmlu-pro"
SNARKS = next(task for task in SUITES[SMALL] if task.name == "bbh_snarks")
PEAK_MEMORY = [sys.executable, ROOT / "tests" / "helpers" / "peak_memory.py"]
IFEVAL = next(task for task in SUITES[SMALL] if task.name == "ifeval")


def command(folder: Path, *flags):
    return [sys.executable, ROOT / "data" / "scrape_leaderboard.py", "--raw-dir", folder / "raw", "--data-dir",
            folder / "processed", "--wait", "0.01", *map(str, flags)]


def environment(hub: StandIn, folder: Path, token=TOKEN):
    """The user's hub folder lies inside `folder`; nothing of this machine's login is seen."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    kept |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "home")}
    return kept | ({"HF_TOKEN": token} if token else {})


def scrape(hub: StandIn, folder: Path, *flags, token=TOKEN):
    return subprocess.run(command(folder, *flags), env=environment(hub, folder, token), capture_output=True,
                          text=True, timeout=100)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the compact caches of matrices."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and ".cache" not in path.parts}


def table(path: Path) -> list[dict]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- a whole board -------------------------------------------------------------------------------------

ENTRIES = [
    Entry("org/alpha", "2024-01-01", "2024"),
    Entry("org/beta", "2024-06-01", older_run=True, base="org/alpha (Merge)", submitted="2024-07-01"),
    Entry("org/gamma", "2024-03-01", parquet=True, submitted="2024-12-24"),  # the last one to be submitted
    Entry("org/delta", "2024-04-01", base="org/beta", published_off=0.01),
    Entry("org/epsilon", "2023-05-01", hashes="shuffled"),
    Entry("org/no-musr", "2024-01-02", skip=("musr_team_allocation",)),
    Entry("org/short", "2024-01-03", short=("bbh_snarks",)),
    Entry("org/permuted", "2024-01-04", permuted=("gpqa_main",)),
    Entry("org/gone", "2024-01-05"),
]
KEPT = ["org/epsilon", "org/alpha", "org/gamma", "org/delta", "org/beta"]  # by date


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    repos = board(ENTRIES, [SMALL])
    del repos[suites.dataset_of("org/gone")]
    with StandIn(repos) as hub:
        done = scrape(hub, folder, "--datasets", SMALL)
        assert done.returncode == 0, done.stderr
        yield folder, hub, done


def test_matrix_holds_the_newest_answers_sorted_by_date(whole):
    folder, _, _ = whole
    dataset = Dataset(folder / "processed", SMALL)
    history, new = dataset.history(), dataset.new_models()
    assert [*history.models, *new.models] == KEPT and history.n_models == 2
    by_name = {entry.name: entry for entry in ENTRIES}
    for part in (history, new):
        for model, row in zip(part.models, part.scores, strict=True):
            expected = np.concatenate([by_name[model].answers[task.name] for task in SUITES[SMALL]])
            assert np.array_equal(row, expected), model
    assert dict(zip(new.models, new.families, strict=True)) == {
        "org/gamma": "org/gamma", "org/delta": "org/alpha", "org/beta": "org/alpha"}


def test_both_dates_are_kept_and_the_upload_orders_the_history(whole):
    folder, _, done = whole
    manifest = json.loads((folder / "processed" / SMALL / "manifest.json").read_text())
    assert manifest["dates"]["org/gamma"] == {"uploaded": "2024-03-01", "submitted": "2024-12-24"}
    assert manifest["dates"]["org/alpha"] == {"uploaded": "2024-01-01", "submitted": "2024-01-01"}
    assert manifest["dates"].keys() == set(KEPT) and manifest["split"]["by"] == "upload date"
    new = Dataset(folder / "processed", SMALL).new_models()
    assert new.dates.tolist() == ["2024-03-01", "2024-04-01", "2024-06-01"]
    assert "ordered by the date of the upload to the hub, which is created_date in M1 and M2" in done.stdout


def test_an_older_run_is_never_mixed_in(whole):
    record = json.loads((whole[0] / "raw" / SMALL / "models" / "org__beta.json").read_text())
    assert all(NEW in kept["file"] for kept in record["tasks"].values())
    assert not np.array_equal(answers_of("org/beta", SNARKS, OLD), answers_of("org/beta", SNARKS, NEW))


def test_questions_keep_task_and_category(whole):
    new = Dataset(whole[0] / "processed", SMALL).new_models()
    sizes = {str(name): int((new.tasks == name).sum()) for name in dict.fromkeys(new.tasks.tolist())}
    assert sizes == {task.name: task.size for task in SUITES[SMALL]} and new.n_questions == 9574
    assert list(dict.fromkeys(new.categories.tolist())) == ["bbh", "gpqa", "ifeval", "math", "musr"]


def test_every_failure_has_its_reason(whole):
    folder, _, _ = whole
    reasons = {(row["model"], row["task"]): row["reason"] for row in table(folder / "raw" / SMALL / "failures.csv")}
    assert reasons == {("org/gone", ""): "no such dataset (or it is private)",
                       ("org/no-musr", "musr_team_allocation"): "no samples file",
                       ("org/short", "bbh_snarks"): "177 questions, 178 are expected"}
    manifest = json.loads((folder / "processed" / SMALL / "manifest.json").read_text())
    assert set(manifest["models"]["dropped"]) == {"org/gone", "org/no-musr", "org/short", "org/permuted"}
    assert "another order" in manifest["models"]["dropped"]["org/permuted"]
    assert manifest["doc_hashes"]["gpqa_main"]["models_with_other_hashes"] == 1
    assert set(manifest["revisions"]) == set(KEPT) and manifest["versions"]["huggingface_hub"]


def test_means_are_checked_against_the_published_ones(whole):
    rows = table(whole[0] / "raw" / SMALL / "published_scores.csv")
    assert len(rows) == len(KEPT) * 5
    assert {row["model"] for row in rows if row["agrees"] == "0"} == {"org/delta"}
    truth = published(ENTRIES[0])
    scraped = {row["benchmark"]: float(row["scraped"]) for row in rows if row["model"] == "org/alpha"}
    assert scraped == pytest.approx({column: truth[column] for column in scraped}, abs=1e-12)


def test_parquet_columns_cost_a_fraction(whole):
    _, hub, _ = whole
    record = json.loads((whole[0] / "raw" / SMALL / "models" / "org__gamma.json").read_text())
    assert all(kept["via"].startswith("parquet ") for kept in record["tasks"].values())
    fetched = sum(n for host, _, path, _, n in hub.log if host == "cdn" and "gamma" in path)
    whole_files = sum(len(c) for c in hub.repos[suites.dataset_of("org/gamma")].branches["main"].values())
    assert fetched < whole_files / 3
    questions = [path for host, _, path, *_ in hub.log if host == "hub" and "/api/" in path and "gamma" in path]
    assert len([path for path in questions if "cursor" not in path]) == 5  # the hub counts these: five a model


def test_the_token_stays_with_the_hub_and_the_cache_is_not_touched(whole):
    folder, hub, done = whole
    assert hub.leaks == [] and any(host == "cdn" for host, *_ in hub.log)
    assert TOKEN not in done.stdout + done.stderr
    assert not any(TOKEN.encode() in content for content in tree(folder).values())
    assert not list((folder / "home").rglob("*"))
    assert not list((folder / "raw").rglob(".*"))


def test_a_second_run_reads_nothing_again(whole):
    folder, hub, _ = whole
    before, requests = tree(folder), len(hub.log)
    done = scrape(hub, folder, "--datasets", SMALL)
    assert done.returncode == 0 and tree(folder) == before
    assert not any(host == "cdn" for host, *_ in hub.log[requests:])


def test_both_layouts_of_mmlu_pro_keep_the_subjects(tmp_path):
    entries = [Entry("org/first", "2024-01-01", "2024"), Entry("org/second", "2024-02-01"),
               Entry("org/third", "2024-03-01", "2024", parquet=True)]
    with StandIn(board(entries, [LARGE])) as hub:
        done = scrape(hub, tmp_path, "--datasets", LARGE)
    assert done.returncode == 0, done.stderr
    dataset = Dataset(tmp_path / "processed", LARGE)
    rows = [*dataset.history().scores, *dataset.new_models().scores]
    for row, entry in zip(rows, entries, strict=True):
        assert np.array_equal(row, entry.answers["mmlu_pro"])
    new = dataset.new_models()
    assert set(new.tasks) == {"biology", "law", "physics"} and set(new.categories) == {"mmlu_pro"}
    assert "3 means agree" in done.stdout


# --- the hub refuses -----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def pair():
    return board([Entry("org/one", "2024-01-01"), Entry("org/two", "2024-02-01"), Entry("org/three", "2024-03-01")],
                 [LARGE])


@pytest.mark.parametrize(("token", "told"), [
    (None, "accept the conditions on {endpoint}/datasets/open-llm-leaderboard/org__one-details, then log in"),
    ("hf_" + "stale" * 6, "the hub refuses your token")])
def test_without_access_one_line_says_what_to_do(tmp_path, pair, token, told):
    with StandIn(pair) as hub:
        done = scrape(hub, tmp_path, "--datasets", LARGE, "--jobs", 1, token=token)
        assert done.returncode == 2
        last = done.stderr.strip().splitlines()[-1].replace("org__three", "org__one")  # whichever comes first
        assert last.startswith("error: ") and told.format(endpoint=hub.endpoint) in last
        assert not token or token not in done.stderr
    assert not (tmp_path / "processed").exists()


def test_a_dataset_that_is_not_accepted_is_a_failure_with_its_address(tmp_path, pair):
    with StandIn(pair) as hub:
        hub.accepted = {suites.dataset_of("org/one"), suites.dataset_of("org/three")}
        done = scrape(hub, tmp_path, "--datasets", LARGE)
        assert done.returncode == 0, done.stderr
        (row,) = table(tmp_path / "raw" / LARGE / "failures.csv")
        assert (row["model"], row["task"]) == ("org/two", "mmlu_pro") and "accept the conditions on" in row["reason"]
        hub.accepted = None  # accepted since: the same command completes it
        assert scrape(hub, tmp_path, "--datasets", LARGE).returncode == 0
    assert table(tmp_path / "raw" / LARGE / "failures.csv") == []
    assert Dataset(tmp_path / "processed", LARGE).new_models().n_models == 2


def test_bad_flags_are_refused_before_anything_is_read(tmp_path, pair):
    with StandIn(pair) as hub:
        for flags, told in ((["--models", "org/nobody"], "org/nobody: not in"),
                            (["--since", "2030-01-01"], "no model is left"),
                            (["--datasets", "mmlu"], "the suites are mmlu-pro and bbh")):
            done = scrape(hub, tmp_path, *(["--datasets", LARGE] if "--datasets" not in flags else []), *flags)
            assert done.returncode == 2 and told in done.stderr, done.stderr
        assert not any(host == "cdn" and "details" in path for host, _, path, *_ in hub.log)


def test_a_dataset_made_by_something_else_is_not_overwritten(tmp_path, pair):
    folder = tmp_path / "processed" / LARGE
    folder.mkdir(parents=True)
    (folder / "M1.csv").write_text("model,q\nmine,1\n")
    with StandIn(pair) as hub:
        done = scrape(hub, tmp_path, "--datasets", LARGE)
        assert done.returncode == 2 and "is not what this script wrote" in done.stderr and hub.log == []
        assert tree(tmp_path) == {f"processed/{LARGE}/M1.csv": b"model,q\nmine,1\n"}
        assert scrape(hub, tmp_path, "--datasets", LARGE, "--overwrite").returncode == 0
        (folder / "M2.csv").write_text("edited")
        assert scrape(hub, tmp_path, "--datasets", LARGE).returncode == 2


def test_a_smaller_choice_does_not_replace_a_larger_dataset(tmp_path, pair):
    with StandIn(pair) as hub:
        assert scrape(hub, tmp_path, "--datasets", LARGE).returncode == 0
        before = tree(tmp_path)
        few = ("--datasets", LARGE, "--models", "org/one", "org/two")
        done = scrape(hub, tmp_path, *few)
        assert done.returncode == 2 and "has 1 models that are not chosen now, first org/three" in done.stderr
        assert tree(tmp_path) == before
        assert scrape(hub, tmp_path, *few, "--overwrite").returncode == 0


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, pair):
    (tmp_path / "raw").write_text("a file, not a folder")
    with StandIn(pair) as hub:
        done = scrape(hub, tmp_path, "--datasets", LARGE)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_dry_run_prices_and_writes_nothing(tmp_path):
    entries = [Entry("org/one", "2024-01-01", parquet=True), Entry("org/two", "2024-02-01")]
    with StandIn(board(entries, [LARGE], prompt=400)) as hub:
        done = scrape(hub, tmp_path, "--datasets", LARGE, "--dry-run")
        size = sum(f.size for e in entries for f in files_of(hub, e.name) if "samples" in f.path)
    assert done.returncode == 0, done.stderr
    assert f"about {size / 1e6:.1f} MB of sample files" in done.stdout
    transferred = float(done.stdout.split("of which about ")[1].split(" MB")[0])
    assert size / 2e6 < transferred < 0.6 * size / 1e6  # one streamed, one by columns
    assert tree(tmp_path) == {}


# --- the network fails ---------------------------------------------------------------------------------

@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def files_of(hub: StandIn, model: str) -> list[File]:
    repo = suites.dataset_of(model)
    content = hub.repos[repo]
    return [File(repo, content.commit("main"), path, len(c)) for path, c in content.branches["main"].items()]


def snarks_only(n_runs: int = 1) -> tuple[dict, bytes]:
    content = jsonl(samples(Entry("org/one", "2024-01-01"), SNARKS))
    path = f"org__one/samples_leaderboard_bbh_snarks_{NEW}.jsonl"
    return {suites.dataset_of("org/one"): Repo({"main": {path: content}})}, content


FAULTS = {
    "429 with Retry-After": [Fault("snarks", 429, {"Retry-After": "0"}, times=3)],
    "429 with RateLimit": [Fault("snarks", 429, {"RateLimit": '"resolvers";r=0;t=0'}, times=3)],
    "500 at the hub": [Fault("snarks", 500, times=3, host="hub")],
    "503 at the CDN": [Fault("snarks", 503, times=3, host="cdn")],
    "body cut, twice": [Fault("snarks", cut_after=30_000, times=2, host="cdn")],
    "cut in the first line": [Fault("snarks", cut_after=100, times=2, host="cdn")],
    "a slow peer": [Fault("snarks", stall=2.0, times=1, host="cdn")],
    "ranges ignored after a cut": [Fault("snarks", cut_after=40_000, host="cdn"),
                                   Fault("snarks", ignore_range=True, host="cdn")],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_lines_come_whole_and_once_whatever_fails(token, faults):
    repos, content = snarks_only()
    with StandIn(repos) as server:
        server.faults = [Fault(**vars(fault)) for fault in faults]
        (file,) = files_of(server, "org/one")
        hub = Hub(server.endpoint, first_wait=0.01, timeout=0.4)
        lines = list(hub.lines(file))
        assert b"".join(line + b"\n" for line, _ in lines) == content
        assert all(fault.times == 0 for fault in server.faults)
        middle = lines[len(lines) // 2][1]
        assert [line for line, _ in hub.lines(file, middle)] == content[middle:].splitlines()


def test_a_hub_that_stays_broken_is_given_up_with_the_reason(token):
    repos, _ = snarks_only()
    with StandIn(repos) as server:
        server.faults = [Fault("snarks", 500, times=99)]
        (file,) = files_of(server, "org/one")
        with pytest.raises(Unavailable, match=r"500.*tried 3 times"):
            list(Hub(server.endpoint, retries=2, first_wait=0.01).lines(file))
        server.faults = []
        with pytest.raises(Unavailable, match="no such file or revision"):
            list(Hub(server.endpoint).lines(File(file.repo, file.revision, "absent.json", 10)))
        server.accepted = set()
        with pytest.raises(Unavailable, match="gated: accept the conditions on"):
            list(Hub(server.endpoint).lines(file))


def test_a_stopped_run_lets_go_at_once(token):
    repos, _ = snarks_only()
    with StandIn(repos) as server:
        server.faults = [Fault("snarks", 500, times=99)]
        hub = Hub(server.endpoint, first_wait=60)
        threading.Timer(0.2, hub.stop.set).start()
        start = time.monotonic()
        with pytest.raises(Stopped):
            list(hub.lines(files_of(server, "org/one")[0]))
        assert time.monotonic() - start < 5


def test_a_broken_conversion_falls_back_to_the_file(tmp_path, token):
    entry = Entry("org/one", "2024-01-01", parquet=True)
    repos = board([entry], [SMALL])
    converted = repos[suites.dataset_of("org/one")].branches["refs/convert/parquet"]
    torn = sorted(converted)[:3]
    converted[torn[0]] = converted[torn[0]][:-50]                       # torn
    converted[torn[1].replace("latest", "partial-latest")] = converted.pop(torn[1])  # the hub converted a part only
    converted[torn[2]] = next(c for path, c in converted.items() if "ifeval" in path)  # other rows, no acc_norm
    with StandIn(repos) as server:
        scraper = Scrape(Hub(server.endpoint, first_wait=0.01), SUITES[SMALL], tmp_path, True, 10, False)
        assert scraper.run([Model("org/one", "", "", "", ())], 1, "test") == {}
    record = json.loads((tmp_path / "models" / "org__one.json").read_text())
    for task in SUITES[SMALL]:
        assert record["tasks"][task.name]["scores"] == "".join(map(str, entry.answers[task.name]))
    streamed = [name for name, kept in record["tasks"].items() if kept["via"] == "stream"]
    assert len(streamed) == 3


READ_A_TABLE = """
import os, sys
import pyarrow.parquet, huggingface_hub
from llm_accuracy.leaderboard.hub import File, Hub
threads = len(os.listdir("/proc/self/task"))
repo, revision, path, size = sys.argv[1:]
table = Hub().table(File(repo, revision, path, int(size)), ["far", "near"])
print(table.num_rows, sum(table["far"].to_pylist()), sum(map(len, table["near"].to_pylist())))
print(len(os.listdir("/proc/self/task")) - threads)
"""


def long_table() -> bytes:
    """Twenty row groups; 20 kB a group that cannot be compressed lie between the two columns that are wanted."""
    rng, out = np.random.default_rng(5), io.BytesIO()
    rows = {"near": ["x" * (i % 7) for i in range(4000)], "between": [rng.bytes(100) for _ in range(4000)],
            "far": list(range(4000))}
    pq.write_table(pa.table(rows), out, row_group_size=200)
    return out.getvalue()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in Linux's /proc")
def test_a_table_is_fetched_by_columns_and_leaves_no_thread_behind(tmp_path):
    """A thread of Arrow's that still reads when the interpreter ends would abort it (seen once, exit status -6)."""
    content = long_table()
    with StandIn({"org/long": Repo({"main": {"long.parquet": content}})}) as server:
        file = "org/long", server.repos["org/long"].commit("main"), "long.parquet", str(len(content))
        done = subprocess.run([sys.executable, "-c", READ_A_TABLE, *file], env=environment(server, tmp_path),
                              capture_output=True, text=True, timeout=100, cwd=ROOT)
        expected = [f"4000 {sum(range(4000))} {sum(i % 7 for i in range(4000))}", "0"]
        assert done.stdout.splitlines() == expected, done.stderr
        assert sum(n for host, *_, n in server.log if host == "cdn") < len(content) / 3


def test_a_footer_that_points_outside_its_file_is_one_line(tmp_path, token):
    content = long_table()
    with StandIn({"org/long": Repo({"main": {"long.parquet": content}})}) as server:
        file = File("org/long", server.repos["org/long"].commit("main"), "long.parquet", len(content) // 2)
        with pytest.raises(Unavailable, match="footer places a column outside the file"):
            Hub(server.endpoint).table(file, ["near"])


def test_a_broken_file_is_taken_up_at_its_byte(tmp_path, token):
    repos, content = snarks_only()
    with StandIn(repos) as server:
        server.faults = [Fault("snarks", cut_after=len(content) // 2, host="cdn")]
        scraper = Scrape(Hub(server.endpoint, retries=0), (SNARKS,), tmp_path, False, 0, False)
        failures = scraper.run([Model("org/one", "", "", "", ())], 1, "test")
        assert "tried 1 times" in failures["org/one", "bbh_snarks"]
        before = server.sent("snarks")
        scraper = Scrape(Hub(server.endpoint), (SNARKS,), tmp_path, False, 0, False)
        assert scraper.run([Model("org/one", "", "", "", ())], 1, "test") == {}
        assert len(content) * 0.4 < server.sent("snarks") - before < len(content) * 0.6
    record = json.loads((tmp_path / "models" / "org__one.json").read_text())
    assert record["tasks"]["bbh_snarks"]["scores"] == "".join(map(str, answers_of("org/one", SNARKS)))


# --- what a file may hold ------------------------------------------------------------------------------

def answers(task, rows):
    gathered = Answers(task)
    for line in jsonl(rows).splitlines():
        gathered.add_line(line)
    return gathered


def test_scores_may_be_booleans_floats_or_text():
    rows = samples(Entry("org/one", ""), SNARKS)
    plain = answers(SNARKS, rows).finished()
    for spelt in (bool, str, lambda x: str(bool(x)), int):
        assert answers(SNARKS, [row | {"acc_norm": spelt(row["acc_norm"])} for row in rows]).finished() == plain


@pytest.mark.parametrize(("change", "told"), [
    (lambda rows: rows[:-1], "177 questions, 178 are expected"),
    (lambda rows: [*rows, rows[0] | {"doc_id": 178}], "179 questions, 178 are expected"),
    (lambda rows: [rows[0] | {"doc_id": 400}, *rows[1:]], "is missing"),
    (lambda rows: [*rows, rows[0] | {"acc_norm": 1 - rows[0]["acc_norm"]}], "occurs twice with different answers"),
    (lambda rows: [rows[0] | {"acc_norm": None}, *rows[1:]], "has no acc_norm"),
    (lambda rows: [rows[0] | {"acc_norm": float("nan")}, *rows[1:]], "acc_norm is nan, not 0 or 1"),
    (lambda rows: [rows[0] | {"acc_norm": 0.5}, *rows[1:]], "acc_norm is 0.5, not 0 or 1"),
    (lambda rows: [rows[0] | {"acc_norm": [1.0]}, *rows[1:]], "not 0 or 1"),
    (lambda rows: [{"hello": 1}], "line 1 is not a sample"),
])
def test_what_is_not_a_task_is_refused_with_the_reason(change, told):
    with pytest.raises(BadSamples, match=told):
        answers(SNARKS, change(samples(Entry("org/one", ""), SNARKS))).finished()


def test_a_line_repeated_with_the_same_answer_is_counted():
    rows = samples(Entry("org/one", ""), SNARKS)
    kept = answers(SNARKS, [*rows, rows[3]]).finished()
    assert kept["repeated"] == 1 and kept["n"] == 178


def test_state_survives_a_restart_in_the_middle():
    rows = samples(Entry("org/one", ""), IFEVAL)
    lines = jsonl(rows).splitlines()
    half = answers(IFEVAL, rows[:200])
    resumed = Answers.resume(IFEVAL, json.loads(json.dumps(half.state())))
    for line in lines[200:]:
        resumed.add_line(line)
    assert resumed.finished() == answers(IFEVAL, rows).finished()


def test_the_suites_have_the_published_sizes():
    sizes = {name: sum(task.size for task in tasks) for name, tasks in SUITES.items()}
    assert sizes == {LARGE: 12032, SMALL: 9574} and len(SUITES[SMALL]) == 38
    per_category = {c: sum(t.size for t in SUITES[SMALL] if t.category == c) for c in ("bbh", "gpqa", "math", "musr")}
    assert per_category == {"bbh": 5761, "gpqa": 1192, "math": 1324, "musr": 756}


def test_the_newest_run_is_chosen_by_timestamp():
    task = SNARKS
    paths = [f"m/samples_leaderboard_bbh_snarks_{stamp}.{suffix}" for stamp, suffix in
             ((OLD, "json"), (NEW, "jsonl"), ("2024-12-01T00-00-00.0", "json"))]
    assert suites.newest_file(task, [*paths, "m/results_2026-01-01.json", "README.md"]) == paths[1]
    algebra = next(t for t in SUITES[SMALL] if t.name == "math_algebra_hard")
    other = f"m/samples_leaderboard_math_intermediate_algebra_hard_{NEW}.json"
    assert suites.newest_file(algebra, [other]) is None


# --- which models --------------------------------------------------------------------------------------

def test_models_are_spread_evenly_over_the_score():
    models = [Model(f"org/{i:02}", f"2024-01-{i + 1:02}", "", f"base/{i % 3}", ({"MMLU-PRO Raw": (i * 7 % 20) / 20},))
              for i in range(20)]
    tasks = SUITES[LARGE]
    spread = [m.published[0]["MMLU-PRO Raw"] for m in choose(models, tasks, limit=5)]
    assert sorted(spread) == pytest.approx([0.0, 0.25, 0.5, 0.7, 0.95])
    assert [m.name for m in choose(models, tasks, one_per_base_model=True)] == ["org/00", "org/01", "org/02"]
    assert len(choose(models, tasks, since="2024-01-11")) == 10
    with pytest.raises(InputError, match="not in open-llm-leaderboard/contents"):
        choose(models, tasks, names=["org/99"])


def rows_of(*models):
    """Rows of the contents table, of (name, base model, upload, submission)."""
    return [{**dict.fromkeys(CONTENT_COLUMNS, ""), **dict(zip(
        ("fullname", "Base Model", "Upload To Hub Date", "Submission Date"), model, strict=True))} for model in models]


@pytest.mark.parametrize("base, root", [
    ("org/base", "org/base"), ("org/base (Merge)", "org/base"), ("org/base (Merge) (Flagged)", "org/base"),
    (" org/base (merge) ", "org/base"), ("org/base-(7b)-v2", "org/base-(7b)-v2"), ("Removed", "org/tuned"),
    ("", "org/tuned"), ("org/tuned", "org/tuned"), ("org/child", "org/child"), ("(Merge)", "org/tuned"),
])
def test_families_are_formed_from_cleaned_names(base, root):
    rows = rows_of(("org/base", "org/base", "2024-01-01", ""), ("org/tuned", base, "2024-02-01", ""),
                   ("org/child", "org/tuned (Merge)", "2024-03-01", ""))
    by_name = {model.name: model.root for model in _models(rows)}
    if base == "org/child":  # a circle: each ends at the other, and nothing hangs
        assert by_name["org/tuned"] == "org/child" and by_name["org/child"] == "org/tuned"
        return
    assert by_name == {"org/base": "org/base", "org/tuned": root, "org/child": root}


def test_the_earliest_upload_and_submission_count():
    rows = rows_of(("org/a", "", "2024-02-01T10:00:00", "2024-09-01T00:00:00Z"),
                   ("org/a", "", "2024-01-31", "2024-08-01"), ("org/a", "", "", ""), ("org/b", "", "", "2024-08-01"))
    assert [(model.name, model.date, model.submitted) for model in _models(rows)] == [
        ("org/a", "2024-01-31", "2024-08-01"), ("org/b", "", "2024-08-01")]


def test_files_of_the_hub_keep_the_limits(tmp_path):
    repos = board([Entry("org/one", "2024-01-01", parquet=True), Entry("org/two", "2024-01-02")], [SMALL])
    with StandIn(repos) as hub:
        done = scrape(hub, tmp_path, "--datasets", SMALL, "--max-size", "20K")
        assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: ")
        reasons = {row["reason"] for row in table(tmp_path / "raw" / SMALL / "failures.csv")}
        assert reasons and all("more than the 20 KiB that are allowed; --max-size allows more" in r for r in reasons)
        assert scrape(hub, tmp_path, "--datasets", SMALL, "--max-size", "20Q").stderr.count("\n") == 1
        assert scrape(hub, tmp_path, "--datasets", SMALL).returncode == 0


# --- interrupted and large -----------------------------------------------------------------------------

def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(tmp_path, pair):
    with StandIn(pair, pace=2e-6) as hub:
        running = subprocess.Popen(command(tmp_path, "--datasets", LARGE, "--checkpoint", "0.1"),
                                   env=environment(hub, tmp_path), stderr=subprocess.PIPE, text=True)
        while not list((tmp_path / "raw").rglob(".partial/org*.json")):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
        assert running.returncode == 130 and "the same command continues" in said and "Traceback" not in said
        hub.pace = 0
        assert scrape(hub, tmp_path, "--datasets", LARGE).returncode == 0
        assert any(wanted and wanted != "bytes=0-" for host, _, path, wanted, _ in hub.log
                   if host == "cdn" and "samples" in path)


def kill_loop(hub: StandIn, folder: Path, times: int, seconds: float) -> dict:
    loop = [sys.executable, ROOT / "tests" / "helpers" / "kill_loop.py", str(times), str(seconds),
            *command(folder, "--datasets", SMALL, "--checkpoint", "0.02")[1:]]
    done = subprocess.run(loop, env=environment(hub, folder), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_fifty_times_it_ends_with_the_same_bytes(tmp_path):
    entries = [Entry(f"org/m{i}", f"2024-01-{i + 1:02}", "2024" if i % 2 else "2025", parquet=i == 2,
                     short=("gpqa_main",) if i == 3 else ()) for i in range(5)]
    with StandIn(board(entries, [SMALL])) as hub:
        straight, killed = tmp_path / "straight", tmp_path / "killed"
        done = scrape(hub, straight, "--datasets", SMALL)
        assert done.returncode == 0, done.stderr
        hub.pace = 6e-7  # seconds a byte
        reading = kill_loop(hub, killed, 40, 0.3)
        hub.pace = 0  # all is read by now: these hit the writing of the dataset
        writing = kill_loop(hub, killed, 10, 0.2)
    assert reading["killed"] + writing["killed"] == 50 and reading["finished_early"] <= 4
    assert tree(straight / "raw") == tree(killed / "raw")
    assert tree(straight / "processed") == tree(killed / "processed")


def test_a_file_of_380_megabytes_is_read_in_a_few(tmp_path, token):
    (task,) = SUITES[LARGE]
    entry = Entry("org/one", "2024-01-01")
    rows = [jsonl([row]).rstrip() for row in samples(entry, task)]
    prompt = b" " * (31_500 - max(map(len, rows)) - 1)
    content = Generated(task.size, 31_500, lambda i: rows[i][:-1] + prompt + rows[i][-1:])
    repos = board([entry, Entry("org/two", "2024-01-02")], [LARGE])
    path = f"org__one/samples_leaderboard_mmlu_pro_{NEW}.jsonl"
    repos[suites.dataset_of("org/one")] = Repo({"main": {path: content}})
    with StandIn(repos) as hub:
        done = subprocess.run([*PEAK_MEMORY, *command(tmp_path, "--datasets", LARGE)[1:]],
                              env=environment(hub, tmp_path), capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
    assert len(content) > 375e6 and int(done.stdout.splitlines()[-1]) < 400  # MB, half of it the imports
    record = json.loads((tmp_path / "raw" / LARGE / "models" / "org__one.json").read_text())
    assert record["tasks"]["mmlu_pro"]["scores"] == "".join(map(str, entry.answers["mmlu_pro"]))


def test_the_whole_leaderboard_is_put_together_in_less_than_a_gigabyte(tmp_path):
    done = subprocess.run([*PEAK_MEMORY, ROOT / "tests" / "helpers" / "assemble_many.py", tmp_path, "4500"],
                          capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "4500 of 4500 models are complete" in done.stdout
    assert int(done.stdout.splitlines()[-1]) < 500  # MB
