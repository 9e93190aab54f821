"""What numbers are about: one bank with the answers that were given, new questions like its own, or new answers."""

from __future__ import annotations

from .errors import InputError

BANK, QUESTIONS, ANSWERS = "bank", "questions", "answers"
WORDS = {BANK: "this bank with these answers", QUESTIONS: "new questions like these",
         ANSWERS: "new answers to these"}
ABOUT = (BANK, QUESTIONS)  # what few answers can be about: one answer to a question says nothing of others to it
NO_ANSWERS = "new answers to these: that takes two runs of the models, answer by answer"


def add_flag(to) -> None:
    """--about, None where it is not given."""
    to.add_argument("--about", choices=ABOUT, help="what is claimed: of this bank with these answers (default), or of "
                                                   "new questions like these, which takes more questions")


def check_about(about: object) -> None:
    """Raises InputError for what few answers cannot be about."""
    if about not in ABOUT:
        raise InputError(f"about {about!r}: few answers are about {' or '.join(ABOUT)}")


def chosen(about: str | None) -> str:
    return about or BANK
