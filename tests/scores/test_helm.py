"""Runs of HELM, on folders that crfm-helm 0.5.16 wrote (tests/helpers/write_helm.py)."""

import json
import shutil
import zipfile

import pytest
from conftest import ROOT

from llm_accuracy.degradation.reading import Source, read_pair
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


# ---- what questions are the same ------------------------------------------------------------------------------

def edited(run, folder, spec=lambda spec: None, **change):
    """A copy of a run with its spec changed, and the file that an entry of `change` names."""
    shutil.copytree(run, folder)
    for name, edit in {"run_spec": spec, **change}.items():
        path = folder / f"{name}.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))
    return folder


def test_the_two_files_of_questions_agree(runs, tmp_path):
    bare = edited(runs["letters"], tmp_path / "bare")
    (bare / "instances.json").unlink()
    [one], [other] = read_model(runs["letters"]).values(), read_model(bare).values()
    assert one.frame.equals(other.frame) and not any("fingerprints" in note for note in one.notes + other.notes)


def test_questions_of_helm_run_alone_are_compared(runs, tmp_path):
    def turn(state):
        for asked in state["request_states"]:
            asked["instance"]["input"]["text"] += "!"
    other = edited(runs["last_word"], tmp_path / "other", scenario_state=turn)
    with pytest.raises(InputError, match="the documents differ on 5 of 5 items"):
        read_pair(Source(), str(runs["last_word"]), str(other))


def test_one_id_with_two_contents_is_refused(runs, tmp_path):
    other = edited(runs["last_word"], tmp_path / "other", scenario_state=lambda state: state["request_states"][-1][
        "instance"]["input"].update(text="Say Nothing"))
    with pytest.raises(InputError, match="instance id8 of split test is given twice, with two contents"):
        read_model(other)


def test_without_a_file_of_questions_a_line_says_so(runs, tmp_path):
    bare = edited(runs["last_word"], tmp_path / "bare")
    (bare / "scenario_state.json").unlink()
    [log] = read_model(bare).values()
    assert "doc_hash" not in log.frame
    said = "have no fingerprints of their questions, which are known by their ids alone"
    assert any(said in note for note in log.notes)


def test_questions_that_the_file_lacks_are_counted(runs, tmp_path):
    other = edited(runs["letters"], tmp_path / "other", instances=lambda found: found.pop(-2))
    [log] = read_model(other).values()
    assert any("no fingerprints of 1 of 5 questions" in note for note in log.notes)
    assert any("the candidate has no fingerprints of 1 of 5" in note
               for note in read_pair(Source(), str(runs["letters"]), str(other), allow_same=True)[0].notes)


def test_a_plain_run_is_paired_with_the_unperturbed_instances_of_an_augmented_one(runs, tmp_path):
    def plain(spec):
        spec["name"] = "letters:subject=order,model=simple_model1"
        spec["adapter_spec"].update(model="simple/model2", instructions="Pick.\nOne.")

    def entries(found):
        found[:] = [entry for entry in found if "perturbation" not in entry]
        for entry in found:
            for stat in entry["stats"]:
                stat["sum"] = stat["sum"] and 1.0 - stat["sum"]
    other = edited(runs["letters"], tmp_path / "other", plain, per_instance_stats=entries)
    pairs, _ = read_pair(Source(), str(runs["letters"]), str(other))
    assert pairs.size == 5 and pairs.task == "letters:subject=order"
    said = "\n".join(pairs.notes)
    assert "data_augmentation differs: lower in the baseline, none in the candidate" in said
    assert 'in the baseline, "Pick.\\nOne." in the candidate' in said
    both = tmp_path / "both"
    edited(runs["letters"], both / "augmented")
    edited(runs["letters"], both / "plain", lambda spec: spec.update(name="letters:subject=order"))
    assert set(read_model(both)) == {"letters:subject=order", "letters:subject=order,data_augmentation=lower"}


def test_a_run_of_perturbed_instances_alone_says_so(runs, tmp_path):
    def entries(found):
        found[:] = [entry for entry in found if "perturbation" in entry]
    other = edited(runs["letters"], tmp_path / "other", per_instance_stats=entries)
    with pytest.raises(InputError, match=r"all of its instances are perturbed \(perturbed instances \(lowercase\)"):
        read_model(other)


def test_two_deployments_of_one_name_are_not_united(runs, tmp_path):
    edited(runs["letters"], tmp_path / "a")
    edited(runs["last_word"], tmp_path / "b", lambda spec: spec["adapter_spec"].update(model_deployment="other/model1"))
    with pytest.raises(InputError, match="two runs of simple/model1 differ in model_deployment"):
        read_model(tmp_path)
