"""Every family new in turn: it is left out, a killed run resumes, and the table is what a slow recomputation says."""

import hashlib
import math
import multiprocessing
import statistics
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import leave_one_family_out
from llm_accuracy.querying import factors
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.estimators import estimate
from llm_accuracy.querying.evaluation import evaluate
from llm_accuracy.querying.factors import Factors, Fit
from llm_accuracy.querying.setting import MIXTURE_SETTING
from llm_accuracy.randomness import stream, uniforms
from llm_accuracy.scores.matrix import Responses, read_matrix, write_matrix
from llm_accuracy.study import leave_one_out as lofo

SCRIPT = "leave_one_family_out.py"
QUICK = ["--rank", 2, "--epochs", 20]


def board(path, families=10, each=1, questions=40, partial=False, seed=0):
    """A random board with some structure: able models, easy questions."""
    rng = np.random.default_rng(seed)
    models = families * each
    p = 1 / (1 + np.exp(-rng.normal(0.5, 1, (models, 1)) - rng.normal(0, 1.5, questions)))
    scores = (rng.random((models, questions)) < p).astype(np.int8)
    if partial:
        scores = np.round((scores + rng.random(scores.shape)) / 2, 2).astype(np.float32)
    names = [f"f{i // each}-m{i % each}" for i in range(models)]
    write_matrix(path, Responses(names, [f"q{j}" for j in range(questions)], scores,
                                 families=[name.split("-")[0] for name in names]))
    return path


def read(path, **changed):
    flags = dict(rank=2, weight_decay=1.0, protocol="map", epochs=20, methods=["faq-mix"], budgets=["5", "20"], seeds=3)
    return lofo.Board.read(path, **flags | changed)


def run(matrix, logs, *flags):
    leave_one_family_out.main([str(flag) for flag in (matrix, *QUICK, "--logs-dir", logs, *flags)])
    return pd.read_csv(logs / "leave_one_family_out.csv")


def contents(folder):
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


# --- who is left out -----------------------------------------------------------------------------------

def test_factors_without_a_family_know_nothing_of_its_scores(tmp_path):
    original = read(board(tmp_path / "b.csv", families=5, each=2))
    scores = original.responses.scores.copy()
    scores[original.family == "f3"] ^= 1
    write_matrix(tmp_path / "b.csv", Responses(original.responses.models, original.responses.questions, scores,
                                               families=original.family))
    flipped = read(tmp_path / "b.csv")
    ([(_, before)], [(_, after)]) = (list(one.fitted(one.groups)) for one in (original, flipped))
    assert list(before) == [f"f{i}" for i in range(5)]
    for family in before:
        same = [np.array_equal(getattr(before[family], name), getattr(after[family], name))
                for name in ("U", "V", "history_mean")]
        assert same == [family == "f3"] * 3, family
        assert len(before[family].prior.rows) == 8


def test_copies_of_a_model_help_only_where_they_are_kept(tmp_path, capsys):
    """Three coin-flip answer sheets, four copies of each: only a sibling in the history gives the answers away."""
    sheets = np.random.default_rng(1).integers(0, 2, (3, 100)).astype(np.int8)
    found = {}
    for name, families in (("left-out", np.repeat(["a", "b", "c"], 4)), ("kept", [f"f{i}" for i in range(12)])):
        matrix = tmp_path / f"{name}.csv"
        write_matrix(matrix, Responses([f"m{i}" for i in range(12)], [f"q{j}" for j in range(100)],
                                       np.repeat(sheets, 4, axis=0), families=families))
        table = run(matrix, tmp_path, "--seeds", 20, "--budgets", 25, "--epochs", 100)
        found[name] = table.set_index("dataset").loc[name]
    assert found["left-out"]["ess_mse"] < 1 and found["left-out"]["ess_width"] < 1
    assert found["kept"]["ess_mse"] > 1.5 and found["kept"]["ess_width"] > 1.3


def test_incomplete_models_are_named_and_serve_as_history_only(tmp_path, capsys):
    whole = read_matrix(board(tmp_path / "b.csv", families=4, each=2))
    keep = np.ones(whole.scores.shape, bool)
    keep[0, 3] = keep[6, 5] = keep[7, 5] = False
    write_matrix(tmp_path / "b.csv", whole.masked(keep))
    row = run(tmp_path / "b.csv", tmp_path, "--budgets", 10, "--seeds", 2).iloc[0]
    said = capsys.readouterr().out
    assert "3 models lack scores and are history only: f0-m0, f3-m0, f3-m1" in said
    assert "f0 (2), f1 (2), f2 (2), f3 (2)" in said and "5 models of 3 families" in said
    assert (row["models"], row["families"]) == (5, 3)
    [(_, model_of)] = read(tmp_path / "b.csv").fitted([lofo.Group(1, 2)])
    assert len(model_of["f1"].U) == 6  # the incomplete ones among them


