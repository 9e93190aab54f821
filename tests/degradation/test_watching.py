"""Watching: e-values against quadrature and golden values, their error under peeking, files that grow."""

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy import integrate, stats

from llm_accuracy.degradation import e_values, mcnemar, order, verdicts
from llm_accuracy.degradation.e_values import Watch
from llm_accuracy.degradation.growing import Growing, follow
from llm_accuracy.errors import InputError
from llm_accuracy.scores.task_scores import Choices

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "degradation.json"
ITEMS, FLIP, ALPHA, MARGIN = 1500, 0.15, 0.05, 0.02


# ---- e-values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("b, c", [(0, 0), (5, 0), (0, 5), (10, 2), (60, 40), (40, 60)])
def test_e_worse_is_the_mixture(b, c):
    """∫ 2·(2q)^b·(2(1 − q))^c dq over (½, 1), by quadrature."""
    def ratio(q):
        return 2 * (2 * q) ** b * (2 * (1 - q)) ** c

    expected, _ = integrate.quad(ratio, 0.5, 1, epsabs=0, epsrel=1e-12, limit=200)
    assert np.exp(e_values.log_e_worse(b, c)) == pytest.approx(expected, rel=1e-9)


def test_e_safe_is_the_product():
    """Item by item, for every bet."""
    rng = np.random.default_rng(0)
    d = rng.choice([-1, 0, 1], size=200, p=[0.1, 0.8, 0.1])
    b, c = int((d == 1).sum()), int((d == -1).sum())
    bets = e_values.BETS / (1 - MARGIN)
    capital = [np.prod(1 + bet * (MARGIN - d)) for bet in bets]
    assert np.exp(e_values.log_e_safe(200, b, c, MARGIN)) == pytest.approx(np.mean(capital), rel=1e-10)


@pytest.mark.shared
@pytest.mark.skipif(not GOLDEN.exists(), reason="no ../shared/golden")
def test_golden_values():
    golden = json.loads(GOLDEN.read_text())
    for row in golden["eprocess"]:
        assert e_values.log_e_worse(row["b"], row["c"]) == pytest.approx(row["log_e"], abs=1e-10)
    for row in golden["noninferiority_eprocess"]:
        n = row["n_same"] + row["b"] + row["c"]
        found = e_values.log_capital(n, row["b"], row["c"], row["margin"], row["lam"])
        assert found == pytest.approx(row["log_capital"], rel=1e-10)


@pytest.mark.parametrize("q", [0.5, 0.3])
def test_next_e_worse_is_at_most_the_last_on_average(q):
    """E[E after one more flip | b, c] = E at q = ½, and less below: what makes peeking safe."""
    for b in range(12):
        for c in range(12):
            now, lost, gained = np.exp(e_values.log_e_worse([b, b + 1, b], [c, c, c + 1]))
            assert q * lost + (1 - q) * gained <= now * (1 + 1e-12)
            if q == 0.5:
                assert q * lost + (1 - q) * gained == pytest.approx(now, rel=1e-12)


def simulated_counts(trials, drop, seed):
    """b and c after every item, (trials, ITEMS)."""
    rng = np.random.default_rng(seed)
    outcome = rng.choice([1, -1, 0], size=(trials, ITEMS), p=[(FLIP + drop) / 2, (FLIP - drop) / 2, 1 - FLIP])
    return (outcome == 1).cumsum(1), (outcome == -1).cumsum(1)


