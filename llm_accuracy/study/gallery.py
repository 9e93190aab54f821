"""The figures of main_text.ipynb and appendix.ipynb, each a function of `StudyLogs` in one table."""

from __future__ import annotations

from collections.abc import Iterator

from ..gallery import Drawn, Figures, Log
from . import coverage, summaries
from . import figures as plots
from .figures import EVERYTHING, OURS, PAPER, RIVALS, SEQUENTIAL, StudyLogs

SUMMARY = Log("summary.csv", "make laptop LOGS={}")
AUDITS = Log("faq_coverage.csv", "make laptop LOGS={}")
ALL_STEPS = ("faq_final.py", "baselines_all.py", "ablations_all.py", "summarize_results.py")
AUDIT_STEPS = ("faq_final.py", "faq_coverage.py")

FIGURES = Figures(StudyLogs.read)


# --- main_text -----------------------------------------------------------------------------------------

@FIGURES.add("main_text_1_ess_and_coverage", "What a question is worth, and whether the intervals are honest",
             [SUMMARY], ALL_STEPS, "ESS and coverage of FAQ, best baseline, uniform; here also growing rounds, "
             "FAQ-mix, active inference and the oracles", per="dataset")
def ess_and_coverage(logs: StudyLogs) -> Iterator[Drawn]:
    for dataset in logs.datasets:
        cell = logs.of(dataset, *RIVALS, "uniform + factors", *PAPER, SEQUENTIAL, OURS, "oracle", "oracle (factors)",
                       scenario=EVERYTHING)
        if cell.empty:
            continue
        mine = cell[cell["name"] == OURS]
        figure = plots.by_scenario(cell, ("ess_width", "ess_mse", "coverage"), across=True)
        plots.titled(figure, f"A question chosen by {OURS} is worth {mine['ess_mse'].min():.1f} to "
                     f"{mine['ess_mse'].max():.1f} random ones by error; {mine['coverage'].min():.1%} to "
                     f"{mine['coverage'].max():.1%} of its intervals cover", plots.counts(cell))
        yield Drawn(figure, dataset, summaries.markdown_table(cell, ("ess_width", "ess_mse", "coverage")))


@FIGURES.add("main_text_2_sparse_history", "How much history does it take?", [SUMMARY],
             ALL_STEPS, "ESS under sparse history", per="dataset")
def sparse_history(logs: StudyLogs) -> Iterator[Drawn]:
    for dataset in logs.datasets:
        cell = logs.of(dataset, *RIVALS, *PAPER, OURS)
        if cell["scenario"].nunique() < 2:
            continue
        mine = cell[cell["name"] == OURS].groupby("scenario", sort=False)["ess_mse"].mean()
        for part in plots.parts(cell):
            figure = plots.by_scenario(part, ("ess_width", "ess_mse"))
            plots.titled(figure, f"The gain comes from the history: {OURS} is worth {mine.iloc[0]:.1f} × uniform by "
                         f"error with {plots.scenario_name(mine.index[0])}, {mine.iloc[-1]:.1f} × with "
                         f"{plots.scenario_name(mine.index[-1])}", plots.counts(part))
            yield Drawn(figure, dataset + plots.part_name(part, cell),
                        summaries.markdown_table(part, ("ess_width", "ess_mse")))


@FIGURES.add("main_text_3_coverage", "Who is covered?", [AUDITS], AUDIT_STEPS,
             "coverage against release date and accuracy", per="dataset")