# --- the numbers ---------------------------------------------------------------------------------------

def slowly(path, budgets, seeds):
    """Every evaluation by itself, then plain loops: budget → the table's numbers."""
    responses = read_matrix(path)
    n = responses.n_questions
    evaluations = {budget: [] for budget in budgets}  # (model, seed, accuracy, SRS variance, θ̂, half-width)
    for row, model in enumerate(responses.models):
        family = model.split("-")[0]
        others = [i for i, name in enumerate(responses.models) if name.split("-")[0] != family]
        seen = np.zeros(responses.scores.shape, bool)
        seen[others] = True
        fit = Fit(2, 1.0, stream("leave-out", path.stem, family, 2, 1.0), seen)
        [(U, V)] = factors.fit(responses.scores, [fit], factors.PROTOCOLS["map"], 20)
        prior = Factors(U[others], V, responses.questions, np.zeros(n)).prior
        answers = [float(score) for score in responses.scores[row]]
        truth = statistics.fmean(answers)
        for seed in range(seeds):
            draws = uniforms(path.stem, "leave-one-out", seed, [model], max(budgets))
            trace = evaluate(Bank.of(V), prior, [MIXTURE_SETTING], draws, responses.scores[[row]].astype(np.float32),
                             "without", "faq-mix")
            for budget in budgets:
                one = estimate(trace, budget, n, "without", "pooled", 2)
                half = stats.t.ppf(0.975, one.df) * one.se[0]
                srs = (1 - budget / n) * statistics.variance(answers) / budget
                evaluations[budget].append((model, seed, truth, srs, one.theta[0], half))
    return {budget: {**table_of(rows)} for budget, rows in evaluations.items()}


def table_of(rows):
    inside = {(m, s): max(0, e - h) - 1e-9 <= t <= min(1, e + h) + 1e-9 for m, s, t, _, e, h in rows}
    width = {(m, s): min(1, e + h) - max(0, e - h) for m, s, t, _, e, h in rows}
    names, seeds = sorted({m for m, *_ in rows}), sorted({s for _, s, *_ in rows})
    per_model = {m: statistics.fmean(inside[m, s] for s in seeds) for m in names}
    srs_width = statistics.fmean(2 * stats.norm.ppf(0.975) * math.sqrt(v) for *_, v, _, _ in rows)
    by_seed = [(srs_width / statistics.fmean(width[m, s] for m in names)) ** 2 for s in seeds]
    factor = sorted(abs(e - t) / h for *_, t, _, e, h in rows)[math.ceil(0.95 * len(rows) - 1e-9) - 1]
    errors = [statistics.fmean((e - t) ** 2 for _, s, t, _, e, _ in rows if s == seed) for seed in seeds]
    by_error = statistics.fmean(v for *_, v, _, _ in rows) / statistics.fmean(errors)
    return {"coverage": statistics.fmean(inside.values()), "worst": min(per_model.values()),
            "zero_width": statistics.fmean(w == 0 for w in width.values()),
            "mean_width": statistics.fmean(width.values()), "ess_width": statistics.fmean(by_seed),
            "ess_width_se": statistics.stdev(by_seed) / len(seeds) ** 0.5, "ess_mse": by_error,
            "ess_mse_se": by_error * statistics.stdev(errors) / len(seeds) ** 0.5 / statistics.fmean(errors),
            "ess_equal_coverage": (srs_width / (2 * factor * statistics.fmean(h for *_, h in rows))) ** 2}


@pytest.mark.parametrize("partial", [False, True])
def test_table_against_one_evaluation_at_a_time(tmp_path, capsys, partial):
    matrix = board(tmp_path / "b.csv", families=4, each=2, partial=partial)
    table = run(matrix, tmp_path, "--budgets", 5, 20, "--seeds", 4, "--methods", "faq-mix").set_index("budget")
    for budget, expected in slowly(matrix, (5, 20), 4).items():
        found = table.loc[budget]
        for name, value in expected.items():
            # Ratios are logged in bins a hundredth wide; batches of rows round differently from single rows.
            tolerance = 0.03 if name == "ess_equal_coverage" else 1e-3
            assert found[name] == pytest.approx(value, rel=tolerance), name
        assert found["coverage_se"] == pytest.approx(math.sqrt(found["coverage"] * (1 - found["coverage"]) / 32),
                                                     rel=1e-3)