def test_false_alarms_under_continuous_peeking():
    """Looking after each of 1,500 items, 1,000 trials: the e-values keep α (binomial test at 1e-4); the naive
    test, stopping at the first p ≤ α, errs in more than a fifth of them."""
    b, c = simulated_counts(1000, 0.0, seed=1)
    alarms = int((e_values.log_e_worse(b, c).max(axis=1) >= np.log(1 / ALPHA)).sum())
    assert stats.binomtest(alarms, 1000, ALPHA, alternative="greater").pvalue > 1e-4
    naive = int((mcnemar.p_exact(b, c).min(axis=1) <= ALPHA).sum())
    assert naive > 200 and naive > 5 * alarms

    b, c = simulated_counts(1000, MARGIN, seed=2)  # a drop of exactly the margin is not safe
    n = np.arange(1, ITEMS + 1)
    alarms = int((e_values.log_e_safe(n, b, c, MARGIN).max(axis=1) >= np.log(1 / ALPHA)).sum())
    assert stats.binomtest(alarms, 1000, ALPHA, alternative="greater").pvalue > 1e-4
    z = (n * MARGIN - (b - c)) / np.sqrt(np.maximum(b + c, 1))
    assert int((z[:, 30:].max(axis=1) >= stats.norm.isf(ALPHA)).sum()) > 200


def test_it_stops_early_where_there_is_something_to_see():
    """A drop of 6 points is found in most trials, on a fraction of the items; an equal model is shown safe."""
    b, c = simulated_counts(300, 0.06, seed=3)
    crossed = e_values.log_e_worse(b, c) >= np.log(1 / ALPHA)
    assert crossed.any(axis=1).mean() > 0.9 and np.median(crossed.argmax(axis=1)[crossed.any(axis=1)]) < ITEMS / 2
    b, c = simulated_counts(300, -0.02, seed=4)
    e = e_values.log_e_safe(np.arange(1, ITEMS + 1), b, c, 0.03)
    assert (e >= np.log(1 / ALPHA)).any(axis=1).mean() > 0.9


def test_the_finite_bank_is_another_question():
    """A bank of one lost and one gained item in random order, stopped at the first loss: mean 1.083, not 1."""
    lost_first, gained_first = np.exp(e_values.log_e_worse([1, 1], [0, 1]))
    assert (lost_first + gained_first) / 2 == pytest.approx(1.083, abs=5e-4)


def test_a_verdict_stays():
    state = Watch(margin=MARGIN)
    for _ in range(8):
        state.add(1, 0)
    assert (state.verdict, state.decided_at) == (verdicts.DEGRADED, 7) and state.largest_worse == state.e_worse
    for _ in range(2000):
        state.add(0, 1)
    assert state.verdict == verdicts.DEGRADED and state.e_worse < 1e-100 < 1e100 < state.e_safe
    for settings in (dict(alpha=0.7), dict(margin=0), dict(margin=1)):
        with pytest.raises(InputError):
            Watch(**settings)


# ---- files that grow ---------------------------------------------------------------------------------------


def test_growing_csv(tmp_path):
    """Only whole lines count while a file grows; an item arrives when both have it, or at the end; nothing twice."""
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text("prompt_id,score\nq0,1\nq1,0\nq2,1")
    paths[1].write_text("score,prompt_id\n1,q1\n")
    runs = [Growing(path) for path in paths]
    assert runs[0].read_new() == ["q0", "q1"]
    with paths[0].open("a") as file:
        file.write("\n")
    assert repr(list(follow(*runs, None))) == "[('q1', 0.0, 1.0), ('q0', 1.0, nan), ('q2', 1.0, nan)]"
    with paths[0].open("a") as file:
        file.write("q3,\n")
    with paths[1].open("a") as file:
        file.write("0,q3\nfalse,q2\n")
    assert repr(list(follow(*runs, None))) == "[('q2', 1.0, 0.0), ('q3', nan, 0.0), ('q0', 1.0, nan)]"
    paths[0].write_text("prompt_id,score\n")
    with pytest.raises(InputError, match="became shorter"):
        list(follow(*runs, None))


def sample(doc, right, filter_="none", **more):
    return json.dumps({"doc_id": doc, "doc": {"q": doc}, "target": "x", "filter": filter_, "metrics": ["acc"],
                       "acc": right, "doc_hash": f"d{doc}", "target_hash": "t", **more}) + "\n"


