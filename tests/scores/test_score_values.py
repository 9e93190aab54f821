"""What counts as a score, source by source: the table in score_values.py, tried through the readers themselves.

The rows differ today. The issue on readers makes them equal and then changes this test; nothing else may.
"""

import json

import numpy as np
import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.leaderboard.suites import SUITES, Answers, BadSamples
from llm_accuracy.scores.matrix import read_matrix
from llm_accuracy.scores.readers import READERS, read
from llm_accuracy.scores.score_values import RULES, logged_value, score_number
from llm_accuracy.scores.tables import read_csv

SOURCES = ("wide", "long", "csv", "watch", "lm-eval", "leaderboard")
# text: what it is to each of SOURCES; · is a missing score, x a refusal
TABLE = {
    "1": "1 1 1 1 1 1", "0": "0 0 0 0 0 0", "1.0": "1 1 1 1 1 1", "True": "1 1 1 1 1 1", "False": "0 0 0 0 0 0",
    "true": "x 1 1 1 1 x", "FALSE": "x 0 0 0 0 x", " 1 ": "1 1 1 1 1 x", "1e0": "1 1 1 1 1 x",
    "0.5": "0.5 0.5 0.5 0.5 0.5 x",
    "": "· · · · x x", " ": "x · · · x x", "nan": "· · · · · x", "NaN": "· · · · · x", "NAN": "· · · · · x",
    "-nan": "· x x · · x", "null": "x · · · x x", "None": "x · · · x x", "NA": "x x · · x x", "n/a": "x x x x x x",
    "C": "x x x x x x", "0x1": "x x x x x x",
    "-1": "x x -1 -1 -1 x", "2": "x x 2 2 2 x", "inf": "x x x inf inf x",
}


def read_as(source: str, text: str, folder) -> float:
    """What the reader of a source makes of a text, NaN where it is a missing score."""
    path = folder / "a.csv"
    if source == "wide":
        path.write_text(f"model,q1,q2\nm,{text},0.25\n")
        return float(read_matrix(path).scores[0, 0])
    if source == "long":
        path.write_text(f"model,question,score\nm,q1,{text}\nm,q2,0.25\n")
        responses, _ = read("long", [path])
        return float(responses.scores[0, 0])
    if source == "csv":
        path.write_text(f"prompt_id,score\na,{text}\n")
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
    by_the_tool = {"inspect", "helm"}  # read as inspect_ai reads them; sums over counts
    assert READERS.keys() - by_the_tool < RULES.keys() and RULES.keys() == set(SOURCES)


def test_one_number_and_a_column_of_them_agree():
    import pandas as pd

    for name in ("long", "csv"):
        scores, bad = RULES[name].numbers(pd.Series(list(TABLE)))
        for text, score, refused in zip(TABLE, scores, bad, strict=True):
            one = RULES[name].number(text)
            assert (one is None) == refused and (refused or one == pytest.approx(score, nan_ok=True)), (name, text)


def test_null_and_lists():
    assert np.isnan(logged_value(None, "acc", "here")) and np.isnan(score_number(None, "here"))
    with pytest.raises(BadSamples, match="doc_id 0 has no acc"):
        Answers(SUITES["mmlu-pro"][0]).add(0, None, "", "")
    assert logged_value([True, False], "acc", "here") == [1, 0] == logged_value(["True", "False"], "acc", "here")
    assert logged_value([-3, 2], "word_perplexity", "here") == (-3, 2)
    for value in ([1, 2], ["true"], {"a": 1}, []):
        with pytest.raises(InputError, match="is not a score of one item"):
            logged_value(value, "acc", "here")
    with pytest.raises(InputError, match="a list is not one score"):
        score_number([True], "here")