def test_quantile_from_binned_ratios():
    ratios = np.abs(np.random.default_rng(2).standard_normal(5000)) / 1.96
    counts = np.bincount(np.ceil(ratios / lofo.RATIO_STEP).astype(int), minlength=lofo.RATIO_BINS + 1)
    for share in (0.5, 0.95, 0.99):
        assert abs(lofo.ratio_quantile(counts, share) - np.quantile(ratios, share, method="inverted_cdf")) < 0.01
    counts[lofo.RATIO_BINS] = 500
    assert lofo.ratio_quantile(counts, 0.95) == math.inf
    assert lofo.ratio_quantile(np.eye(lofo.RATIO_BINS + 1)[0], 0.95) == 0


def test_one_question_and_all_of_them(tmp_path, capsys):
    table = run(board(tmp_path / "b.csv"), tmp_path, "--budgets", 1, "100%", "--seeds", 2).set_index("budget")
    # One answer says nothing of the others, but is itself known: 39 of 40 are open.
    assert table.loc[1, ["coverage", "mean_width", "ess_equal_coverage"]].tolist() == [1, 0.975, 0]
    assert table.loc[40, ["coverage", "mean_width", "zero_width"]].tolist() == [1, 0, 1]
    assert table.loc[40, ["ess_width", "ess_equal_coverage", "ess_mse"]].isna().all()


def test_methods_are_selectable_and_other_rows_of_the_table_stay(tmp_path, capsys):
    matrix = board(tmp_path / "b.csv", families=3)
    run(matrix, tmp_path, "--budgets", 5, "--seeds", 2, "--methods", "faq", "uniform+factors")
    lines = (tmp_path / "leave_one_family_out.csv").read_text().splitlines()
    table = run(matrix, tmp_path, "--budgets", 10, "--seeds", 3)
    assert set(lines) < set((tmp_path / "leave_one_family_out.csv").read_text().splitlines())
    assert [*zip(table["method"], table["budget"], table["seeds"], strict=True)] == [
        ("faq", 5, 2), ("rounds", 10, 3), ("uniform+factors", 5, 2)]
    parts = pd.read_csv(tmp_path / "leave_one_family_out_parts.csv").set_index("method")
    assert parts["sampling"].to_dict() == {"faq": "with", "rounds": "rounds", "uniform+factors": "without"}
    assert parts.loc["faq", "variance"] == "published" and "tau=1.0" in parts.loc["uniform+factors", "setting"]
    assert max(map(len, capsys.readouterr().out.splitlines()[3:8])) <= 80


# --- resuming ------------------------------------------------------------------------------------------