def test_growing_samples(tmp_path):
    name = "samples_some_task_2026-01-02T03-04-05.123456.jsonl"
    for which in "ab":
        (tmp_path / which).mkdir()
    (tmp_path / "a" / name).write_text(sample(0, 1.0) + sample(1, "True") + sample(2, None))
    (tmp_path / "b" / name).write_text(sample(1, False) + sample(0, 1) + sample(2, 0.0))
    runs = [Growing(tmp_path / which / name) for which in "ab"]
    assert repr(list(follow(*runs, None))) == "[('0', 1.0, 1.0), ('1', 1.0, 0.0), ('2', nan, 0.0)]"
    assert runs[0].higher_is_better() is None
    (tmp_path / "a" / "results_2026-01-02T03-04-05.123456.json").write_text(
        json.dumps({"higher_is_better": {"some_task": {"acc": False}}}))
    assert runs[0].higher_is_better() is False

    (tmp_path / "a" / name).write_text(sample(0, 1, "strict") + sample(0, 1, "loose"))
    with pytest.raises(InputError, match=r"several filters \(strict, loose\)"):
        Growing(tmp_path / "a" / name).read_new()
    chosen = Growing(tmp_path / "a" / name, Choices({"some_task": ("acc", "loose")}))
    assert chosen.read_new() == ["0"]
    (tmp_path / "b" / name).write_text(sample(0, 1, "loose", doc_hash="other"))
    with pytest.raises(InputError, match="item 0: the doc differs"):
        other = Growing(tmp_path / "b" / name)
        list(follow(Growing(tmp_path / "a" / name, Choices({"some_task": ("acc", "loose")})), other, None))


def test_a_stream_is_judged_before_it_ends():
    """The real script on a pipe that stays open: it prints after each item and ends at the decision."""
    command = [sys.executable, ROOT / "mcnemar_tests.py", "watch", "--json", "-", "--fail-on", "degraded"]
    watch = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
    for i in range(7):
        watch.stdin.write(json.dumps({"prompt_id": i, "baseline": 1, "candidate": 0}) + "\n")
        watch.stdin.flush()
        row = json.loads(watch.stdout.readline())
        assert row["n"] == row["b"] == i + 1
        assert row["e_worse"] == pytest.approx(np.exp(e_values.log_e_worse(i + 1, 0)))
    assert watch.wait(20) == 1  # our end of the pipe is still open
    final = json.loads(watch.stdout.readline())
    assert final["final"] and final["verdict"] == "degraded" and final["decided_at"] == 7
    assert "DEGRADED after 7 items" in watch.stderr.read()
    for pipe in (watch.stdin, watch.stdout, watch.stderr):
        pipe.close()


def test_a_last_line_without_its_end_counts_where_the_file_is_finished(tmp_path):
    paths = [tmp_path / name for name in ("baseline.csv", "candidate.csv")]
    for path, last in zip(paths, (1, 0), strict=True):
        path.write_text(f"prompt_id,score\na,1\nb,{last}")
    assert [*follow(*map(Growing, paths), None)] == [("a", 1.0, 1.0), ("b", 1.0, 0.0)]
    growing = Growing(paths[0])
    assert growing.read_new() == ["a"] and growing.read_new(finished=True) == ["b"]
    assert growing.read_new(finished=True) == []
    paths[0].write_text("prompt_id,score\na,1\nb")
    with pytest.raises(InputError, match="row 3: 1 cells under 2 columns"):
        [*follow(*map(Growing, paths), None)]


