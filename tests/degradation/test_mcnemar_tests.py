"""The script as a user runs it: what it prints, writes and returns, and that bad input changes nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import run_script

from llm_accuracy.degradation import intervals, mcnemar, unconditional

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/data")


def script(*arguments, cwd):
    return run_script("mcnemar_tests.py", *arguments, cwd=cwd, code=None)


def snapshot(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in Path(folder).rglob("*")
    }


def write_scores(path, scores, header="prompt_id,score"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "\n" + "".join(f"q{i},{s}\n" for i, s in enumerate(scores)))


def flipped(n, b, c, right=0.6):
    """(baseline, candidate) 0/1 scores with these counts."""
    both = int((n - b - c) * right)
    return (
        np.r_[np.ones(b), np.zeros(c), np.ones(both), np.zeros(n - b - c - both)].astype(int),
        np.r_[np.zeros(b), np.ones(c), np.ones(both), np.zeros(n - b - c - both)].astype(int),
    )


@pytest.fixture
def files(tmp_path):
    write_inputs(tmp_path)
    return tmp_path


def write_inputs(tmp_path):
    """A worse, an equal and a noisy candidate with their baselines, and a suite of two tasks."""
    for name, (b, c) in {"worse": (120, 60), "equal": (12, 12), "noisy": (60, 55)}.items():
        baseline, candidate = flipped(4000 if name == "equal" else 1000, b, c)
        write_scores(tmp_path / f"{name}_baseline.csv", baseline)
        write_scores(tmp_path / f"{name}.csv", candidate)
    paths = {}
    for model, flips in {"base": None, "good": (5, 6), "bad": (80, 20)}.items():
        for task, n in {"alpha": 900, "beta": 600}.items():
            baseline, candidate = flipped(n, *(flips or (0, 0)))
            reference = flipped(n, 0, 0)[0]
            scores = reference if flips is None else reference.copy()
            if flips:
                ones, zeros = np.flatnonzero(reference == 1), np.flatnonzero(reference == 0)
                scores[ones[: flips[0]]], scores[zeros[: flips[1]]] = 0, 1
            write_scores(tmp_path / "suite" / f"{model}_{task}.csv", scores)
            paths.setdefault(model, {})[task] = f"{model}_{task}.csv"
    (tmp_path / "suite" / "model_paths.json").write_text(json.dumps(paths))


# ---- pair --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, verdict, codes",
    [
        (
            "worse",
            "DEGRADED at error rate 5% (1,000 items): the candidate is worse by 6.00 points, at least ",
            (1, 1),
        ),
        (
            "equal",
            "NOT DEGRADED by 1 point or more at error rate 5% (4,000 items): drop 0.00 points, at least ",
            (0, 0),
        ),
        ("noisy", "UNDECIDED at error rate 5% (1,000 items): drop 0.50 points, at least ", (0, 1)),
    ],
)
def test_the_three_verdicts(files, name, verdict, codes):
    pair = ("pair", f"{name}_baseline.csv", f"{name}.csv")
    for condition, code in zip(("degraded", "not-shown-safe"), codes, strict=True):
        done = script(*pair, "--fail-on", condition, cwd=files)
        assert done.returncode == code and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(verdict) and " and at most " in lines[0]
    assert max(map(len, lines[1:])) <= 80
    assert "95% interval [" in done.stdout and "(tango)" in done.stdout


def test_json_on_standard_output_is_json_only(files):
    done = script("pair", "worse_baseline.csv", "worse.csv", "--json", "-", cwd=files)
    content = json.loads(done.stdout)
    assert done.stderr.startswith("DEGRADED")
    needed = {
        "n",
        "b",
        "c",
        "drop",
        "flip_rate",
        "p_exact",
        "p_mid",
        "log10_p_exact",
        "p_permutation",
        "ci_low",
        "ci_high",
        "ci_method",
        "p_noninferiority",
        "verdict",
        "can_reject",
        "excluded",
        "drop_lower",
        "drop_upper",
        "within_margin",
        "baseline",
        "candidate",
        "alpha",
        "margin",
    }
    assert needed <= content.keys()
    assert (content["n"], content["b"], content["c"]) == (1000, 120, 60) and content["verdict"] == "degraded"
    assert content["p_exact"] == content["p_permutation"] == pytest.approx(float(mcnemar.p_exact(120, 60)))
    assert content["ci_method"] == "tango"
    assert content["ci_low"] == pytest.approx(intervals.tango_interval(1000, 120, 60)[0])
    assert content["drop_lower"] == pytest.approx(intervals.melded_interval(1000, 120, 60, 0.1)[0])
    assert content["drop_upper"] == unconditional.upper_limit(1000, 120, 60, 0.05, (0.01, content["p_safe"]))
    assert content["drop_upper"] == pytest.approx(intervals.tango_interval(1000, 120, 60, 0.1)[1], abs=1e-5)


def test_json_file(files):
    done = script(
        "pair",
        "noisy_baseline.csv",
        "noisy.csv",
        "--json",
        "out.json",
        "--interval",
        "melded-exact",
        "--margin",
        ".05",
        cwd=files,
    )
    content = json.loads((files / "out.json").read_text())
    assert done.stdout.startswith("NOT DEGRADED by 5 points") and content["ci_method"] == "melded-exact"
    before = snapshot(files)
    again = script("pair", "noisy_baseline.csv", "noisy.csv", "--json", "out.json", cwd=files)
    assert again.returncode == 2 and "--overwrite" in again.stderr and snapshot(files) == before
    assert (
        script(
            "pair", "noisy_baseline.csv", "noisy.csv", "--json", "out.json", "--overwrite", cwd=files
        ).returncode
        == 0
    )
    assert json.loads((files / "out.json").read_text())["margin"] == 0.01


def test_swapped_arguments_reverse_the_drop_and_are_noticed(files):
    done = script("pair", "worse.csv", "worse_baseline.csv", "--json", "-", cwd=files)
    content = json.loads(done.stdout)
    assert content["drop"] == pytest.approx(-0.06) and content["verdict"] == "not degraded beyond the margin"
    told = " ".join(done.stderr.split())
    assert "may be swapped" in told and "the candidate beats the baseline" in told


def test_published_rows_from_counts(tmp_path):
    """arXiv 2602.10144: Llama-3.1-8B-Instruct, 25,282 items: rerun, FP8, KV-cache FP8."""
    for b, c, p, verdict in (
        (163, 168, 0.629, "not degraded beyond the margin"),
        (1095, 1106, 0.601, "not degraded beyond the margin"),
        (1241, 1042, 1.69e-5, "degraded"),
    ):
        done = script("pair", "--counts", 25_282, b, c, "--json", "-", cwd=tmp_path)
        content = json.loads(done.stdout)
        assert f"{content['p_exact']:.2e}" == f"{p:.2e}" and content["verdict"] == verdict
        assert content["mean_baseline"] is None


def test_tiny_samples_say_that_nothing_could_be_shown(tmp_path):
    done = script("pair", "--counts", 100, 3, 0, cwd=tmp_path)
    told = " ".join(done.stdout.split())
    assert "with 3 differing items the smallest possible p is 0.125" in told
    none = script("pair", "--counts", 100, 0, 0, cwd=tmp_path)
    assert none.stdout.startswith("UNDECIDED") and "[-3.70, 3.70]" in none.stdout


def test_a_p_value_is_never_printed_as_zero(tmp_path):
    done = script("pair", "--counts", 100_000, 30_000, 100, "--json", "-", cwd=tmp_path)
    assert "p = 10^-" in done.stderr and json.loads(done.stdout)["p_exact"] > 0
    assert json.loads(done.stdout)["log10_p_exact"] < -8000


def test_reruns_and_clusters(tmp_path):
    rng = np.random.default_rng(0)
    for name, ability in (("base", 0.7), ("cand", 0.5)):
        (tmp_path / name).mkdir()
        for run in range(4):
            write_scores(tmp_path / name / f"seed{run}.csv", (rng.random(200) < ability).astype(int))
    done = script("pair", "base", "cand", "--json", "-", cwd=tmp_path)
    content = json.loads(done.stdout)
    assert (
        content["verdict"] == "degraded"
        and content["p_exact"] is None
        and content["permutation_method"] == "exact"
    )
    said = " ".join(done.stderr.split())
    assert content["ci_method"] == "bonett-price t" and "sign flips (exact), against 'differences lie evenly" in said
    for name, shift in (("a", 0), ("b", 1)):
        (tmp_path / f"{name}.csv").write_text(
            "prompt_id,score,cluster\n"
            + "".join(f"q{i},{int((i // 5 + shift * (i % 2)) % 2)},passage{i // 5}\n" for i in range(100))
        )
    clustered = json.loads(script("pair", "a.csv", "b.csv", "--json", "-", cwd=tmp_path).stdout)
    assert clustered["units"] == 20 and clustered["ci_method"].endswith("cluster-robust")


# ---- suite -------------------------------------------------------------------------------------------------

TABLES = {
    "summary.csv",
    "model_comparison.csv",
    "summary_with_stderr.csv",
    "summary_without_stderr.csv",
    "model_differences.csv",
    "summary.md",
}


def test_suite(files):
    done = script(
        "suite", "suite/model_paths.json", "--output-dir", "out/new", "--json", "suite.json", cwd=files
    )
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (files / "out" / "new").iterdir()} == TABLES
    summary = pd.read_csv(files / "out" / "new" / "summary.csv")
    assert summary["task"].tolist() == ["ALL", "alpha", "beta"] * 2
    whole = summary[summary["task"] == "ALL"].set_index("model")
    assert (
        whole.loc["bad", "verdict"] == "degraded"
        and whole.loc["good", "verdict"] == "not degraded beyond the margin"
    )
    assert whole.loc["bad", "b"] == 160 and whole.loc["bad", "p_pooled"] == pytest.approx(
        float(mcnemar.p_exact(160, 40))
    )
    assert whole.loc["bad", "p_adjusted"] == pytest.approx(2 * whole.loc["bad", "p_combined"])
    comparison = pd.read_csv(files / "out" / "new" / "model_comparison.csv", index_col="task")
    assert comparison.shape == (2, 3) and comparison.loc["alpha", "base"] == pytest.approx(0.6)
    differences = pd.read_csv(files / "out" / "new" / "model_differences.csv")
    bad = differences[(differences["model"] == "bad") & (differences["task"] == "beta")].iloc[0]
    assert bad["baseline_better"] == 80 and bad["disagreement_ratio"] == pytest.approx(100 / 600)
    assert bad["both_right"] + bad["both_wrong"] == bad["equal"] == 500
    with_error = pd.read_csv(files / "out" / "new" / "summary_with_stderr.csv", index_col="model")
    n, share = 1500, 0.6
    assert with_error.loc["base", "ALL_stderr"] == pytest.approx(
        np.sqrt(share * (1 - share) / (n - 1)), rel=1e-6
    )
    without = pd.read_csv(files / "out" / "new" / "summary_without_stderr.csv", index_col="model")
    assert list(without.columns) == ["ALL", "alpha", "beta"]
    markdown = (files / "out" / "new" / "summary.md").read_text()
    assert "| bad | 1,500 |" in markdown and "bad: DEGRADED" in markdown
    content = json.loads((files / "suite.json").read_text())
    assert content["candidates"]["bad"]["tasks"]["beta"]["b"] == 80 and content["baseline"] == "base"
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if line.startswith("  ")) <= 80
    assert lines[0].startswith(
        "good: NOT DEGRADED by 1 point or more on average at error rate 5% (2 tasks, 1,500 items)"
    )


def test_suite_exit_codes_baseline_and_overwriting(files):
    suite = ("suite", "suite/model_paths.json")
    assert script(*suite, "--fail-on", "degraded", cwd=files).returncode == 1
    before = snapshot(files)
    done = script(*suite, cwd=files)
    assert done.returncode == 2 and "summary.csv exists" in done.stderr and snapshot(files) == before
    done = script(
        *suite, "--overwrite", "--baseline", "bad", "--tasks", "beta", "--fail-on", "degraded", cwd=files
    )
    assert done.returncode == 0, done.stdout
    assert pd.read_csv(files / "degradation" / "summary.csv")["task"].tolist() == ["ALL", "beta"] * 2


def test_suite_of_csvs_with_a_task_column(tmp_path):
    for name, shift in (("base", 0), ("cand", 1)):
        (tmp_path / f"{name}.csv").write_text(
            "task,prompt_id,score\n"
            + "".join(
                f"{task},{task}{i},{int((i + shift * (i % 9 == 0)) % 2)}\n" for task in "xyz" for i in range(90)
            )
        )
    done = script("suite", "base.csv", "cand.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "degradation" / "summary.csv")["model"].unique() == ["cand.csv"]


# ---- bad input ---------------------------------------------------------------------------------------------

BAD = [
    (("pair", "nowhere.csv", "worse.csv"), "nowhere.csv: no such file"),
    (("pair", "worse.csv"), "needs BASELINE and CANDIDATE"),
    (
        ("pair", "worse.csv", "equal.csv"),
        "only 1,000 of 4,000 items can be compared (3,000 only in the candidate)",
    ),
    (("pair", "suite", "suite"), "is given twice"),
    (("pair", "worse.csv", "text.csv"), "text.csv: row 3: score 'good' is not a number"),
    (("pair", "worse.csv", "twice.csv"), "twice.csv: row 4: prompt_id q1 is given twice"),
    (("pair", "worse.csv", "empty.csv"), "empty.csv: not a readable CSV"),
    (("pair", "worse.csv", "tasks.csv"), "choose a task of both with --task"),
    (("pair", "worse.csv", "noisy.csv", "--task", "other"), "no task other"),
    (("pair", "worse.csv", "noisy.csv", "--margin", "0"), "margin = 0.0 must be positive"),
    (("pair", "worse.csv", "noisy.csv", "--alpha", "1"), "alpha = 1.0 must lie between"),
    (("pair", "worse.csv", "noisy.csv", "--json", "missing/out.json"), "does not exist"),
    (("pair", "--counts", "10", "8", "8"), "is impossible"),
    (("pair", "--counts", "10", "x", "8"), "not an integer"),
    (("pair", "worse.csv", "noisy.csv", "--counts", "10", "1", "1"), "give one or the other"),
    (("pair", "worse.csv", "folder"), "run the harness with --log_samples"),
    (("pair", "worse.csv", "noisy.csv", "--task-metrics", "list.json"), "list.json: expected"),
    (("suite", "worse.csv"), "suite needs"),
    (("suite", "worse.csv", "noisy.csv", "--output-dir", "text.csv"), "text.csv is a file"),
    (("suite", "list.json"), "expected an object"),
    (("suite", "odd_paths.json"), "bad has no task beta"),
    (("suite", "suite/model_paths.json", "--baseline", "none"), "no such model; there are base, good, bad"),
    (("suite", "suite/model_paths.json", "--tasks", "gamma"), "base: no task gamma"),
    (("suite", "percent.json"), "scores outside [0, 1] cannot be pooled"),
]


@pytest.fixture(scope="module")
def bad_runs(tmp_path_factory):
    """Every bad command in a folder of its own, two at a time: (process, folder before, folder after)."""

    def run(arguments):
        folder = tmp_path_factory.mktemp("bad")
        write_inputs(folder)
        write_faults(folder)
        before = snapshot(folder)
        done = script(*arguments, cwd=folder)
        return done, before, snapshot(folder)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(BAD, pool.map(run, (arguments for arguments, _ in BAD)), strict=True))


def write_faults(folder):
    (folder / "text.csv").write_text("prompt_id,score\nq0,1\nq1,good\n")
    (folder / "twice.csv").write_text("prompt_id,score\nq0,1\nq1,1\nq1,0\n")
    (folder / "empty.csv").write_text("")
    (folder / "tasks.csv").write_text("prompt_id,score,task\nq0,1,a\nq0,1,b\n")
    (folder / "list.json").write_text("[1]")
    (folder / "folder").mkdir()
    (folder / "suite" / "again.csv").write_text("prompt_id,score\nq0,1\nq0,1\n")
    base = {"alpha": "suite/base_alpha.csv", "beta": "suite/base_beta.csv"}
    (folder / "odd_paths.json").write_text(
        json.dumps({"base": base, "bad": {"alpha": "suite/bad_alpha.csv"}})
    )
    write_scores(folder / "percent.csv", [35.0] * 900)
    percent = {"alpha": "percent.csv", "beta": "suite/base_beta.csv"}
    other = {"alpha": "percent.csv", "beta": "suite/bad_beta.csv"}
    (folder / "percent.json").write_text(json.dumps({"base": percent, "bad": other}))


@pytest.mark.parametrize("case", BAD, ids=lambda case: " ".join(case[0]))
def test_bad_input(bad_runs, case):
    """Exit code 2, one line that says what and where, nothing on stdout, and not a byte changed."""
    done, before, after = bad_runs[case]
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert case[1] in done.stderr and done.stdout == "" and "Traceback" not in done.stderr
    if not done.stderr.startswith("usage"):
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert after == before


# ---- real files --------------------------------------------------------------------------------------------

REAL = {
    "kristenmartino_mmlu_llama3.1-8b_fp16_vs_q8_0": (499, 1, 2, "not degraded beyond the margin"),
    "kristenmartino_mmlu_llama3.1-8b_fp16_vs_q4_K_M": (499, 27, 19, "undecided"),
    "mmlu_pro_llama3-8b-instruct_unquantized_vs_quantized": (12_032, 1800, 1115, "degraded"),
    "mmlu_pro_psychology_qwen3-30b-a3b_thinkbias0_vs_18": (798, 15, 15, "undecided"),
}


@needs_shared
@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_pairs(name, tmp_path):
    files = [SHARED / "pairs" / f"{name}.{which}.csv" for which in ("baseline", "optimized")]
    content = json.loads(script("pair", *files, "--json", "-", cwd=tmp_path).stdout)
    assert (content["n"], content["b"], content["c"], content["verdict"]) == REAL[name]


@needs_shared
@pytest.mark.shared
def test_real_harness_logs(tmp_path):
    """Tasks of the toy logs share documents, which are tested as units; corpus metrics are refused."""
    runs = [SHARED / "lm_eval_logs" / which for which in ("baseline", "candidate")]
    (tmp_path / "task_metrics.json").write_text(
        json.dumps(
            {
                "t_mc": "acc",
                "t_gen_two_filters": "exact_match,strict-match",
                "t_odd": "pybool",
                "t_ppl": "bits_per_byte",
            }
        )
    )
    metrics = ("--task-metrics", "task_metrics.json")
    done = script(
        "suite", *runs, *metrics, "--tasks", "t_mc", "t_gen_two_filters", "t_repeats", "t_odd", cwd=tmp_path
    )
    assert done.returncode == 0 and "36 items belong to questions" in done.stdout
    summary = pd.read_csv(tmp_path / "degradation" / "summary.csv").set_index("task")
    assert summary.loc["t_mc", ["b", "c"]].tolist() == [0, 5] and summary.loc["ALL", "units"] == 24
    assert script("pair", *runs, *metrics, "--task", "t_ppl", cwd=tmp_path).stdout.startswith("UNDECIDED")
    (tmp_path / "task_metrics.json").write_text('{"t_mc": "brier_score"}')
    assert "over the whole corpus" in script("pair", *runs, *metrics, "--task", "t_mc", cwd=tmp_path).stderr
