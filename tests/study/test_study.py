"""The whole study on a small board: ablations, shards, coverage audit, published tables, figures, notebooks."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_script

from llm_accuracy import palette
from llm_accuracy.errors import InputError
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.study import coverage, factor_fits, figures, ledger, prices, published, summaries, tuning
from llm_accuracy.study.grids import Cell

SCENARIOS = ["nfobs=None_p=1.0", "nfobs=0_p=0.1"]
GRID = ["--datasets", "board", "--scenarios", *SCENARIOS]
SETTING = "beta0=1.0_rho=0.0_gamma=0.0_tau=0.25"
TRIALS = ("faq_final", "baselines_all", "ablations_all")
EVALUATE = {"faq_final": ["--policies", "faq", "--setting", SETTING, "--sampling", "with"], "baselines_all": [],
            "ablations_all": ["--setting", SETTING, "--taus", 0.25]}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder in which every experiment has run on 80 models × 800 questions (40 new models, 3 seeds)."""
    folder = tmp_path_factory.mktemp("study")
    data, logs = ["--data-dir", folder / "data"], ["--logs-dir", folder / "logs"]
    run_script("data/simulate_leaderboard.py", *data, "--models", 80, "--questions", 800, "--dataset", "board")
    run_script("data/simulate_missingness.py", *GRID, *data)
    run_script("factor_models_final.py", *GRID, *data, *logs, "--rank", 2, "--weight-decay", 4.0)
    said = [run_script(f"{name}.py", *GRID, *data, *logs, "--seeds", 3, *more).stdout
            for name, more in EVALUATE.items()]
    (folder / "ablations.txt").write_text(said[-1])
    run_script("faq_final.py", *GRID, *data, *logs, "--seeds", 3, "--policies", "faq-mix", "oracle")
    run_script("faq_coverage.py", *GRID, *data, *logs, "--policies", "faq", "faq-mix")
    done = run_script("summarize_results.py", *logs)
    (folder / "summary.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def copy(study, tmp_path):
    return shutil.copytree(study, tmp_path / "run")


@pytest.fixture(scope="module")
def table(study):
    return summaries.compared(summaries.read(study / "logs" / "summary.csv"))


# --- trials, shards ------------------------------------------------------------------------------------

def test_ablations_have_every_cell_once_and_leave_out_what_faq_final_has(study):
    rows = ledger.read(study / "logs" / "ablations_all.csv", "")
    assert rows.groupby(["method", "sampling"]).size().to_dict() == {
        ("active+factors", "walk"): 2 * 4 * 3, ("faq", "naive-without"): 2 * 4 * 3, ("faq", "without"): 2 * 4 * 3}
    for scenario in SCENARIOS:
        assert (f"board {scenario}: 12 of 12 trials of FAQ, with (replacement), are in faq_final.csv, which the tables "
                "read too: they are not run again") in (study / "ablations.txt").read_text()
    assert rows["width_published"].notna().equals(rows["sampling"].eq("naive-without"))
    walk = rows[rows["method"] == "active+factors"]
    asked = walk.groupby("budget")["unique"].mean()
    assert (asked / asked.index).between(0.75, 1.05).all()  # coins are held back where too many have been asked
    # Asymptotic intervals: what holds is that they do not cover far too rarely (binomial, 4 standard errors).
    assert walk["coverage"].mean() > 0.93 - 4 * np.sqrt(0.93 * 0.07 / (40 * len(walk)))


def test_merged_shards_equal_an_unsharded_run(study, tmp_path):
    data = ["--data-dir", study / "data", "--factors-dir", study / "logs" / "factor_models"]
    for shard, (name, more) in itertools.product(range(3), EVALUATE.items()):
        run_script(f"{name}.py", *GRID, *data, "--logs-dir", tmp_path / f"shard{shard}", "--seeds", 3, "--shard",
                   f"{shard}/3", *more)
    merge = ["summarize_results.py", "--logs-dir", tmp_path / "merged", "--merge", *tmp_path.glob("shard*")]
    said = run_script(*merge).stdout
    assert "baselines_all.csv: 360 rows from 3 folders" in said
    for name in TRIALS:
        for kind in ("", "_models"):
            merged, whole = (sorted((folder / f"{name}{kind}.csv").read_text().splitlines())
                             for folder in (tmp_path / "merged", study / "logs"))
            without = [line for line in whole if ",faq-mix," not in line and ",oracle," not in line]
            assert merged == without, name
    assert "baselines_all.csv: 0 rows" in run_script(*merge).stdout


def test_workers_write_the_rows_of_one_process(study, tmp_path):
    """Two processes with a core each, and a restart: the log of one process, in another order."""
    command = ["baselines_all.py", *GRID, "--data-dir", study / "data", "--logs-dir", tmp_path, "--factors-dir",
               study / "logs" / "factor_models", "--seeds", 3, "--policies", "srs", "unif", "--workers", 2]
    assert "worker 2: baselines: " in run_script(*command).stderr
    said = run_script(*command, "--restart").stderr
    assert "put aside as" in said and "baselines: 0/0 trials" in said.splitlines()[-1]
    for kind in ("", "_models"):
        found, whole = (sorted((folder / f"baselines_all{kind}.csv").read_text().splitlines())
                        for folder in (tmp_path, study / "logs"))
        assert found == [line for line in whole if ",srs," in line or ",unif," in line or line.startswith("dataset")]
    assert not (tmp_path / "parts").exists() and (tmp_path / "baselines_all.before.csv").is_file()
    done = run_script(*command, "--part-dir", tmp_path / "part", code=2)
    assert done.stderr.count("\n") == 1 and "give one" in done.stderr


def workers_of(parent):
    """The process numbers of a process's children."""
    return list(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found in Linux's /proc")
@pytest.mark.parametrize("to, number, code, said", [
    ("worker", signal.SIGKILL, 2, "ended by SIGKILL, as where memory runs out; what is finished is kept"),
    ("parent", signal.SIGTERM, 143, ""), ("parent", signal.SIGINT, 130, "interrupted; finished trials are kept")])
def test_workers_that_are_killed_are_one_line_and_leave_nobody_behind(study, tmp_path, to, number, code, said):
    """And a restart that has come to nothing leaves the old log where it was."""
    words = ["baselines_all.py", *GRID, "--data-dir", study / "data", "--logs-dir", tmp_path, "--factors-dir",
             study / "logs" / "factor_models", "--policies", "srs", "--workers", 2]
    run_script(*words, "--seeds", 1)
    log = (tmp_path / "baselines_all.csv").read_bytes()
    parent = subprocess.Popen([sys.executable, *map(str, words), "--seeds", "3", "--re"], cwd=ROOT, text=True,
                              stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while len(children := workers_of(parent.pid)) < 2:
        assert parent.poll() is None
        time.sleep(0.01)
    for child in children:
        os.kill(child, signal.SIGSTOP)  # so that none has ended before it is killed
    os.kill(children[0] if to == "worker" else parent.pid, number)
    for child in children:
        os.kill(child, number if to == "worker" else signal.SIGCONT)
    assert said in parent.communicate(timeout=120)[1].strip() and parent.returncode == code
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert (tmp_path / "baselines_all.csv").read_bytes() == log
    assert not list(tmp_path.glob("*before*")) and not (tmp_path / "parts").exists()
    assert "put aside as" in run_script(*words, "--seeds", 3, "--re").stderr


def test_a_restart_with_bad_input_moves_no_log(study, tmp_path):
    words = ["baselines_all.py", *GRID, "--data-dir", study / "data", "--logs-dir", tmp_path, "--factors-dir",
             study / "logs" / "factor_models", "--policies", "srs", "--seeds", 1]
    run_script(*words)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = run_script(*words, "--budgets", 10**6, "--workers", 2, "--restart", code=2)
    assert done.stderr.count("\n") == 1 and "budget must lie between" in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_random_part_of_the_trials_run_again_comes_out_the_same(study, copy):
    command = ["benchmarks/repro.py", "--data-dir", study / "data", "--seed", 3, "--logs-dir", copy / "logs"]
    assert "trials came out as they are" in run_script(*command).stdout
    log = copy / "logs" / "faq_final.csv"
    header, *rows = log.read_text().splitlines()
    at = header.split(",").index("mse")
    changed = [",".join([*(row := line.split(","))[:at], "0.5", *row[at + 1 :]]) for line in rows]
    log.write_text("\n".join([header, *changed]) + "\n")
    done = run_script(*command, code=1)
    assert ": mse 0.5, now 0.0" in done.stdout
    assert run_script(*command[:-1], copy, code=2).stderr.count("\n") == 1


@pytest.mark.parametrize("arguments, message", [
    (["--merge", "nowhere"], "no such folder"),
    (["--compare", "nowhere"], "the folder of published tables must hold it")])
def test_bad_input_of_the_summary(copy, script, arguments, message):
    before = sorted(path.read_bytes() for path in (copy / "logs").glob("*.csv"))
    done = script("summarize_results.py", "--logs-dir", copy / "logs", *arguments, code=2)
    assert done.stderr.count("\n") == 1 and message in done.stderr
    assert sorted(path.read_bytes() for path in (copy / "logs").glob("*.csv")) == before


@pytest.mark.parametrize("name, more", [("ablations_all.py", []), ("faq_coverage.py", ["--policies", "faq-mix"])])
def test_help_and_dry_run_change_nothing(copy, script, name, more):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert script(name, "--help").stdout.startswith("usage:")
    said = script(name, *GRID, "--data-dir", copy / "data", "--logs-dir", copy / "logs", *more, "--dry-run").stdout
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_ablations_without_factors_say_who_makes_them(copy, script):
    shutil.rmtree(copy / "logs" / "factor_models")
    done = script("ablations_all.py", *GRID, "--data-dir", copy / "data", "--logs-dir", copy / "logs", code=2)
    assert "python factor_models_final.py makes it" in done.stderr and done.stderr.count("\n") == 1


# --- tuning --------------------------------------------------------------------------------------------

def test_tuning_picks_the_smallest_mean_per_dataset_scenario_and_budget():
    """Means over seeds, not single seeds; by variance or by the published width, which may disagree."""
    rows = [{"dataset": "d", "scenario": "s", "sampling": "with", "budget": budget, "share": "0.1", "setting": setting,
             "seed": seed, "mean_se2": se2, "width_published": width}
            for budget, setting, values in ((10, "a", ((1.0, 3.0), (5.0, 3.0))), (10, "b", ((2.0, 2.0), (2.0, 2.0))),
                                            (20, "a", ((1.0, 1.0), (1.0, 1.0))), (20, "b", ((0.5, 9.0), (1.6, 9.0))))
            for seed, (se2, width) in enumerate(values)]
    log = pd.DataFrame(rows)
    for select_by, expected in (("variance", {10: "b", 20: "a"}), ("published-width", {10: "b", 20: "a"})):
        chosen = tuning.best_settings(log, select_by).set_index("budget")["setting"]
        assert chosen.to_dict() == expected
    swapped = log.assign(width_published=-log["width_published"])
    assert tuning.best_settings(swapped, "published-width").set_index("budget")["setting"].to_dict() == {
        10: "a", 20: "b"}


# --- what a reader compares ----------------------------------------------------------------------------

def test_every_arm_of_a_cell_has_a_name_of_its_own(table):
    assert not table.duplicated(["dataset", "scenario", "budget", "name"]).any()
    assert set(table["name"]) == {"uniform (SRS)", "uniform (published)", "best baseline", "active + factors",
                                  "FAQ (with)", "FAQ (without)", "FAQ (naive without)", "FAQ-mix", "oracle",
                                  "stratified", "difference", "regression", "two batches"}
    assert (table[table["name"] == "uniform (SRS)"]["relative_width"] == 1).all()


def test_several_settings_of_one_method_get_names_that_differ(study):
    trials = ledger.read(study / "logs" / "faq_final.csv", "")
    trials = trials[trials["method"] == "faq"]
    trials = pd.concat([trials, trials.assign(sampling="without")])
    other = trials.assign(setting=SETTING.replace("0.25", "0.5"))
    summary = summaries.summarize(pd.concat([trials, other], ignore_index=True))
    names = summaries.compared(summary)["name"]
    assert set(names) == {f"FAQ ({sampling}) ({setting})" for sampling in ("with", "without")
                          for setting in (SETTING, SETTING.replace("0.25", "0.5"))}


def test_batches_are_arms_of_their_own(study):
    """Told apart by their column: in names and audits, and where settings are tuned or compared with the paper."""
    trials = ledger.read(study / "logs" / "faq_final.csv", "")
    mixed = trials[trials["method"] == "faq-mix"]
    everything = pd.concat([trials, mixed.assign(batch=8), mixed.assign(batch=64),
                            trials[trials["sampling"] == "with"].assign(batch=8, mean_se2=0)], ignore_index=True)
    summary = summaries.summarize(everything)
    table = summaries.compared(summary)
    assert {"FAQ-mix", "FAQ-mix, 8 at a time", "FAQ-mix, 64 at a time", "FAQ, 8 at a time"} <= set(table["name"])
    cell = table[(table["scenario"] == SCENARIOS[0]) & (table["budget"] == 20)]
    assert [name for name in cell["name"] if "mix" in name] == [
        "FAQ-mix", "FAQ-mix, 8 at a time", "FAQ-mix, 64 at a time"]
    asked = summaries.batches(table, "faq-mix").groupby(summaries.CELL)["batch"].agg(list)
    assert asked.map(tuple).unique().tolist() == [(1, 8, 64)]
    assert set(published.ours(summary)["batch"]) == {1}
    mine = tuning.of_method(everything, "faq", "with")
    assert len(mine) == len(trials[trials["sampling"] == "with"]) and mine["mean_se2"].gt(0).all()
    log = ledger.read(study / "logs" / "faq_final_models.csv", "")
    log = log[(log["method"] == "faq-mix") & (log["scenario"] == SCENARIOS[0])]
    audit = coverage.audit(coverage.per_model(pd.concat([log, log.assign(batch=8)]),
                                              Dataset(study / "data", "board").new_models()))
    assert sorted(audit["batch"]) == [1] * 4 + [8] * 4 and (audit["seeds"] == 3).all()


def test_text_table_fits_80_columns(study):
    assert max(map(len, (study / "summary.txt").read_text().splitlines())) <= 80


def test_published_variance_stands_beside(study):
    summary = summaries.read(study / "logs" / "summary.csv")
    trials = ledger.read(study / "logs" / "faq_final.csv", "")
    drawn = trials[(trials["sampling"] == "with") & (trials["scenario"] == SCENARIOS[0]) & (trials["budget"] == 20)]
    row = summary[(summary["variance"] == "published") & (summary["sampling"] == "with")
                  & (summary["scenario"] == SCENARIOS[0]) & (summary["budget"] == 20)]
    assert row["mean_width"].item() == pytest.approx(drawn["width_published"].mean(), rel=1e-6)
    assert row["mean_width"].item() < drawn["mean_width"].mean()


def test_best_baseline_is_the_narrowest_walk_but_the_published_uniform(study, table):
    summary = summaries.read(study / "logs" / "summary.csv")
    walks = summary[(summary["sampling"] == "walk") & (summary["method"] != "active+factors")
                    & ~((summary["method"] == "unif") & (summary["setting"] == "f=zero"))]
    best = table[table["name"] == "best baseline"].set_index(["scenario", "budget"])["mean_width"]
    assert best.to_dict() == walks.groupby(["scenario", "budget"])["mean_width"].min().to_dict()


# --- the published tables ------------------------------------------------------------------------------

def test_published_tables_beside_themselves_do_not_differ(shared):
    tables = published.read(shared / "paper")
    beside = published.compare(tables, tables)
    # 2 datasets × 8 scenarios × 10 budgets: uniform, best baseline, FAQ × 3 measures; ablation in 10 of the 16;
    # replacement ablation at 10 budgets, twice, without ESS.
    assert len(beside) == 160 * 9 + 100 * 3 + 10 * 2 * 2
    assert (beside["difference"] == 0).all()
    known = (beside["ours_se"] > 0) & (beside["published_se"] > 0)
    assert (beside["difference_in_se"][known] == 0).all() and beside["difference_in_se"][~known].isna().all()
    headline = tables[(tables["name"] == "FAQ") & (tables["dataset"] == "mmlu-pro")
                      & (tables["scenario"] == SCENARIOS[0])].set_index("fortieths")["ess_vs_published_uniform"]
    assert headline[[1, 4, 10]].round(2).tolist() == [3.57, 4.89, 4.91]


@pytest.mark.parametrize(("ours_se", "published_se", "our_seeds", "difference_in_se"), [
    (0.0, 0.0004, 3, np.nan),      # covered without exception: 1.000 ± .000
    (0.003, 0.0, 3, np.nan),       # in the published table
    (np.nan, 0.0004, 1, np.nan),   # a width of one seed
    (0.004, 0.0004, 1, np.nan),    # a coverage of one seed has a binomial standard error, over models alone
    (0.0, 0.0, 3, np.nan),
    (0.003, 0.004, 2, 0.051 / 0.005)])
def test_no_difference_in_standard_errors_where_they_say_nothing(ours_se, published_se, our_seeds, difference_in_se):
    cell = {"dataset": "mmlu-pro", "scenario": SCENARIOS[0], "fortieths": 4, "name": "FAQ"}
    measures = {"ess_vs_published_uniform": np.nan, "ess_vs_published_uniform_se": np.nan, "mean_width": np.nan,
                "width_se": np.nan}
    mine, theirs = (pd.DataFrame([cell | measures | {"coverage": value, "coverage_se": se, "seeds": seeds}])
                    for value, se, seeds in ((1.0, ours_se, our_seeds), (0.949, published_se, 100)))
    beside = published.compare(mine, theirs)
    assert beside["difference"].tolist() == pytest.approx([0.051])
    assert beside["difference_in_se"].tolist() == pytest.approx([difference_in_se], nan_ok=True)
    printed = published.text_table(beside) + published.markdown_table(beside)
    assert "nan" not in printed
    if np.isnan(difference_in_se):
        assert printed.splitlines()[2].endswith("       -") and "(" not in printed
    else:
        assert printed.splitlines()[2].endswith("    10.2") and "(+10.2)" in printed


def test_ours_beside_the_published(copy, shared, script):
    said = script("summarize_results.py", "--logs-dir", copy / "logs", "--scenarios", SCENARIOS[0], "--compare",
                  shared / "paper", "--as", "mmlu-pro").stdout
    beside = pd.read_csv(copy / "logs" / "beside_published.csv")
    assert set(beside["name"]) == {"uniform (published)", "best baseline", "active + factors", "FAQ", "FAQ, ablation",
                                   "FAQ, naive without"}
    assert set(beside["fortieths"]) == {1, 2, 4, 10} and max(map(len, said.splitlines())) <= 80
    one = beside[(beside["name"] == "FAQ") & (beside["measure"] == "width") & (beside["fortieths"] == 4)].iloc[0]
    expected = (one["ours"] - one["published"]) / np.hypot(one["ours_se"], one["published_se"])
    assert one["difference_in_se"] == pytest.approx(expected, rel=1e-4)
    done = script("summarize_results.py", "--logs-dir", copy / "logs", "--compare", shared / "paper", code=2)
    assert "--as NAME" in done.stderr


def test_published_tables_can_be_printed(shared, script):
    said = script("summarize_results.py", "--logs-dir", shared / "paper", "--datasets", "mmlu-pro").stdout
    assert "mmlu-pro, nfobs=None_p=1.0, as published" in said and "bbh" not in said


def test_published_settings(shared):
    chosen = published.best_settings(shared / "paper", Cell("mmlu-pro", SCENARIOS[0]))
    assert sorted(chosen) == list(range(1, 11)) and chosen[1].key == "beta0=1.0_rho=0.05_gamma=0.0_tau=0.25"
    assert published.factor_setting(shared / "paper", Cell("mmlu-pro", SCENARIOS[0])) == (64, 0.1)
    with pytest.raises(InputError, match="no published settings for board"):
        published.best_settings(shared / "paper", Cell("board", SCENARIOS[0]))


def test_reproduction_at_the_published_settings(study, tmp_path, shared, script):
    """The driver on the small board, standing for MMLU-Pro with a fit of another rank in place of the slow one."""
    from llm_accuracy.querying.factors import Factors

    factors = Factors.load(study / "logs/factor_models/board/nfobs=None_p=1.0_final.npz", "")
    factors.about |= {"protocol": "adamw", "rank": 64, "weight_decay": "0.1", "epochs": 2000}
    factors.save(tmp_path / "factors/board/nfobs=None_p=1.0_final.npz")
    said = script("reproduce_paper.py", "--paper", shared / "paper", "--datasets", "board", "--as", "mmlu-pro",
                  "--models", 10, "--seeds", 2, "--budgets", "2.5%", "10%", "--data-dir", study / "data", "--logs-dir",
                  tmp_path / "logs", "--factors-dir", tmp_path / "factors").stdout
    trials = ledger.read(tmp_path / "logs" / "faq_final.csv", "")
    assert dict(zip(trials["budget"], trials["setting"], strict=True)) == {
        20: "beta0=1.0_rho=0.05_gamma=0.0_tau=0.25", 80: "beta0=1.0_rho=0.0_gamma=0.0_tau=0.05"}
    assert "diff/SE" in said
    done = script("reproduce_paper.py", "--paper", shared / "paper", "--datasets", "board", "--as", "mmlu-pro",
                  "--budgets", "33", "--data-dir", study / "data", "--logs-dir", tmp_path / "logs", code=2)
    assert "k/40" in done.stderr


# --- coverage of every model ---------------------------------------------------------------------------

def test_per_model_coverage_is_the_share_of_its_seeds(study):
    table = ledger.read(study / "logs" / "faq_coverage.csv", "")
    log = ledger.read(study / "logs" / "faq_final_models.csv", "")
    new = Dataset(study / "data", "board").new_models()
    arm = {"scenario": SCENARIOS[1], "budget": 80, "sampling": "with"}
    mine = table[(table[list(arm)] == pd.Series(arm)).all(axis=1)]
    bits = log[(log[list(arm)] == pd.Series(arm)).all(axis=1)]["covered"]
    assert mine["model"].tolist() == new.models.tolist()
    for i in range(new.n_models):
        assert mine["coverage"].iloc[i] == pytest.approx(sum(line[i] == "1" for line in bits) / 3, abs=1e-4)
    np.testing.assert_allclose(mine["accuracy"], new.accuracy(), atol=1e-4)
    final = ledger.read(study / "logs" / "faq_final.csv", "")
    expected = final[(final[list(arm)] == pd.Series(arm)).all(axis=1)]["coverage"].mean()
    assert coverage.audit(mine)["coverage"].item() == pytest.approx(expected, abs=1e-4)


def test_smoothing_against_the_plain_loop():
    values = np.random.default_rng(0).random(60)
    mean, spread = coverage.smooth(values, window=21)
    for i in range(60):
        near = [(j, np.exp(-((i - j) ** 2) / (2 * 3.5**2))) for j in range(60) if abs(i - j) <= 10]
        total = sum(w for _, w in near)
        m = sum(w * values[j] for j, w in near) / total
        assert mean[i] == pytest.approx(m)
        assert spread[i] == pytest.approx(np.sqrt(sum(w * (values[j] - m) ** 2 for j, w in near) / total))


def test_window_has_the_published_share_of_the_models():
    assert [coverage.neighbours(models) for models in (2213, 5000, 150, 13)] == [501, 501, 35, 5]


@pytest.mark.parametrize("models, seeds", [(150, 20), (40, 100)])
def test_luck_of_the_worst_model(models, seeds):
    """The quantiles bracket what 4,000 simulated boards give; each check is off with probability below 1e-6."""
    worst = np.random.default_rng(1).binomial(seeds, 0.95, (4000, models)).min(1) / seeds
    for share in (0.5, 0.01):
        at = coverage.luck(models, seeds, share)
        error = 5 * np.sqrt(share * (1 - share) / 4000)
        assert (worst <= at).mean() >= share - error and (worst < at).mean() <= share + error


# --- figures -------------------------------------------------------------------------------------------

def overlaps(figure):
    """Texts that stick out of the canvas, and pairs of axis labels, titles and legends that overlap."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    parts = [figure._suptitle, *figure.legends]
    for axis in figure.axes:
        parts += [axis.title, axis.xaxis.label, axis.yaxis.label]
    boxes = [(str(part), part.get_window_extent(renderer)) for part in parts
             if not hasattr(part, "get_text") or part.get_text()]
    canvas = figure.bbox.padded(1)
    outside = [name for name, box in boxes if not (canvas.contains(box.x0, box.y0) and canvas.contains(box.x1, box.y1))]
    return outside + [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2)
                      if one.padded(-1).overlaps(two.padded(-1))]


LONG = "A point so long that it takes a second line and would run over the edge of the canvas if it were not wrapped"


def test_figures_have_no_overlapping_texts(study, table):
    audits = ledger.read(study / "logs" / "faq_coverage.csv", "")
    arm = audits[(audits["sampling"] == "with") & (audits["scenario"] == SCENARIOS[0])]
    four = pd.concat([table.assign(scenario=scenario) for scenario in
                      ("nfobs=None_p=1.0", "nfobs=800_p=0.1", "nfobs=0_p=0.0001", "nfobs=0_p=1e-05")])
    drawn = [figures.ess_and_coverage(table[table["scenario"] == SCENARIOS[0]]),
             figures.titled(figures.by_scenario(four, ("ess_width", "coverage", "mean_width")), LONG,
                            figures.counts(four)),
             figures.titled(figures.by_scenario(table, ("mean_width", "relative_width")), LONG, figures.counts(table)),
             figures.titled(figures.with_legend(figures.coverage_audit(arm)), LONG, figures.audit_counts(arm))]
    assert [overlaps(figure) for figure in drawn] == [[]] * len(drawn)


def test_methods_can_be_told_apart_without_colour():
    looks = [palette.style(name, list(palette.STYLES)) for name in palette.STYLES if name != "FAQ (with)"]
    assert len({(look["marker"], look["linestyle"]) for look in looks}) == len(looks)


def test_a_figure_comes_with_its_numbers(study, table, tmp_path):
    cell = table[table["scenario"] == SCENARIOS[0]]
    paths = palette.save(figures.ess_and_coverage(cell), tmp_path / "figure",
                         summaries.markdown_table(cell, ("ess_width", "coverage")))
    assert [path.suffix for path in paths] == [".png", ".pdf", ".md"]
    lines = paths[2].read_text().splitlines()
    assert len(lines) == 2 + len(cell) and all(line.count("|") == 8 for line in lines)


@pytest.mark.parametrize("name", ["main_text", "appendix"])
def test_notebooks_run_on_the_committed_logs(name, tmp_path, monkeypatch):
    """From top to bottom in a copy of figures/, and every figure appears as PNG, PDF and table."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path / "figures"
    folder.mkdir()
    monkeypatch.setenv("LOGS", str(ROOT / "logs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "figures" / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    assert not [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
                if output.output_type == "stream" and output.name == "stderr"]
    drawn = {path.stem for path in folder.glob("*.png")}
    assert len(drawn) >= 4 and all(stem.startswith(name) for stem in drawn)
    assert {path.name for path in folder.iterdir()} == {f"{stem}.{kind}" for stem in drawn for kind in
                                                        ("png", "pdf", "md")}
    committed = {path.name for path in Path(ROOT / "figures").glob(f"{name}_*")}
    assert committed == {path.name for path in folder.iterdir()}, "make figures has not been run on these logs"


def test_a_dry_run_times_one_fit_of_a_shape_and_rank(monkeypatch):
    calls, fit = [], factor_fits.factors.fit

    def counted(*arguments):
        calls.append(arguments)
        return fit(*arguments)

    monkeypatch.setattr(factor_fits.factors, "fit", counted)
    seconds = [factor_fits.fit_seconds((31, 47), rank, "map", epochs=6, device="cpu", batch=3) for rank in (2, 3, 2, 3)]
    assert len(calls) == 2 * 4 and all(len(arguments[1]) == 3 for arguments in calls)
    assert seconds[:2] == seconds[2:] and min(seconds) > 0


@pytest.mark.parametrize(("took", "calls", "of_ten"), [
    ([1.5, 0.5, 0.25], 3, 1.25 + 10 * 0.25),  # a later call counts with the least of two
    ([0.5, 0.75, 0.75], 3, 10 * 0.5),         # slowed by something else: the first is a bound as well
    ([30.0, 0.5, 0.25], 3, 29.75 + 10 * 0.25),  # the first compiled
    ([3.0, 2.5], 2, 0.5 + 10 * 2.5)])         # long calls are made twice
def test_the_first_call_is_not_the_price_of_every_call(monkeypatch, took, calls, of_ten):
    clock = iter(took)
    monkeypatch.setattr(prices, "_timed", lambda call: (call(), next(clock))[1])
    made = []
    assert prices.price(lambda: made.append(1)).times(10) == pytest.approx(of_ten)
    assert len(made) == calls