def test_files_are_followed_while_they_are_written(script, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("prompt_id,score\n")

    def write():
        for i in range(12):
            time.sleep(0.1)
            for name, score in (("a", 1), ("b", 0)):
                with (tmp_path / f"{name}.csv").open("a") as file:
                    file.write(f"q{i},{score}\n")

    writer = threading.Thread(target=write)
    writer.start()
    done = script("mcnemar_tests.py", "watch", "a.csv", "b.csv", "--follow", 30, "--json", "out.jsonl", cwd=tmp_path)
    writer.join()
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["n"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 7] and "DEGRADED after 7 items" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_undecided_and_the_margin(script, tmp_path):
    lines = "".join(json.dumps({"prompt_id": i, "baseline": 1, "candidate": int(i != 5)}) + "\n" for i in range(40))
    flags = ("watch", "--every", 15, "--fail-on", "not-shown-safe")
    done = script("mcnemar_tests.py", *flags, cwd=tmp_path, stdin=lines, code=1)
    shown = [line.split()[0] for line in done.stdout.splitlines()[1:4]]
    assert shown == ["15", "30", "40"] and "UNDECIDED after 40 items" in done.stdout
    done = script("mcnemar_tests.py", *flags, "--margin", 0.3, cwd=tmp_path, stdin=lines)
    assert "NOT DEGRADED by 30 points or more after" in done.stdout
    swapped = script("mcnemar_tests.py", "watch", "--lower-is-better", "--json", "-", cwd=tmp_path, stdin=lines)
    assert json.loads(swapped.stdout.splitlines()[-1])["c"] == 1


ONE = '{"prompt_id": 1, "baseline": 1, "candidate": 0}\n'


@pytest.mark.parametrize("flags, stdin, message", [
    ((), "", "nothing to watch"),
    ((), '{"prompt_id": 1, "baseline": null, "candidate": null}\n', "nothing to watch"),
    ((), "no json\n", "standard input: line 1: not JSON"),
    ((), '{"prompt_id": 1}\n', "line 1: expected"),
    ((), '{"prompt_id": 1, "baseline": 0.5, "candidate": 1}\n', "takes scores of 0 or 1"),
    ((), '{"prompt_id": 1, "baseline": "good", "candidate": 1}\n', "'good' is not a number"),
    (("a.csv",), "", "or neither"),
    (("a.csv", "none.csv"), "", "none.csv: no such file"),
    (("a.csv", "runs.csv"), "", "takes no runs or clusters"),
    (("a.csv", "torn.csv"), "", "torn.csv: row 2: 1 cells under 2 columns"),
    (("a.csv", "twice.csv"), "", "item q0 occurs twice"),
    (("a.csv", "other.txt"), "", "neither a CSV nor"),
    (("--margin", "1"), ONE, "margin = 1 is half of the scale"),
    (("--json", "a.csv"), ONE, "a.csv exists"),
])
def test_bad_input(script, tmp_path, flags, stdin, message):
    texts = {"a.csv": "prompt_id,score\nq0,1\n", "runs.csv": "prompt_id,score,run\nq0,1,0\n",
             "torn.csv": "prompt_id,score\nq0\n", "twice.csv": "prompt_id,score\nq0,1\nq0,1\n", "other.txt": "{}\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = script("mcnemar_tests.py", "watch", *flags, cwd=tmp_path, stdin=stdin, code=2)
    assert message in done.stderr and done.stdout == "" and done.stderr.count("\n") == 1
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == texts


def test_an_item_twice_in_a_stream(script, tmp_path):
    done = script("mcnemar_tests.py", "watch", cwd=tmp_path, stdin=ONE * 2, code=2)
    assert "line 2: prompt_id 1 appeared before" in done.stderr


# ---- order -------------------------------------------------------------------------------------------------


def sorted_by_task(folder, tasks=12, items=250, seed=0):
    """Two CSVs of tasks in blocks: damaged tasks first, as many improved ones last, a net drop of 0."""
    rng = np.random.default_rng(seed)
    lines = {"a": [], "b": []}
    for task in range(tasks):
        lost = 0.7 if task < tasks / 2 else 0.3
        for i in range(items):
            before, after = (int(rng.random() < lost),) * 2
            if rng.random() < 0.2:
                before = int((i % 10 < 7) == (task < tasks / 2))
                after = 1 - before
            lines["a"].append(f"q{i},{before},t{task}\n")
            lines["b"].append(f"q{i},{after},t{task}\n")
    for name, rows in lines.items():
        (folder / f"{name}.csv").write_text("prompt_id,score,task\n" + "".join(rows))
    return lines


def test_finished_files_are_shuffled_and_blocks_are_refused(script, tmp_path):
    sorted_by_task(tmp_path)
    done = script("mcnemar_tests.py", "watch", "a.csv", "b.csv", "--json", "o.jsonl", cwd=tmp_path)
    final = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[-1])
    assert final["order"] == "shuffled, seed 0" and final["verdict"] != "degraded"
    assert done.stdout.startswith("order: random (shuffled, seed 0)\n")
    assert "in random order; for" in " ".join(done.stdout.split())
    for flags in (("--order", "file"), ("--follow", 0.1)):
        refused = script("mcnemar_tests.py", "watch", "a.csv", "b.csv", *flags, "--keep-going", cwd=tmp_path, code=2)
        assert "a random order has about" in refused.stderr and "verdict" not in refused.stdout
    # Another order of the lines is the same shuffle; another seed is another one.
    for name in "ab":
        head, *rows = (tmp_path / f"{name}.csv").read_text().splitlines()
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *sorted(rows, reverse=True)]) + "\n")
    again = script("mcnemar_tests.py", "watch", "a.csv", "b.csv", cwd=tmp_path)
    assert again.stdout == done.stdout
    assert script("mcnemar_tests.py", "watch", "a.csv", "b.csv", "--seed", 5, cwd=tmp_path).stdout != done.stdout
    script("mcnemar_tests.py", "watch", "a.csv", "b.csv", "--task", "t9", "--follow", 0.1, "--keep-going",
           cwd=tmp_path)  # one task is no block


