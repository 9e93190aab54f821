"""Runs of HELM, on folders that crfm-helm 0.5.16 wrote (tests/helpers/write_helm.py)."""

import json
import zipfile

import pytest
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.scores.readers import read_model, reader_of
from llm_accuracy.scores.task_scores import Choices


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("helm")
    with zipfile.ZipFile(ROOT / "tests" / "data" / "helm_0_5.zip") as archive:
        archive.extractall(folder)
    return {path.name.split(":")[0]: path for path in folder.iterdir()}


@pytest.mark.parametrize("metric", ["exact_match", "f1_score"])
@pytest.mark.parametrize("split", ["test", "valid"])
@pytest.mark.parametrize("name", ["letters", "last_word"])
def test_means_are_those_of_stats_json(runs, name, split, metric):
    if (name, metric) == ("letters", "f1_score"):
        with pytest.raises(InputError, match="no metric 'f1_score'"):
            read_model(runs[name], Choices({"*": (metric, split)}))
        return
    assert reader_of(runs[name]).name == "helm"
    [log] = read_model(runs[name], Choices({"*": (metric, split)})).values()
    [own] = [stat["mean"] for stat in json.loads((runs[name] / "stats.json").read_text())
             if stat["name"] == {"name": metric, "split": split}]
    count = {("letters", "valid"): 3, ("last_word", "valid"): 2}.get((name, split), 5)
    assert log.frame["score"].mean() == pytest.approx(own) and log.model == "simple/model1"
    assert log.account.scored == len(log.frame) == count


def test_test_is_read_and_the_rest_is_counted(runs):
    for name, others, trials, twins in (("letters", 3, 1, 8), ("last_word", 2, 2, 5)):
        [log] = read_model(runs[name]).values()
        assert len(log.frame) == 5 and (log.frame["runs"] == trials).all()
        assert log.account.left_out["instances of split valid (test is read; --filter chooses)"] == others
        assert log.account.left_out["perturbed instances (lowercase)"] == twins


def test_an_entry_given_twice_is_refused(runs, tmp_path):
    entries = json.loads((runs["letters"] / "per_instance_stats.json").read_text())
    (tmp_path / "run_spec.json").write_text((runs["letters"] / "run_spec.json").read_text())
    (tmp_path / "per_instance_stats.json").write_text(json.dumps([*entries, entries[0]]))
    with pytest.raises(InputError, match="trial 0 is given twice"):
        read_model(tmp_path)
