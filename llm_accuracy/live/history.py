"""The history of an evaluation, of any kind: read, brought onto the bank's questions, and turned into factors.

    a folder of logs of lm-evaluation-harness (--log_samples) or of inspect_ai, or an .eval file
    a CSV, wide (`model,…`, one column a question) or long (`model,question,score`)
    an .npz of fitted factors (`Factors.save`)
    none

Blanks are allowed everywhere. Nothing is dropped or matched without a note.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .. import cli
from ..errors import InputError
from ..files import first_line, reading
from ..querying import factors as fitting
from ..querying.diagnosis import Promise
from ..querying.factors import Factors, Fit
from ..querying.few_models import FEWEST, few_models
from ..querying.protocols import PROTOCOLS
from ..randomness import stream
from ..scores.contract import Models
from ..scores.matrix import MISSING, Responses
from ..scores.readers import LOG_ENDINGS, read, reader_of
from .bank import Bank, digest
from .drivers import Request
from .drivers.driver import limits_of

NONE = "none"
TABLES = ("wide", "long")  # kinds that have one score a question
PROTOCOL = "map"
RANKS = (1, 2, 4, 8, 16, 32, 64)
DECAYS = (2.0, 4.0, 8.0, 16.0, 32.0)
FOLDS = 3
LIMITS = {"lm-eval": "gen_kwargs", "inspect": "generate config"}  # where readers keep how answers were generated
OWN = "the task's own limits"
# Rank and decay are chosen on a part of a large history: what is best there is about what is best on all of it.
CV_MODELS, CV_QUESTIONS = 400, 2000


@dataclass
class History:
    """kind       as messages call it
    responses  scores of its models; None of factors and of none
    factors    where the history is given as fitted factors
    contents, prompts  {question: fingerprint of its content, of the prompt it was put in}, where the logs have them
    limits     {model: how its answers were generated}, where the logs say it: length, temperature, …
    notes      what was resolved and how
    """

    kind: str
    responses: Responses | None = None
    factors: Factors | None = None
    contents: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def models(self) -> list[str]:
        return [] if self.responses is None else self.responses.models.tolist()

    @property
    def fingerprint(self) -> str | None:
        """Of the models' names, the questions' names and all scores; of factors, of theirs."""
        if self.responses is not None:
            parts = [digest(self.responses.models), digest(self.responses.questions), digest(self.responses.scores)]
            return digest(np.array(parts, str))
        return None if self.factors is None else of_factors(self.factors)["the factors V of the questions"]

    @property
    def questions(self) -> np.ndarray | None:
        if self.factors is not None:
            return self.factors.questions
        return None if self.responses is None else self.responses.questions


def of_factors(factors: Factors) -> dict[str, str | None]:
    """Fingerprints of factors, by the name that a message gives their parts."""
    prior = factors.prior
    return {"the factors V of the questions": digest(factors.V), "the factors U of the history": digest(factors.U),
            "the questions of the factors": digest(np.asarray(factors.questions, str)),
            "what is believed of a new model": digest(np.vstack([prior.mean, prior.covariance]))}


# --- reading -------------------------------------------------------------------------------------------

def read_history(paths: list[Path], metric: str | None = None, filter_: str | None = None) -> History:
    """The history in files or folders, which must be of one kind; [] or ["none"]: of no model.

    metric, filter_  the score to use where logs have several

    Raises InputError for what cannot be read.
    """
    if not paths or [str(path) for path in paths] == [NONE]:
        return History("no history")
    for path in paths:
        if not path.exists():
            raise InputError(f"--history {path}: no such file or folder (none, for no history)")
        if not (path.is_file() or path.is_dir()):
            raise InputError(f"--history {path}: neither a file nor a folder; what comes through a pipe is read once "
                             "only: write it to a file first")
    if paths[0].suffix == ".npz":
        if len(paths) > 1:
            raise InputError("--history: one file of factors, not several")
        factors = Factors.load(paths[0], "evaluate_model.py")
        return History("fitted factors", factors=factors, notes=[f"history: {factors!r} from {paths[0]}"])
    kinds = {kind_of(path) for path in paths}
    if len(kinds) > 1:
        raise InputError(f"--history: {' and '.join(sorted(kinds))} together; give one kind")
    kind = kinds.pop()
    history = History({"wide": "a matrix", "long": "a table of answers"}.get(kind, f"logs of {kind}"))
    history.responses, notes = read(kind, paths, metric, filter_, heed=lambda models: _heed(models, kind, history))
    history.notes = [f"history: {note}" for note in notes]
    return history


def _heed(models: Models, kind: str, history: History) -> None:
    """Keep what logs know of their questions: fingerprints of the content as the driver of the same harness computes
    it, and of the prompt, where models had different ones that of the first."""
    columns = ("doc_hash", "target_hash") if kind == "inspect" else ("doc_hash",)
    for model, tasks in models.items():
        for task, scores in tasks.items():
            frame = scores.frame
            if kind in LIMITS and scores.setup:
                history.limits.setdefault(model, limits_of(scores.setup.get(LIMITS[kind])))
            if set(columns) <= set(frame.columns):
                for item, *parts in frame[list(columns)].dropna().itertuples():
                    history.contents.setdefault(f"{task}/{item}", "".join(parts))
            if "prompt_hash" in frame:
                for item, prompt in frame["prompt_hash"].dropna().items():
                    history.prompts.setdefault(f"{task}/{item}", prompt)


def other_limits(history: History, ours: str | None) -> list[str]:
    """A sentence where answers of the history were generated otherwise than `ours`; None where that is not known."""
    others = [theirs for theirs in history.limits.values() if theirs != ours]
    if ours is None or not others:
        return []
    return [f"{len(others)} of {len(history.limits)} models of the history generated their answers with "
            f"{others[0] or OWN}, this one with {ours or OWN}: "
            "predictions may be off, the estimate stays unbiased"]


def kind_of(path: Path) -> str:
    """The name in `scores.readers` of what a path holds, by its contents.

    Raises InputError where it holds none of them.
    """
    if path.is_dir() or path.name.endswith((*LOG_ENDINGS, ".parquet")):
        if path.is_dir() and next(path.iterdir(), None) is None:
            raise InputError(f"--history {path}: an empty folder (none, for no history)")
        return reader_of(path).name
    try:
        with reading(path) as stream:
            lines = first_line(stream, str(path)).decode("utf-8-sig").splitlines()
        header = next(csv.reader(lines[:1]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--history {path}: cannot be read ({error})") from None
    return "long" if {"model", "question", "score"} <= set(header) else "wide"


def check_choice(request: Request, paths: Iterable[Path]) -> None:
    """Raises InputError for --metric or --filter where neither who is asked nor what is read (`paths`) has several
    scores to choose from: a program, files, tables."""
    given = next((f"--{name} {value}" for name in ("metric", "filter") if (value := getattr(request, name))), None)
    if given and request.driver in ("command", "files") and all(
            path.suffix == ".npz" or kind_of(path) in TABLES for path in paths if str(path) != NONE):
        raise InputError(f"{given}: nothing that is asked or read has several scores to choose from; leave it away")


# --- onto the bank -------------------------------------------------------------------------------------

def aligned(history: History, bank: Bank) -> History:
    """The history on exactly the bank's questions, in their order, with notes of what does not match.

    Raises InputError where questions differ in content, where hardly any is known, and where fitted factors lack one.
    """
    if history.questions is None:
        return history
    _same_contents(history, bank)
    at = pd.Index(history.questions).get_indexer(pd.Index(bank.questions))
    known = int((at >= 0).sum())
    if known == 0:
        raise InputError(f"the history knows none of the {bank.size:,} questions ({str(history.questions[0])!r} there, "
                         f"{str(bank.questions[0])!r} here): is it of this benchmark? --history none asks without one")
    notes = list(history.notes)
    if foreign := len(history.questions) - known:
        notes.append(f"history: {foreign:,} of its {len(history.questions):,} questions are not asked here and are "
                     "left out")
    if history.factors is not None:
        if known < bank.size:
            raise InputError(f"the factors lack {bank.size - known:,} of the {bank.size:,} questions, first "
                             f"{bank.questions[at < 0][0]}: give the history that they were fitted to")
        one = history.factors
        fitted = replace(one, V=one.V[at], questions=np.asarray(bank.questions, str), history_mean=one.history_mean[at])
        return replace(history, factors=fitted, notes=notes)
    if known < bank.size:
        notes.append(f"history: {bank.size - known:,} of the {bank.size:,} questions are unknown to it, first "
                     f"{bank.questions[at < 0][0]}")
    assert history.responses is not None
    return replace(history, responses=_on_bank(history.responses, bank, at, notes), notes=notes)


def _on_bank(responses: Responses, bank: Bank, at: np.ndarray, notes: list[str]) -> Responses | None:
    if np.array_equal(at, np.arange(responses.n_questions)):
        scores = responses.scores
    else:
        blank = MISSING if responses.scores.dtype == np.int8 else np.float32(np.nan)
        scores = np.where(at >= 0, responses.scores[:, at], blank).astype(responses.scores.dtype)
    found = Responses(responses.models, bank.questions, scores, families=responses.families, source=responses.source)
    there = np.asarray(found.observed.any(1))
    if not there.all():
        notes.append(f"history: {int((~there).sum()):,} of its models have no score on these questions and are left "
                     f"out, first {responses.models[~there][0]}")
    if not there.any():
        notes.append("history: no model of it has a score on these questions")
        return None
    return found.take(there) if not there.all() else found


def _same_contents(history: History, bank: Bank) -> None:
    if bank.contents is None:
        return
    known = history.contents
    pairs = [(name, content, known[name]) for name, content in
             zip(bank.questions.tolist(), bank.contents.tolist(), strict=True) if content and known.get(name)]
    differ = [name for name, here, there in pairs if here != there]
    if differ:
        raise InputError(f"{len(differ):,} of {len(pairs):,} questions have another content than in the history, first "
                         f"{differ[0]}: another version of the task? Use the history's version, or --history none")


# --- what it is worth ----------------------------------------------------------------------------------

def worth(factors: Factors, n_models: int, tasks: np.ndarray | None) -> list[str]:
    """What the history promises, in a sentence or two."""
    if n_models == 0:
        count = 0 if tasks is None else len(np.unique(tasks))
        how = f"evenly over the {count:,} tasks, and what is learned of a task counts" if count > 1 else "at random"
        return [f"no history: questions are drawn {how}; intervals are valid, about as wide as with random questions"]
    gain = Promise.of(factors).gain
    like = "it" if n_models < 2 else "them"
    promised = (f"a chosen question is worth up to {gain:.1f} random ones for a model like {like}" if gain >= 1.05 else
                "it promises no more than random questions do")
    models = f"{n_models:,} model{'s' * (n_models > 1)}"
    if factors.stated is not None:
        return [f"history of {models}: too few to learn how models differ, enough to see which questions are hard; "
                f"{promised}"]
    few = "; more models would promise more" if n_models < 10 else ""
    return [f"history of {models}: {promised}{few}"]


def itself(models: list[str], model: str) -> list[str]:
    """A note where the history has a model of the same name."""
    plain = model.lower().rpartition("/")[2]
    same = [name for name in models if name.lower() == model.lower() or name.lower().rpartition("/")[2] == plain]
    return [f"the history has a model of the same name, {same[0]}: its answers decide what is asked, and the estimate "
            "stays unbiased; if it is the very same model, nothing new is learned"] if same else []


def identical(responses: Responses | None, questions: list[int], answers: list[float], least: int = 20) -> list[str]:
    """Names of the history's models that have given exactly these answers to all of these questions, at least `least`
    of which they have been asked; none where all answers are alike."""
    if responses is None or len(questions) < least or len(set(answers)) < 2:
        return []
    given, seen = responses.scores[:, questions], responses.observed[:, questions]
    same = ((np.abs(given - np.asarray(answers)) < 1e-6) | ~seen).all(1) & (seen.sum(1) >= least)
    return responses.models[same].tolist()


# --- factors -------------------------------------------------------------------------------------------

def fitted(history: History, bank: Bank, seed: int, note: Callable[[str], None]) -> Factors:
    """The factors of an aligned history: given, fitted here (rank and weight decay by cross-validation, with a bar),
    or, of fewer than FEWEST models, stated."""
    if history.factors is not None:
        return history.factors
    responses = history.responses
    if responses is None or responses.n_models < FEWEST:
        return few_models(responses, bank.questions, bank.tasks)
    rank, decay = _chosen(responses, seed)
    epochs = PROTOCOLS[PROTOCOL].epochs
    seen = responses.observed
    one = Fit(rank, decay, stream("live factors", seed, rank, decay), seen)
    with cli.Progress(epochs, f"fitting factors to {responses.n_models:,} models × {responses.n_questions:,} questions",
                      "epoch") as bar:
        [(U, V)] = fitting.fit(responses.scores, [one], PROTOCOLS[PROTOCOL], tick=bar.advance)
    about = {"protocol": PROTOCOL, "rank": rank, "weight_decay": decay, "rows": responses.n_models, "epochs": epochs,
             "history": history.fingerprint}
    note(f"factors: {rank} a question, weight decay {decay:g}, by cross-validation")
    return Factors(U, V, responses.questions, fitting.history_mean(responses.scores, seen), about)


def _chosen(responses: Responses, seed: int) -> tuple[int, float]:
    """(rank, weight decay) by the one-standard-error rule on the loss."""
    rng = stream("live factors", "part", seed)
    rows = np.sort(rng.permutation(responses.n_models)[:CV_MODELS])
    columns = np.sort(rng.permutation(responses.n_questions)[:CV_QUESTIONS])
    scores = responses.scores[np.ix_(rows, columns)]
    observed = responses.observed[np.ix_(rows, columns)]
    folds = fitting.entry_folds(observed, FOLDS, rng)
    ranks = [rank for rank in RANKS if rank <= max(1, len(rows) // 4)]
    table = []
    with cli.Progress(len(ranks), "choosing the number of factors", "rank") as bar:
        for rank in ranks:
            settings = [(decay, fold) for decay in DECAYS for fold in range(FOLDS)]
            fits = [Fit(rank, decay, stream("live factors", "cv", seed, rank, decay, fold),
                        (folds >= 0) & (folds != fold)) for decay, fold in settings]
            for (decay, fold), (U, V) in zip(settings, fitting.fit(scores, fits, PROTOCOLS[PROTOCOL]), strict=True):
                loss, accuracy = fitting.loss_and_accuracy(scores, folds == fold, U, V)
                table.append({"dataset": "", "scenario": "", "rank": rank, "weight_decay": decay, "fold": fold,
                              "train_loss": np.nan, "val_loss": loss, "train_acc": np.nan, "val_acc": accuracy})
            bar.advance()
    chosen = fitting.one_standard_error(pd.DataFrame(table), "loss").iloc[0]
    return int(chosen["rank"]), float(chosen["weight_decay"])