def test_ids_that_only_go_up_are_said(script, tmp_path):
    lines = [json.dumps({"prompt_id": f"q{i}", "baseline": 1, "candidate": int(i != 5)}) + "\n" for i in range(40)]
    done = script("mcnemar_tests.py", "watch", cwd=tmp_path, stdin="".join(lines))
    assert "ascending order" in " ".join(done.stdout.split())
    done = script("mcnemar_tests.py", "watch", cwd=tmp_path, stdin="".join(lines[::3] + lines[1::3] + lines[2::3]))
    assert "ascending order" not in " ".join(done.stdout.split())
    blocks = [json.dumps({"prompt_id": f"{t}/{i}", "baseline": 1, "candidate": 1}) + "\n" for t in "abc"
              for i in range(40)]
    refused = script("mcnemar_tests.py", "watch", cwd=tmp_path, stdin="".join(blocks), code=2)
    assert "of 2 groups (a, …) arrived in 2 runs" in refused.stderr and refused.stderr.count("\n") == 1


def test_watching_a_model_against_itself_is_refused(script, tmp_path):
    text = "prompt_id,score\n" + "".join(f"q{i},{i % 3 > 0:d}\n" for i in range(900))
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_text(text)
    refused = script("mcnemar_tests.py", "watch", "a.csv", "b.csv", cwd=tmp_path, code=2)
    assert "are the same content" in refused.stderr
    script("mcnemar_tests.py", "watch", "a.csv", "b.csv", "--allow-same", cwd=tmp_path)