FLAGS = ["--budgets", 3, 8, "--seeds", 103, "--methods", "faq-mix", "uniform+factors"]
FILES = ("leave_one_family_out.csv", "leave_one_family_out_parts.csv")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: ten families in two groups, 103 seeds in two ranges, two methods, two budgets."""
    folder = tmp_path_factory.mktemp("finished")
    run(board(folder / "b.csv"), folder, *FLAGS)
    return folder


def test_a_finished_run_is_not_repeated(finished, capsys):
    before = contents(finished)
    run(finished / "b.csv", finished, *FLAGS)
    assert contents(finished) == before and "0/0 parts" in capsys.readouterr().err
    lines = (finished / FILES[1]).read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 2 * 2 and max(map(len, lines)) < 3000


@pytest.mark.parametrize("kept", [0.001, 0.62, 0.999])
def test_an_interrupted_run_ends_with_the_same_bytes(finished, tmp_path, capsys, kept):
    """A log cut anywhere is what a kill leaves behind."""
    text = (finished / FILES[1]).read_bytes()
    (tmp_path / FILES[1]).write_bytes(text[: int(kept * len(text))])
    run(finished / "b.csv", tmp_path, *FLAGS)
    assert all((tmp_path / name).read_bytes() == (finished / name).read_bytes() for name in FILES)


def test_killed_at_work(finished, tmp_path, capsys):
    """kill -9 as soon as something is in the log, then the same command again."""
    command = [str(word) for word in (finished / "b.csv", *QUICK, *FLAGS, "--logs-dir", tmp_path)]
    child = multiprocessing.get_context("forkserver").Process(target=leave_one_family_out.main, args=(command,))
    child.start()
    while child.is_alive() and not (tmp_path / FILES[1]).exists():
        time.sleep(0.005)
    child.kill()
    child.join()
    assert (finished / FILES[1]).read_bytes().startswith((tmp_path / FILES[1]).read_bytes())
    run(finished / "b.csv", tmp_path, *FLAGS)
    assert all((tmp_path / name).read_bytes() == (finished / name).read_bytes() for name in FILES)


def test_a_lost_row_is_made_again_and_the_others_are_kept(finished, tmp_path, capsys):
    lines = (finished / FILES[1]).read_text().splitlines(keepends=True)
    (tmp_path / FILES[1]).write_text("".join(lines[:4] + lines[5:]))
    run(finished / "b.csv", tmp_path, *FLAGS)
    assert (tmp_path / FILES[1]).read_text() == "".join(lines[:4] + lines[5:] + lines[4:5])
    assert (tmp_path / FILES[0]).read_bytes() == (finished / FILES[0]).read_bytes()


CHANGES = {"rank": 3, "weight_decay": 2.0, "epochs": 21, "protocol": "adamw", "methods": ["faq"], "budgets": ["6"],
           "seeds": 2}


def test_keys_tell_matrices_families_and_settings_apart(tmp_path):
    path = board(tmp_path / "b.csv", each=2)
    original = read(path)
    keys = {tuple(original.key(part, 5).values()) for part in original.parts()}
    for name, value in CHANGES.items():
        other = read(path, **{name: value})
        assert keys.isdisjoint(tuple(other.key(part, other.budgets[0]).values()) for part in other.parts()), name
    responses = original.responses
    scores = responses.scores.copy()
    scores[-1, -1] ^= 1
    for changed in (dict(scores=scores), dict(families=np.roll(responses.families, 1))):
        fields = {name: getattr(responses, name) for name in ("models", "questions", "scores", "families")}
        write_matrix(path, Responses(**fields | changed))
        assert keys.isdisjoint(tuple(read(path).key(part, 5).values()) for part in read(path).parts())


def test_help_and_dry_run_write_nothing(finished, tmp_path, script):
    before = contents(finished)
    assert script(SCRIPT, "--help").stdout.startswith("usage:")
    for logs, count in ((tmp_path / "logs", 8), (finished, 0)):
        said = script(SCRIPT, finished / "b.csv", *QUICK, *FLAGS, "--logs-dir", logs, "--dry-run").stdout.splitlines()
        assert said[:2] == ["b: 10 models of 10 families (models in brackets):",
                            ", ".join(f"f{i} (1)" for i in range(10))]
        assert said[-1].startswith(f"{count} parts to run, about ")
    assert not list(tmp_path.iterdir()) and contents(finished) == before


# --- input that cannot be used -------------------------------------------------------------------------

def only(rows):
    def change(folder):
        matrix = read_matrix(folder / "b.csv")
        write_matrix(folder / "b.csv", matrix.take(slice(rows)))
    return change


def blank_a_column(folder):
    matrix = read_matrix(folder / "b.csv")
    write_matrix(folder / "b.csv", matrix.masked(np.arange(matrix.n_questions) != np.zeros((matrix.n_models, 1))))


def append(name, text):
    def change(folder):
        (folder / "logs").mkdir(exist_ok=True)
        with (folder / name).open("a") as out:
            out.write(text)
    return change


BAD = {
    "budget above N": (None, ["--budgets", 41], "between 1 and 40"),
    "budget of 0": (None, ["--budgets", "1%"], "between 1 and 40"),
    "budget above all": (None, ["--budgets", "101%"], "a share of the bank is 100% at most"),
    "rank above the models": (None, ["--rank", 60], "without its largest family gives"),
    "budget in words": (None, ["--budgets", "few"], "a number of questions"),
    "two families": (only(2), [], "b.csv: 2 families (f0, f1); at least 3 are needed"),
    "no complete model": (blank_a_column, [], "no model has all 40 scores"),
    "ragged row": (append("b.csv", "x,,,fx,1,0\n"), [], "line 12 (x): 2 scores, the header names 40 questions"),
    "two models of one name": (append("b.csv", "f0-m0,,,f0" + 40 * ",1" + "\n"), [], "occurs 2 times"),
    "score above one": (append("b.csv", "x,,,fx" + 39 * ",1" + ",2\n"), [], "'2' is not a score"),
    "no such matrix": (lambda folder: (folder / "b.csv").unlink(), [], "b.csv: no such file"),
    "another table": (append("logs/leave_one_family_out.csv", "dataset,budget\nb,20\n"), [], "not a table of this"),
    "an empty table": (append("logs/leave_one_family_out.csv", ""), [], "not a table of this"),
    "another log": (append("logs/leave_one_family_out_parts.csv", "dataset,seed\n"), [], "the header has changed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(tmp_path, script, case):
    change, flags, message = BAD[case]
    board(tmp_path / "b.csv")
    if change:
        change(tmp_path)
    before = contents(tmp_path)
    done = script(SCRIPT, tmp_path / "b.csv", *QUICK, "--logs-dir", tmp_path / "logs", *flags, code=2)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize("flags", [["--weight-decay", -1], ["--weight-decay", "nan"], ["--rank", 0], ["--seeds", 0],
                                   ["--methods", "best"]])
def test_flags_out_of_range(tmp_path, script, flags):
    done = script(SCRIPT, board(tmp_path / "b.csv"), "--logs-dir", tmp_path / "logs", *flags, code=2)
    assert f"argument {flags[0]}" in done.stderr and not (tmp_path / "logs").exists()

