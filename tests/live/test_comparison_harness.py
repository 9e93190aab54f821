"""`evaluate --baseline` through the real lm-evaluation-harness: the baseline's margins come from its log, and a
registered model flips by a known rule."""

import json

import pytest
from conftest import harness_python
from test_harnesses import answers, asked, made, steps

HELPER, INSPECT = "live_margins.py", "live_inspect.py"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    harness_python()
    folder = tmp_path_factory.mktemp("margins")

    def words(run, below, *more, baseline="base", tasks="tasks"):
        return ["evaluate", run, "--baseline", baseline, "--margin", "8pt", "--budget", "60%", *more, "--lm-eval",
                f"--model margins --model_args folder=.,below={below} --tasks m_a,m_b --include_path {tasks}"]

    same = [word.replace(",below=0", "") for word in words("same", 0)]
    return folder, steps(HELPER, folder, [
        [{}, ["make"]],
        [{}, words("whole", 0.3, "--need-margins", "--fail-on", "not-shown-safe")],
        [{"LIVE_DIE_AFTER": "45"}, words("killed", 0.3)],
        [{}, ["evaluate", "killed", "--resume"]],
        [{}, ["evaluate", "killed", "--audit"]],
        [{}, words("broken", 3, "--fail-on", "degraded")],
        [{}, same],
        [{}, words("lacking", 0.3, baseline="short")],
        [{}, words("changed", 0.3, tasks="other")],
    ])


def test_what_flips_is_looked_for_where_margins_are_thin(live):
    folder, done = live
    assert [code for code, *_ in done[:2]] == [0, 0], done[:2]
    margins = json.loads((folder / "margins.json").read_text())
    found = answers(folder / "whole")
    assert found == {name: float((margins[name] > 0) != (abs(margins[name]) < 0.3)) for name in found}
    result = json.loads((folder / "whole" / "result.json").read_text())
    assert result["margins_known"] and result["verdict"] == "not degraded beyond the margin"
    flipped = [name for name in found if abs(margins[name]) < 0.3]
    everything = [name for name in margins if abs(margins[name]) < 0.3]
    assert result["lost"] + result["gained"] == len(flipped) > 1.5 * len(everything) * len(found) / len(margins)
    drop = sum((margins[name] > 0) - (margins[name] < 0) for name in everything) / len(margins)
    assert result["ci_low"] <= drop <= result["ci_high"]


def test_killed_and_resumed_asks_the_same(live):
    folder, done = live
    assert [code for code, *_ in done[2:5]] == [-9, 0, 0], done[2:5]
    assert asked(folder / "killed") == asked(folder / "whole")
    one, other = (json.loads((folder / run / "result.json").read_text()) for run in ("whole", "killed"))
    assert one["drop"] == other["drop"] and one["p_safe"] == other["p_safe"]


def test_a_broken_candidate_fails_and_bad_baselines_are_one_line(live):
    folder, done = live
    assert done[5][0] == 1 and "DEGRADED" in done[5][1], done[5]
    for (code, _, said), part in zip(done[6:], ("is the baseline itself", "lacks 130 of the 250 questions",
                                               "have another content than the baseline's"), strict=True):
        errors = [line for line in said.splitlines() if line.startswith("error:")]
        assert code == 2 and len(errors) == 1 and part in errors[0] and "Traceback" not in said, said
    assert not any((folder / run).exists() for run in ("same", "lacking", "changed"))


def test_the_same_by_inspect_ai(inspect_ai, tmp_path):
    """The baseline is inspect_ai's own log; every seventh answer of the candidate is turned round; one kill -9."""
    folder, truth = made(INSPECT, tmp_path)
    where = {"LIVE_FOLDER": str(folder)}

    def words(run, turned, *more, task="task.py"):
        return ["evaluate", run, "--baseline", "base", "--margin", "9pt", "--budget", "60%", *more, "--model",
                "row/base", "--inspect", f"{task}@sums" + (f" -M turned={turned}" if turned else "")]

    done = steps(INSPECT, folder, [
        [where, ["baseline", "base"]],
        [where | {"LIVE_DIE_AFTER": "25"}, words("run", 7, "--keep-going")],
        [where, ["evaluate", "run", "--resume", "--fail-on", "degraded"]],
        [where, ["evaluate", "run", "--audit"]],
        [where, words("margins", 7, "--need-margins")],
        [where, words("same", 0)],
        [where, words("changed", 7, task="other.py")],
    ])
    assert [code for code, *_ in done] == [0, -9, 0, 0, 2, 2, 2], done
    found = answers(folder / "run")
    turned = [name for name in found if int(name.partition("/s")[2]) % 7 == 0]
    assert len(found) == 120 and found == {name: abs(truth[name] - (name in turned)) for name in found}
    result = json.loads((folder / "run" / "result.json").read_text())
    assert (result["lost"], result["gained"]) == (sum(truth[name] for name in turned),
                                                  sum(1 - truth[name] for name in turned))
    drop = sum(2 * truth[f"sums/s{i}"] - 1 for i in range(0, 200, 7)) / 200
    assert result["ci_low"] <= drop <= result["ci_high"] and not result["margins_known"]
    for (_, _, said), part in zip(done[4:], ("margin", "is the baseline itself",
                                             "have another content than the baseline's"), strict=True):
        errors = [line for line in said.splitlines() if line.startswith("error:")]
        assert len(errors) == 1 and part in errors[0] and "Traceback" not in said, said
    assert not any((folder / run).exists() for run in ("margins", "same", "changed"))
    log = inspect_ai.log.read_eval_log(str(max((folder / "run" / "inspect").glob("*.eval"))))
    told = {name: metric.value for score in log.results.scores for name, metric in score.metrics.items()}
    right = sum(truth.values()) / 200 - result["drop"]  # the baseline's accuracy, known in full, less the drop
    assert told == pytest.approx({"accuracy": right, "low": right + result["drop"] - result["ci_high"],
                                  "high": right + result["drop"] - result["ci_low"], "asked": 120})
