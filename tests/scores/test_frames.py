"""Matrices as tables of pandas, and back."""

import numpy as np
import pandas as pd
import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.scores.matrix import Responses, read_matrix, write_matrix

FRAME = pd.DataFrame({"q1": [1, 0], "q2": [0.0, np.nan]}, index=["a", "b"])


def test_a_table_becomes_a_matrix_and_a_table_again(tmp_path):
    responses = Responses.from_frame(FRAME, dates=["2024-01-01", ""], families=["f", "g"], tasks=["t", "u"])
    assert responses.scores.dtype == np.int8 and responses.scores.tolist() == [[1, 0], [0, -1]]
    assert responses.dates.tolist() == ["2024-01-01", ""] and responses.tasks.tolist() == ["t", "u"]
    assert repr(responses) == "Responses(2 models × 2 questions, 0/1, 25.0% blank, 'DataFrame')"
    write_matrix(tmp_path / "m.csv", responses)
    table = read_matrix(tmp_path / "m.csv").to_frame()
    pd.testing.assert_frame_equal(table, FRAME.astype(np.float32), check_names=False)
    assert table.index.name == "model" and table.columns.name == "question"
    assert table.loc["b", "q1"] == 0 and table.loc["b"].isna().tolist() == [False, True]


def test_partial_credit_and_every_way_to_be_missing():
    frame = pd.DataFrame({"q1": [0.25, None], "q2": pd.array([1, pd.NA], "Int64"), "q3": [True, None],
                          "q4": pd.array([True, False], "boolean"), "q5": np.array([1 / 3, 1], np.float32)}, ["a", "b"])
    responses = Responses.from_frame(frame)
    assert responses.scores.dtype == np.float32
    third = np.float32(1 / 3)
    np.testing.assert_array_equal(responses.scores, [[.25, 1, 1, 1, third], [np.nan, np.nan, np.nan, 0, 1]])
    again = Responses.from_frame(responses.to_frame())
    np.testing.assert_array_equal(again.scores, responses.scores)
    assert "scores in [0, 1], 30.0% blank" in repr(responses)


def test_names_need_not_be_text():
    responses = Responses.from_frame(pd.DataFrame([[1, 0]], index=[7], columns=[10, 11]))
    assert responses.models.tolist() == ["7"] and responses.questions.tolist() == ["10", "11"]


@pytest.mark.parametrize(("frame", "told"), [
    (FRAME["q1"], "a DataFrame of models × questions is needed, not a Series"),
    (FRAME.iloc[:0], "the table has 0 models and 2 questions"),
    (FRAME.rename_axis(None).reset_index(names="model"), r"set_index\('model'\)"),
    (FRAME.set_axis(["a", "a"]), "model 'a' occurs 2 times"),
    (FRAME.set_axis(["q", "q"], axis=1), "question 'q' occurs 2 times"),
    (FRAME.set_axis(["a", None]), "a model without a name"),
    (FRAME.set_axis(pd.MultiIndex.from_tuples([("a", 1), ("b", 1)])), "the models have 2 levels of names"),
    (FRAME.assign(q1=[1, 2]), "b, column q1: 2 is not a score"),
    (FRAME.assign(q1=[1, -1]), "b, column q1: -1 is not a score"),
    (FRAME.assign(q1=[1, np.inf]), "b, column q1: inf is not a score"),
    (FRAME.assign(q1=[1, "0"]), "b, column q1: '0' is not a score"),
    (FRAME.assign(q1=[1, [0]]), r"b, column q1: \[0\] is not a score"),
    (FRAME.assign(q1=["yes", "no"]), "a, column q1: 'yes' is not a score"),
    (FRAME.assign(q1=pd.Series(["yes", "no"], ["a", "b"], dtype="string")), "a, column q1: 'yes' is not a score"),
    (FRAME.assign(q1=pd.to_datetime(["2024-01-01", "2024-01-02"])), "a, column q1: Timestamp"),
    (FRAME.assign(q1=[1, 10 ** 400]), "b, column q1: .*is not a score"),
    (FRAME.assign(q1=[1j, 0]), "a, column q1: 1j is not a score"),
])
def test_what_is_no_table_of_scores_is_told_with_its_cell(frame, told):
    with pytest.raises(InputError, match=told) as refused:
        Responses.from_frame(frame)
    assert "\n" not in str(refused.value)


def test_labels_must_be_one_each():
    with pytest.raises(InputError, match="3 families for 2 models: give one each"):
        Responses.from_frame(FRAME, families=["f"] * 3)
    with pytest.raises(InputError, match="1 tasks for 2 questions"):
        Responses.from_frame(FRAME, tasks=["f"])
