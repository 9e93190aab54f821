"""The numbered scripts as their users run them: in order, again, in part, and with input that cannot be used."""

import hashlib
import shutil

import pandas as pd
import pytest
from conftest import run_script

from llm_accuracy.querying.factors import Factors
from llm_accuracy.study import columns, ledger, published
from llm_accuracy.study.grids import Cell

SCENARIO = "nfobs=0_p=0.1"
GRID = ["--datasets", "board", "--scenarios", "nfobs=None_p=1.0", SCENARIO]
SETTINGS = ["beta0=1.0_rho=0.0_gamma=0.0_tau=0.05", "beta0=0.5_rho=0.25_gamma=0.25_tau=0.5"]


def where(folder):
    return ["--data-dir", folder / "data", "--logs-dir", folder / "logs"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A folder in which every step has run once on a board of 60 models and 240 questions."""
    folder = tmp_path_factory.mktemp("pipeline")

    data = ["--data-dir", folder / "data"]
    run_script("data/simulate_leaderboard.py", *data, "--models", 60, "--questions", 240, "--dataset", "board")
    run_script("data/simulate_missingness.py", *GRID, *data)
    run_script("factor_models_cv.py", *GRID, *where(folder), "--ranks", 1, 2, "--weight-decays", 1.0, 0.1, "--epochs",
               40, "--folds", 2)
    for which in ("val", "final"):
        run_script(f"factor_models_{which}.py", *GRID, *where(folder), "--epochs", 40)
    run_script("faq_val.py", *GRID, *where(folder), "--seeds", 1, "--settings", *SETTINGS)
    run_script("faq_final.py", *GRID, *where(folder), "--seeds", 2)
    run_script("baselines_all.py", *GRID, *where(folder), "--seeds", 2)
    done = run_script("summarize_results.py", "--logs-dir", folder / "logs", "--figure", folder / "figure")
    folder.joinpath("summary.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def copy(pipeline, tmp_path):
    shutil.copytree(pipeline, tmp_path / "run")
    return tmp_path / "run"


def contents(folder):
    """What must not change when input is refused; sidecars and caches included."""
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def trials(folder, log):
    return ledger.read(folder / "logs" / log, "")


def test_every_cell_of_the_grid_is_there_once(pipeline):
    final = trials(pipeline, "faq_final.csv")
    assert len(final) == 2 * 4 * 2 and not final.duplicated(["scenario", "budget", "seed"]).any()
    assert set(final["scenario"]) == {"nfobs=None_p=1.0", SCENARIO} and set(final["budget"]) == {6, 12, 24, 60}
    baselines = trials(pipeline, "baselines_all.csv")
    assert len(baselines) == 2 * 4 * 2 * (1 + 2 + 2 * 2 * 2 + 4)  # srs, unif, two policies with 2 τ, two f each; rivals
    per_model = trials(pipeline, "faq_final_models.csv")
    assert (per_model["covered"].str.len() == 30).all()
    coverage = per_model["covered"].map(lambda bits: bits.count("1") / len(bits))
    assert (coverage - final["coverage"]).abs().max() < 1e-6


def test_summary_table_fits_a_terminal_and_names_the_best_baseline(pipeline):
    text = (pipeline / "summary.txt").read_text()
    assert max(map(len, text.splitlines()[:20])) <= 80
    assert all(name in text for name in ("uniform (SRS)", "best baseline", "growing rounds"))
    summary = pd.read_csv(pipeline / "logs" / "summary.csv")
    unif = summary[(summary["method"] == "unif") & (summary["setting"] == "f=zero")]
    assert (unif["ess_vs_published_uniform"] == 1).all()
    for scenario in ("nfobs=None_p=1.0", SCENARIO):
        assert (pipeline / f"figure_board_{scenario}.png").stat().st_size > 10_000
        assert (pipeline / f"figure_board_{scenario}.pdf").read_bytes().startswith(b"%PDF")


def test_running_again_does_nothing(copy, script):
    before = contents(copy)
    for name, more in (("factor_models_cv.py", ["--ranks", 1, 2, "--weight-decays", 1.0, 0.1, "--epochs", 40,
                                                "--folds", 2]),
                       ("factor_models_final.py", ["--epochs", 40]), ("faq_final.py", ["--seeds", 2]),
                       ("baselines_all.py", ["--seeds", 2])):
        script(name, *GRID, *where(copy), *more)
        assert contents(copy) == before, name


def test_a_single_experiment_repeats_its_trials_and_only_those(copy, script):
    """Delete three trials; the command for one cell brings back its own, byte for byte."""
    for name in ("faq_final.csv", "faq_final_models.csv"):
        path = copy / "logs" / name
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith((f"board,{SCENARIO},60,", f"board,{SCENARIO},24,"))]
        path.write_text("".join(kept))
    script("faq_final.py", "--datasets", "board", "--scenarios", SCENARIO, "--budgets", 60, "--seeds", 2, *where(copy))
    again, original = trials(copy, "faq_final.csv"), trials(copy.parent / "run", "faq_final.csv")
    assert len(again) == 14 and not ((again["scenario"] == SCENARIO) & (again["budget"] == 24)).any()
    assert again.equals(original)


def test_trials_do_not_depend_on_what_else_runs(pipeline, tmp_path, script):
    """One shard, one budget, the first models: the same rows as in the whole run."""
    arguments = ["--datasets", "board", "--scenarios", SCENARIO, "--data-dir", pipeline / "data", "--factors-dir",
                 pipeline / "logs" / "factor_models", "--logs-dir", tmp_path]
    script("faq_final.py", *arguments, "--seeds", 4, "--shard", "1/4", "--budgets", "60", "24")
    part = ledger.read(tmp_path / "faq_final.csv", "")
    assert part["seed"].unique().tolist() == [1]
    whole = trials(pipeline, "faq_final.csv")
    whole = whole[(whole["scenario"] == SCENARIO) & (whole["seed"] == 1)]
    both = part.merge(whole, on=["budget", "seed"], suffixes=("", "_whole"))
    assert len(both) == 2 and (both["mean_width"] - both["mean_width_whole"]).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["factor_models_cv.py", "factor_models_val.py", "factor_models_final.py", "faq_val.py",
                                  "faq_final.py", "baselines_all.py", "summarize_results.py",
                                  "data/simulate_leaderboard.py", "data/simulate_missingness.py"])
def test_help_and_dry_run_change_nothing(copy, script, name):
    before = contents(copy)
    assert script(name, "--help").stdout.startswith("usage:")
    grid = {"data/simulate_leaderboard.py": ["--data-dir", copy / "data"],
            "data/simulate_missingness.py": [*GRID, "--data-dir", copy / "data"],
            "factor_models_cv.py": [*GRID, *where(copy), "--epochs", 40, "--folds", 2],
            "summarize_results.py": ["--logs-dir", copy / "logs"]}.get(name, [*GRID, *where(copy)])
    assert script(name, *grid, "--dry-run").stdout.strip()
    assert contents(copy) == before


PAPER = ["--policies", "faq", "--sampling", "with"]


def test_untuned_cells_use_the_default_and_say_so(copy, script):
    (copy / "logs" / "faq_val.csv").unlink()
    said = script("faq_final.py", "--datasets", "board", "--scenarios", SCENARIO, "--budgets", 13, "--seeds", 1,
                  *PAPER, *where(copy)).stdout
    assert "no validation log" in said and SETTINGS[0] in said


def test_untuned_budgets_use_the_nearest_and_say_so(copy, script):
    said = script("faq_final.py", "--datasets", "board", "--scenarios", SCENARIO, "--budgets", 13, "--seeds", 1,
                  *PAPER, *where(copy)).stdout
    assert "budget 13 was not tuned, the setting of 12 (5.0%) is used" in said


def test_without_replacement_and_the_whole_bank(copy, script):
    script("faq_final.py", "--datasets", "board", "--scenarios", SCENARIO, "--budgets", "100%", "--seeds", 1,
           *where(copy))
    row = trials(copy, "faq_final.csv").iloc[-1]
    assert row["mean_width"] == 0 and row["coverage"] == 1 and row["mse"] < 1e-12 and row["unique"] == 240


def test_rows_say_what_they_were_made_from(pipeline):
    for name, log in columns.LOGS.items():
        if not (pipeline / "logs" / f"{name}.csv").exists():
            assert name.startswith("ablations_all"), name
            continue
        rows = trials(pipeline, f"{name}.csv")
        assert tuple(rows.columns) == log.header
        prints = rows[[column for column in log.made_from if name[:9] != "baselines" or column != "factors"]]
        assert prints.map(lambda text: len(text) == 8 and set(text) <= set("0123456789abcdef")).all(axis=None), name
        by_cell = rows.groupby(["dataset", "scenario"])[list(log.made_from)].nunique()
        assert (by_cell == 1).all(axis=None)
    assert trials(pipeline, "faq_final.csv")["history"].nunique() == 2  # as seen in two scenarios
    assert set(trials(pipeline, "baselines_all.csv")["factors"]) == {"none"}


def test_baselines_do_not_mind_other_factors(copy, script):
    before = contents(copy)
    refit(copy, "final")
    script("baselines_all.py", *ONE, "--seeds", 2, *where(copy))
    assert {path for path, print_ in contents(copy).items() if before[path] != print_} == {
        path.relative_to(copy) for path in copy.rglob("nfobs=None_p=1.0_final.npz")}


def test_files_of_choices_have_the_published_columns(pipeline, shared):
    """They can be read as the published tables are, and say what the next steps used."""
    logs = pipeline / "logs"
    for name in ("factor_model_selected_settings.csv", "faq_best_settings.csv"):
        ours, theirs = pd.read_csv(logs / name), pd.read_csv(shared / "paper" / name)
        assert ours.columns.tolist() == theirs.columns.tolist()
        assert set(ours["dataset"]) == {"board"} and len(ours) == 2 * (4 if "prop_budget" in ours else 1)
    for scenario in ("nfobs=None_p=1.0", SCENARIO):
        cell = Cell("board", scenario)
        rank, decay = published.factor_setting(logs, cell)
        about = Factors.load(logs / f"factor_models/board/{scenario}_final.npz").about
        assert (rank, decay) == (about["rank"], float(about["weight_decay"]))
        chosen = published.best_settings(logs, cell)
        tuned = trials(pipeline, "faq_val.csv")
        tuned = tuned[tuned["scenario"] == scenario]
        best = tuned.loc[tuned.groupby("budget")["mean_se2"].idxmin()].set_index("budget")  # one seed
        assert {240 * k // 40: setting.key for k, setting in chosen.items()} == best["setting"].to_dict()
    table = pd.read_csv(logs / "faq_best_settings.csv")
    rows = table[table["n_full_obs"].isna()]
    assert rows["mcar_obs_prob"].eq(1).all()
    first = tuned_row(trials(pipeline, "faq_val.csv"), rows.iloc[0])
    assert rows.iloc[0]["mean_width"] == pytest.approx(first["width_published"])
    assert rows.iloc[0]["coverage_full"] == pytest.approx(first["coverage_published"])


def tuned_row(log, choice):
    """The validation row, of one seed, behind a published row of a choice at all data observed."""
    budget = round(choice["prop_budget"] * 240)
    key = "_".join(f"{name}={float(choice[name])}" for name in ("beta0", "rho", "gamma", "tau"))
    return log[(log["scenario"] == "nfobs=None_p=1.0") & (log["budget"] == budget) & (log["setting"] == key)].iloc[0]


# --- input that cannot be used -------------------------------------------------------------------------

def break_nothing(folder):
    pass


def remove(*names):
    def break_it(folder):
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return break_it


def rewrite(name, change):
    def break_it(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))
    return break_it


def line(number, change):
    def change_line(text):
        lines = text.split(b"\n")
        lines[number] = change(lines[number])
        return b"\n".join(lines)
    return change_line


def repeat_the_first_model(folder):
    first = (folder / M2).read_bytes().split(b"\n")[1]
    rewrite(M2, line(3, lambda row: first))(folder)


def flip(row):
    """The same models and questions, one answer changed."""
    return row[:-1] + (b"0" if row.endswith(b"1") else b"1")


def refit(folder, which):
    path = folder / "logs" / "factor_models" / "board" / f"nfobs=None_p=1.0_{which}.npz"
    model = Factors.load(path)
    model.U[0, 0] += 1
    model.save(path)


def retold(folder, log, column):
    path = folder / "logs" / log
    pd.read_csv(path, dtype=str, keep_default_na=False).assign(**{column: "0badbad0"}).to_csv(path, index=False)


def fewer(text):
    """The first ten models."""
    return b"\n".join(text.split(b"\n")[:11]) + b"\n"


def forget_history(folder):
    path = folder / "logs/factor_models/board/nfobs=None_p=1.0_final.npz"
    model = Factors.load(path)
    del model.about["history"]
    model.save(path)


def unknown(name):
    """What migrate_logs.py makes of a log."""
    def forget(folder):
        path, log = folder / "logs" / name, columns.LOGS[name.removesuffix(".csv")]
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table.assign(**dict.fromkeys(log.made_from, columns.UNKNOWN)).to_csv(path, index=False)
    return forget


def older(path):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table[list(columns.LOGS[path.stem].before)].to_csv(path, index=False)


M2 = "data/board/M2.csv"
FINAL = "logs/factor_models/board/nfobs=None_p=1.0_final.npz"
ONE = ["--datasets", "board", "--scenarios", "nfobs=None_p=1.0"]
BAD = {
    "no data folder": (remove("data"), "faq_final.py", ONE, "no such dataset"),
    "no M2": (remove(M2), "faq_final.py", ONE, "M2.csv: no such file"),
    "no CV log": (remove("logs/factor_models_cv.csv", FINAL), "factor_models_final.py", ONE, "factor_models_cv.py"),
    "no factors": (remove(FINAL), "faq_final.py", ONE, "python factor_models_final.py makes it"),
    "no factors for the walks": (remove(FINAL), "baselines_all.py", ONE, "python factor_models_final.py makes it"),
    "no mask": (remove(f"data/board/masks/{SCENARIO}.npz"), "factor_models_cv.py",
                ["--datasets", "board", "--scenarios", SCENARIO], "simulate_missingness.py"),
    "no logs": (remove("logs"), "summarize_results.py", [], "holds none of"),
    "two models of one name": (repeat_the_first_model, "faq_final.py", ONE, "occurs 2 times (rows 1, 3 of the models)"),
    "ragged row": (rewrite(M2, line(3, lambda row: row + b",1")), "faq_final.py", ONE, "line 4"),
    "score above one": (rewrite(M2, line(3, lambda row: row[:-1] + b"7")), "faq_final.py", ONE, "'7' is not a score"),
    "duplicate question": (rewrite(M2, line(0, lambda row: row.rsplit(b",", 1)[0] + b"," + row.rsplit(b",", 2)[1])),
                           "faq_final.py", ONE, "occurs 2 times"),
    "other questions": (rewrite(M2, line(0, lambda row: row + b"x")), "faq_final.py", ONE, "both must list the same"),
    "incomplete new model": (rewrite(M2, line(1, lambda row: row[:-1])), "faq_final.py", ONE, "must be complete"),
    "unknown dataset": (break_nothing, "faq_final.py", ["--datasets", "bored"], "available: board"),
    "unknown scenario": (break_nothing, "faq_final.py", ["--datasets", "board", "--scenarios", "p=0.1"], "write it as"),
    "budget of 0": (break_nothing, "faq_final.py", [*ONE, "--budgets", 0], "between 1 and 240"),
    "budget above N": (break_nothing, "baselines_all.py", [*ONE, "--budgets", 241], "between 1 and 240"),
    "budget in words": (break_nothing, "faq_val.py", [*ONE, "--budgets", "few"], "a number of questions"),
    "truncated factors": (rewrite(FINAL, lambda text: text[:2000]), "faq_final.py", ONE, "not a complete factor model"),
    "truncated mask": (rewrite(f"data/board/masks/{SCENARIO}.npz", lambda text: text[:200]), "factor_models_cv.py",
                       ["--datasets", "board", "--scenarios", SCENARIO], "not a complete mask"),
    "changed header": (rewrite("logs/faq_final.csv", line(0, lambda row: row + b",more")), "faq_final.py", ONE,
                       "the header has changed (more)"),
    "other number of models": (break_nothing, "faq_final.py", [*ONE, "--models", 5], "are there with 30 models"),
    "other new models": (rewrite(M2, line(1, lambda row: flip(row))), "faq_final.py", ONE, "(new models "),
    "other new models of a baseline": (rewrite(M2, line(1, lambda row: flip(row))), "baselines_all.py", ONE,
                                       "computed from other data"),
    "other factors": (lambda folder: refit(folder, "final"), "faq_final.py", ONE, "(factors "),
    "other factors in tuning": (lambda folder: refit(folder, "val"), "faq_val.py", [*ONE, "--settings", *SETTINGS],
                                "choose another --logs-dir"),
    "other folds": (break_nothing, "factor_models_cv.py", [*ONE, "--ranks", 1, "--weight-decays", 1.0, "--epochs", 40,
                                                           "--folds", 3], "(fitting "),
    "rows of an older log": (unknown("faq_final.csv"), "faq_final.py", ONE, "it can be drawn, not continued"),
    "rows of an older log of who was covered": (lambda folder: (unknown("faq_final_models.csv")(folder),
                                                                (folder / "logs/faq_final.csv").unlink()),
                                                "faq_final.py", ONE, "it can be drawn, not continued"),
    "folds of an older log": (unknown("factor_models_cv.csv"), "factor_models_cv.py",
                              [*ONE, "--ranks", 1, "--weight-decays", 1.0, "--epochs", 40, "--folds", 2],
                              "it can be drawn, not continued"),
    "an older log": (lambda folder: older(folder / "logs/faq_final.csv"), "faq_final.py", ONE,
                     "python migrate_logs.py"),
    "an older log in a summary": (lambda folder: older(folder / "logs/faq_final.csv"), "summarize_results.py", [],
                                  "python migrate_logs.py"),
    "rank chosen on another history": (rewrite("data/board/M1.csv", line(1, lambda row: flip(row))),
                                       "factor_models_final.py", [*ONE, "--epochs", 40],
                                       "run factor_models_cv.py again"),
    "rank of other epochs": (break_nothing, "factor_models_cv.py", [*ONE, "--ranks", 3, "--weight-decays", 1.0,
                                                                    "--epochs", 41, "--folds", 2], "(fitting "),
    "coverage of other new models": (rewrite(M2, line(1, lambda row: flip(row))), "faq_coverage.py", ONE,
                                     "run faq_final.py again"),
    "tuned on another history": (lambda folder: retold(folder, "faq_val.csv", "history"), "faq_final.py",
                                 [*ONE, "--policies", "faq"], "run faq_val.py again"),
    "seeds with fewer models": (break_nothing, "faq_final.py", [*ONE, "--seeds", 3, "--models", 5, "--shard", "2/3"],
                                "are there with 30 models"),
    "another board of the name and another size": (lambda folder: [rewrite(f"data/board/{name}.csv", fewer)(folder)
                                                                   for name in ("M1", "M2")], "factor_models_cv.py",
                                                   [*ONE, "--ranks", 3, "--weight-decays", 1.0, "--epochs", 40,
                                                    "--folds", 2], "(history "),
    "factors of no known history": (lambda folder: forget_history(folder), "faq_final.py", [*ONE, "--seeds", 3],
                                    "does not say to which history"),
    "a folder in the place of a log": (lambda folder: ((folder / "logs/baselines_all.csv").unlink(),
                                                       (folder / "logs/baselines_all.csv").mkdir()),
                                       "summarize_results.py", [], "a folder is in the place of the log"),
    "unknown setting": (break_nothing, "faq_final.py", [*ONE, "--setting", "tau=2"], "write it as"),
    "variance that does not go with the sampling": (break_nothing, "faq_final.py", [
        *ONE, "--policies", "faq-mix", "--sampling", "without", "--variance", "published"],
        "variance 'published': sampling 'without'"),
    "rank without weight decay": (break_nothing, "factor_models_val.py", [*ONE, "--rank", 2], "give both or neither"),
    "not an archive": (lambda folder: (shutil.rmtree(folder / "data/board"),
                                       (folder / "data/board.zip").write_bytes(b"PK torn")), "faq_final.py", ONE,
                       "not a complete zip"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(copy, script, case):
    break_it, name, arguments, message = BAD[case]
    break_it(copy)
    before = contents(copy)
    places = ["--logs-dir", copy / "logs"] if name == "summarize_results.py" else where(copy)
    done = script(name, *arguments, *places, code=2)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr
    assert contents(copy) == before


def test_parts_of_a_data_set_of_ones_own_are_not_merged_into_the_committed_logs(pipeline, script):
    said = script("summarize_results.py", "--merge", pipeline / "logs", code=2).stderr
    assert "board is a data set of your own; say with --logs-dir" in said


def test_a_history_replaced_beside_its_scenario_tables_is_refused(copy, script):
    data = ["--data-dir", copy / "data", "--datasets", "board", "--scenarios", SCENARIO]
    script("data/simulate_missingness.py", *data, "--csv")
    rewrite("data/board/M1.csv", line(1, lambda row: row.replace(b"1", b"0")))(copy)
    said = script("faq_final.py", "--datasets", "board", "--scenarios", SCENARIO, *where(copy), code=2).stderr
    assert "which was replaced" in said


def test_values_edited_in_a_log_are_found_by_running_again(copy, script):
    arguments = ["benchmarks/repro.py", *where(copy), "--share", 1]
    for name in ("faq_val", "baselines_all"):
        for path in (copy / "logs").glob(f"{name}*"):
            path.unlink()
    said = script(*arguments).stdout
    assert "16 of 16 trials" in said and "not run again: factor_model_selected_settings.csv" in said
    for name in ("faq_final.csv", "faq_final_models.csv"):
        path = copy / "logs" / name
        before = path.read_bytes()
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        column = "mse" if name == "faq_final.csv" else "covered"
        table.loc[3, column] = "0.5" if column == "mse" else "-" * 30
        table.to_csv(path, index=False)
        assert f"{column} {table.loc[3, column]}, now " in script(*arguments, code=1).stdout
        path.write_bytes(before)


def test_import_of_a_matrix(tmp_path, script):
    matrix = tmp_path / "m.csv"
    rows = [f"{name},{date},,{','.join('01'[(i * j) % 2] for j in range(5))}" for i, (name, date) in enumerate(
        [("b-fp8", "2024-02-01"), ("a", ""), ("b", "2024-01-01"), ("c", "2024-02-01"), ("d", "2024-03-01")])]
    rows[1] = "a,,,1,1,,0,0"
    matrix.write_text("model,created_date,sha,q1,q2,q3,q4,q5\n" + "\n".join(rows) + "\n")
    said = script("data/split_history.py", matrix, "--dataset", "mine", "--data-dir", tmp_path).stdout
    assert "families: 4, 1 with siblings: b (2)" in said and "dropped 1 new models that lack scores: a" in said
    assert (tmp_path / "mine" / "M1.csv").read_text().splitlines()[1].startswith("b,2024-01-01,,b,")
    again = script("data/split_history.py", matrix, "--dataset", "mine", "--data-dir", tmp_path, code=2)
    assert "exist; choose another name" in again.stderr
    said = script("data/split_history.py", matrix, "--dataset", "left", "--data-dir", tmp_path, "--leave-out", "b",
                  "--incomplete", "zero").stdout
    assert "history M1: 3 models" in said and "new models M2: 2" in said
