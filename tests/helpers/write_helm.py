"""Writes runs of HELM with HELM itself (helm-run), of its model simple/model1, on questions of our own.

    python tests/helpers/write_helm.py FOLDER

tests/data/helm_0_5.zip was made so, with crfm-helm 0.5.16, pillow and no torch; what is in FOLDER was zipped. The model
answers with the last word of its prompt. Two runs, each with train, valid and test instances and their lower-cased
twins: `letters` (multiple choice; helm-summarize's instances.json beside it) and `last_word` (generation, two train
trials, two metrics of which each writes entries of its own; as helm-run leaves it, without instances.json). An instance
without a text ends in the example that the trial drew.
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from helm.benchmark.adaptation.common_adapter_specs import (
    get_generation_adapter_spec,
    get_multiple_choice_joint_adapter_spec,
)
from helm.benchmark.metrics.common_metric_specs import (
    get_basic_generation_metric_specs,
    get_exact_match_metric_specs,
    get_generic_metric_specs,
)
from helm.benchmark.presentation.run_display import write_run_display_json
from helm.benchmark.presentation.schema import Schema
from helm.benchmark.run import main as helm_run
from helm.benchmark.run_spec import RunSpec, run_spec_function
from helm.benchmark.scenarios.scenario import CORRECT_TAG, Input, Instance, Output, Reference, Scenario, ScenarioSpec
from helm.common.codec import from_json

QUESTIONS = {  # task → split → (question, its references, the right one first)
    "letters": {
        "train": [("Which letter is the vowel?", "A B")],
        "valid": [("Which letter comes last?", "B A"), ("Which letter comes second?", "B A"),
                  ("Which letter ends CAB?", "B A")],
        "test": [("Which letter opens the alphabet?", "A B"), ("Which letter opens BANK?", "B A"),
                 ("Which letter opens ANT?", "A B"), ("Which letter ends TUB?", "B A"),
                 ("Which letter ends ERA?", "A B")],
    },
    "last_word": {
        "train": [("Say Yes", "Yes"), ("Say No", "No")],
        "valid": [("Say North", "South"), ("Say East", "East")],
        "test": [("Say Rome", "Rome"), ("Say Paris", "London"), ("Say oslo", "oslo"), ("", "Yes"), ("", "No Yes")],
    },
}


class Questions(Scenario):
    name = "questions"
    description = "Questions for the last word."
    tags = ()

    def __init__(self, task):
        super().__init__()
        self.definition_path = "write_helm.py"  # otherwise the path on this machine
        self.task = task

    def get_instances(self, output_path):
        made = []
        for split, questions in QUESTIONS[self.task].items():
            for text, words in questions:
                right, *others = words.split()
                options = sorted([right, *others]) if self.task == "letters" else [right]
                made.append(Instance(Input(text=text), split=split, references=[
                    Reference(Output(text=word), [CORRECT_TAG] if word == right else []) for word in options]))
        return made


def register():
    @run_spec_function("letters")
    def letters(subject):
        adapter = get_multiple_choice_joint_adapter_spec("Choose.", "Question", "Answer", num_outputs=1,
                                                         output_prefix="", max_train_instances=0)
        return RunSpec(f"letters:subject={subject}", ScenarioSpec("write_helm.Questions", {"task": "letters"}), adapter,
                       get_exact_match_metric_specs(), groups=["letters"])

    @run_spec_function("last_word")
    def last_word():
        adapter = replace(get_generation_adapter_spec("Answer.", max_train_instances=1), num_train_trials=2)
        metrics = [*get_basic_generation_metric_specs(["exact_match"]),
                   *get_basic_generation_metric_specs(["f1_score"]), *get_generic_metric_specs()]
        return RunSpec("last_word", ScenarioSpec("write_helm.Questions", {"task": "last_word"}), adapter, metrics,
                       groups=["last_word"])


def main(folder):
    register()
    entries = ("letters:subject=order,model=simple/model1,data_augmentation=lower",
               "last_word:model=simple/model1,data_augmentation=lower")
    with tempfile.TemporaryDirectory() as work:
        sys.argv[1:] = ["--run-entries", *entries, "--suite", "v1", "-m", "12", "-n", "1",
                        "--output-path", f"{work}/out", "--local-path", f"{work}/local", "--disable-cache",
                        "--exit-on-error"]
        helm_run()
        for run in sorted(Path(work, "out", "runs", "v1").glob("l*")):
            if run.name.startswith("letters"):
                spec = from_json((run / "run_spec.json").read_text(), RunSpec)
                write_run_display_json(str(run), replace(spec, groups=[]), Schema(), skip_completed=False)
            shutil.copytree(run, folder / run.name, ignore=shutil.ignore_patterns("display_*"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
