"""What counts as a score, source by source: the table in score_values.py, tried through the readers themselves."""

import json

import numpy as np
import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.leaderboard.suites import SUITES, Answers, BadSamples
from llm_accuracy.scores.flags import read_values
from llm_accuracy.scores.matrix import read_matrix
from llm_accuracy.scores.readers import READERS, read
from llm_accuracy.scores.score_values import RULES, logged_value, score_number
from llm_accuracy.scores.tables import read_csv

SOURCES = ("wide", "long", "csv", "watch", "lm-eval", "leaderboard")
# text: what it is to each of SOURCES; · is a missing score, x a refusal
TABLE = {text: row for texts, row in {
    ("1", "1.0", "True", "true", "TRUE", " 1 ", "1e0", "+1.", "00001", "1." + "0" * 400): "1 1 1 1 1 1",
    ("0", "0.0", "False", "false", "FALSE", "-0", ".0"): "0 0 0 0 0 0",
    ("0.5", "5e-1", ".5"): "0.5 0.5 0.5 0.5 0.5 x",
    ("", " ", "nan", "NaN", "NAN", "-nan", "null", "NULL", "None", "NA", "N/A", "n/a", "#N/A", "<NA>"): "· · · · · x",
    ("C", "0x1", "1_0", "٣", "yes", "missing", "1e", "--1", "\ud835", "inf", "Infinity", "1e999",
     "9" * 400): "x x x x x x",
    ("-1",): "x x -1 -1 -1 x", ("2",): "x x 2 2 2 x",
}.items() for text in texts}


def read_as(source: str, text: str, folder) -> float:
    """What the reader of a source makes of a text, NaN where it is a missing score."""
    path = folder / "a.csv"
    if source == "wide":
        path.write_bytes(f"model,q1,q2\nm,{text},0.25\n".encode(errors="surrogatepass"))
        return float(read_matrix(path).scores[0, 0])
    if source == "long":
        path.write_bytes(f"model,question,score\nm,q1,{text}\nm,q2,0.25\n".encode(errors="surrogatepass"))
        responses, _ = read("long", [path])
        return float(responses.scores[0, 0])
    if source == "csv":
        path.write_bytes(f"prompt_id,score\na,{text}\nb,0.25\n".encode(errors="surrogatepass"))
        return read_csv(path)["scores"].frame["score"]["a"]
    if source == "watch":
        return score_number(text, "here")
    if source == "lm-eval":
        return logged_value(text, "acc", "here")
    answers = Answers(SUITES["mmlu-pro"][0])
    answers.add_line(json.dumps({"doc_id": 0, "acc": text}).encode())
    return float(answers.rows[0][0])


@pytest.mark.parametrize("text", TABLE)
def test_a_text_is_what_the_table_says(tmp_path, text):
    for source, wanted in zip(SOURCES, TABLE[text].split(), strict=True):
        if wanted == "x":
            with pytest.raises((InputError, BadSamples)):
                read_as(source, text, tmp_path)
        else:
            assert read_as(source, text, tmp_path) == pytest.approx(
                np.nan if wanted == "·" else float(wanted), nan_ok=True), source


def test_every_source_of_words_has_a_row():
    words_as_in_lm_eval_or_none = {"helm", "every-eval-ever", "jsonl", "promptfoo", "lighteval", "evalplus",
                                   "opencompass"}
    assert READERS.keys() - words_as_in_lm_eval_or_none < RULES.keys()
    assert RULES.keys() == {*SOURCES, "inspect"}  # inspect_ai's words are tried in test_inspect_logs.py


def test_one_number_and_a_column_of_them_agree():
    import pandas as pd

    texts = [text for text in TABLE if text != "\ud835"]  # no column of a file can hold it
    for name in ("long", "csv"):
        scores, bad = RULES[name].numbers(pd.Series(texts))
        for text, score, refused in zip(texts, scores, bad, strict=True):
            one = RULES[name].number(text)
            assert (one is None) == refused and (refused or one == pytest.approx(score, nan_ok=True)), (name, text)


def test_null_and_lists():
    assert np.isnan(logged_value(None, "acc", "here")) and np.isnan(score_number(None, "here"))
    with pytest.raises(BadSamples, match="doc_id 0 has no acc"):
        Answers(SUITES["mmlu-pro"][0]).add(0, None, "", "")
    assert logged_value([True, False], "acc", "here") == [1, 0] == logged_value(["True", "False"], "acc", "here")
    assert logged_value([-3, 2], "word_perplexity", "here") == (-3, 2)
    with pytest.raises(InputError, match=r"acc holds several scores \(a, b\): take one with --metric acc.KEY"):
        logged_value({"a": 1, "b": 0}, "acc", "here")
    for value in (10**400, -(10**400), float("inf")):
        with pytest.raises(InputError, match="is not a finite number"):
            logged_value(value, "acc", "here")
    for value in ([1, 2], ["true"], {}, []):
        with pytest.raises(InputError, match="is not a score of one item"):
            logged_value(value, "acc", "here")
    with pytest.raises(InputError, match="a list is not one score"):
        score_number([True], "here")


def test_what_a_user_says_comes_first():
    values = read_values(["-1=missing", "CORRECT=1", "B=0.5"])
    assert np.isnan(logged_value(-1.0, "acc", "here", values)) and np.isnan(logged_value("-1", "acc", "here", values))
    assert logged_value("CORRECT", "acc", "here", values) == 1 and logged_value("B", "acc", "here", values) == 0.5
    for text in ("CORRECT", "CORRECT=right", "=", "a=inf"):
        with pytest.raises(InputError, match="expected WORD=SCORE"):
            read_values([text])