def coverage_at_the_middle_budget(logs: StudyLogs) -> Iterator[Drawn]:
    for dataset, of_dataset in logs.audits[logs.audits["scenario"] == EVERYTHING].groupby("dataset", sort=False):
        budgets = sorted(of_dataset["budget"].unique())
        cell = of_dataset[of_dataset["budget"] == budgets[len(budgets) // 2]]
        found = coverage.audit(cell).iloc[0]
        figure = plots.with_legend(plots.coverage_audit(cell))
        plots.titled(figure, f"From the oldest to the newest fifth of the models the coverage of {OURS} moves by "
                     f"{100 * found['by_date']:+.1f} ± {100 * found['by_date_se']:.1f} points, from the weakest to "
                     f"the best by {100 * found['by_accuracy']:+.1f} ± {100 * found['by_accuracy_se']:.1f}",
                     plots.audit_counts(cell))
        yield Drawn(figure, str(dataset), summaries.markdown(coverage.markdown_rows(cell)))


@FIGURES.add("main_text_4_widths", "Widths against the rivals", [SUMMARY], ALL_STEPS,
             "widths against active inference", per="dataset")
def widths(logs: StudyLogs) -> Iterator[Drawn]:
    for dataset in logs.datasets:
        cell = logs.of(dataset, *RIVALS, "uniform + factors", *PAPER, SEQUENTIAL, OURS, scenario=EVERYTHING)
        if cell.empty:
            continue
        widths = cell.set_index(["name", "budget"])["relative_width"].unstack("name")
        figure = plots.by_scenario(cell, ("mean_width", "relative_width"), across=True)
        plots.titled(figure, plots.narrowest_point(widths, OURS), plots.counts(cell))
        yield Drawn(figure, dataset, summaries.markdown_table(cell, ("mean_width", "relative_width")))


@FIGURES.add("main_text_5_batches", "Larger first rounds", [SUMMARY],
             ("faq_final.py --batch B", "summarize_results.py"), per="dataset")
def batches(logs: StudyLogs) -> Iterator[Drawn]:
    cells = summaries.batches(logs.table).groupby(summaries.CELL, sort=False)
    for (dataset, scenario, budget), cell in cells:
        figure = plots.titled(plots.by_batch(cell), plots.batches_point(cell, OURS), plots.batches_note(cell))
        alone = sum(key[0] == dataset for key in cells.groups) == 1
        yield Drawn(figure, dataset if alone else f"{dataset}_{scenario}_{budget}",
                    summaries.markdown_table(cell, ("ess_width", "ess_mse", "coverage")))


# --- appendix ------------------------------------------------------------------------------------------

@FIGURES.add("appendix_1_replacement", "With and without replacement", [SUMMARY],
             ("ablations_all.py --arms replacement", "summarize_results.py"), "with and without replacement",
             per="dataset")
def replacement(logs: StudyLogs) -> Iterator[Drawn]:
    for dataset in logs.datasets:
        cell = logs.of(dataset, "uniform (SRS)", *PAPER, "FAQ (naive without)", "FAQ (without)", SEQUENTIAL, OURS)
        naive = cell[cell["name"] == "FAQ (naive without)"].sort_values("budget")
        if naive.empty:
            continue
        last = naive[naive["budget"] == naive["budget"].max()]["coverage"]
        for part in plots.parts(cell):
            figure = plots.by_scenario(part, ("ess_width", "ess_mse", "coverage"))
            plots.titled(figure, "Not asking twice must be known to the estimator: the naive variant covers "
                         f"{last.min():.1%} to {last.max():.1%} at the largest budget", plots.counts(part))
            yield Drawn(figure, dataset + plots.part_name(part, cell),
                        summaries.markdown_table(part, ("ess_width", "ess_mse", "coverage")))


@FIGURES.add("appendix_2_scenarios", "All scenarios", [SUMMARY], ALL_STEPS,
             "coverage and width in every scenario (in the table also ESS)", per="dataset")
def scenarios(logs: StudyLogs) -> Iterator[Drawn]:
    for dataset in logs.datasets:
        cell = logs.of(dataset, "uniform (published)", *RIVALS, "uniform + factors", *PAPER, SEQUENTIAL, OURS)
        if cell["scenario"].nunique() < 2:
            continue
        for part in plots.parts(cell):
            drawn = part[part["name"].isin(["uniform (SRS)", "best baseline", *PAPER, OURS])]
            figure = plots.by_scenario(drawn, ("relative_width", "coverage"))
            plots.titled(figure, plots.scenarios_point(drawn, OURS), plots.counts(drawn))
            yield Drawn(figure, dataset + plots.part_name(part, cell),
                        summaries.markdown_table(part, ("ess_width", "ess_mse", "coverage", "mean_width")))


@FIGURES.add("appendix_3_audit", "Coverage of every model at every budget", [AUDITS], AUDIT_STEPS,
             "coverage audits at every budget", per="dataset and scenario")
def audit(logs: StudyLogs) -> Iterator[Drawn]:
    for (dataset, scenario), cell in logs.audits.groupby(["dataset", "scenario"], sort=False):
        found = coverage.audit(cell)
        below = (found["worst"] < found["luck_1pct"]).sum()
        figure = plots.with_legend(plots.coverage_audit(cell))
        plots.titled(figure, f"{OURS}, {plots.scenario_name(scenario)}: the worst model is worse than luck explains "
                     f"at {below} of {len(found)} budgets", plots.audit_counts(cell))
        yield Drawn(figure, f"{dataset}_{scenario}", summaries.markdown(coverage.markdown_rows(cell)))