@pytest.mark.parametrize("items", [40, 300, 3000])
def test_a_shuffled_bank_raises_no_false_alarm(items):
    """A finite bank with as many lost as gained, 2,000 shuffles: at most α of false alarms (binomial test at 1e-4).
    In the order of its file, lost ones first, every run is one."""
    flips = items // 10
    d = np.r_[np.ones(flips // 2), -np.ones(flips - flips // 2), np.zeros(items - flips)].astype(int)
    rng = np.random.default_rng(items)
    orders = rng.permuted(np.tile(d, (2000, 1)), axis=1)
    e = e_values.log_e_worse((orders == 1).cumsum(1), (orders == -1).cumsum(1))
    alarms = int((e.max(axis=1) >= np.log(1 / ALPHA)).sum())
    assert stats.binomtest(alarms, 2000, ALPHA, alternative="greater").pvalue > 1e-4
    if items >= 300:
        assert e_values.log_e_worse((d == 1).cumsum(), (d == -1).cumsum()).max() >= np.log(1 / ALPHA)


def test_random_orders_are_not_taken_for_blocks():
    """No refusal in 3,000 random orders of groups of unlike sizes; mean and variance of the number of runs over every
    order of a small bank."""
    counted = [1 + sum(one != other for one, other in itertools.pairwise(every))
               for every in set(itertools.permutations("aaabbc"))]
    assert order.runs_at_random(np.array([3.0, 2.0, 1.0])) == pytest.approx((np.mean(counted), np.var(counted)))
    rng = np.random.default_rng(1)
    names = np.array([f"{group}/{i}" for group, size in zip("abcd", (30, 5, 2, 80), strict=True) for i in range(size)])
    assert not any(order.grouped(list(rng.permutation(names))) for _ in range(3000))
    assert order.grouped(list(names)) and not order.grouped([f"q{i}" for i in range(99)])
    assert not order.grouped([f"{i}x" for i in range(99)])
    two = [f"{'ab'[i // 2 % 2]}/{i}" for i in range(400)]  # runs of two, where a random order has two on average
    assert order.grouped(two) is None
    assert sorted(order.shuffled(list("cab"), 3)) == [0, 1, 2]


def test_missing_answers_count_against_the_candidate(script, tmp_path):
    """196 failures that were never written: no verdict may call them safe, unless it says that it assumes so."""
    rng = np.random.default_rng(0)
    base = (rng.random(4000) < 0.7).astype(int)
    gone = set(rng.choice(np.flatnonzero(base), 196, replace=False).tolist())
    (tmp_path / "a.csv").write_text("prompt_id,score\n" + "".join(f"q{i},{s}\n" for i, s in enumerate(base)))
    for name, text in (("absent", ""), ("blank", "q{},\n")):
        lines = (text.format(i) if i in gone else f"q{i},{s}\n" for i, s in enumerate(base))
        (tmp_path / f"{name}.csv").write_text("prompt_id,score\n" + "".join(lines))
        both = ("mcnemar_tests.py", "watch", "a.csv", f"{name}.csv", "--keep-going", "--every", 4000, "--json", "-")
        done = script(*both, cwd=tmp_path)
        final = json.loads(done.stdout.splitlines()[-1])
        assert (final["n"], final["missing"], final["verdict"]) == (4000, 196, "undecided")
        assert not final["within_margin"]
        assert '"safe" counts them against the candidate (196 lost)' in " ".join(done.stderr.split())
        done = script(*both, "--missing-at-random", cwd=tmp_path)
        final = json.loads(done.stdout.splitlines()[-1])
        assert (final["n"], final["skipped"], final["within_margin"]) == (3804, 196, True)
        assert "taken to be missing at random" in " ".join(done.stderr.split())


def test_missing_answers_of_either_model():
    state = Watch(0.05)
    for pair in ((1, np.nan), (0, np.nan), (np.nan, 0), (np.nan, 1), (1, 0)):
        state.add(*pair)
    assert (state.n, state.b, state.c, state.missing, state.against) == (5, 1, 0, 4, 2)
    other = Watch(0.05)
    for pair in ((1, 0), (0, 0), (1, 0), (1, 1), (1, 0)):
        other.add(*pair)
    assert state.e_safe == other.e_safe and state.e_worse < other.e_worse
