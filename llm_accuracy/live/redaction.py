"""Keys and passwords never reach a file, a report or a message."""

from __future__ import annotations

import os
import re

HIDDEN = "[redacted]"
_NAME = (r"(?<![A-Za-z])(?:[\w-]*(?:api[_-]?key|apikey|access[_-]?key|secret|passw(?:or)?d|credential|bearer)[\w-]*"
         r"|(?<![A-Za-z])(?:[\w-]*[_-])?(?:token|auth|authorization|key))")
_VALUE = r"((?:bearer\s+)?[^\s,;\"'}&]+)"
# Names whose values are secrets: key=value, "key": "value"; and --key value
_NAMED = re.compile(rf"""(?i)({_NAME})(["']?\s*[=:]\s*["']?){_VALUE}""")
_FLAG = re.compile(rf"(?i)(--{_NAME})(\s+)(?!-){_VALUE}")
# What looks like one wherever it stands
_SHAPED = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{8,}|hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{12,}|"
                     r"xox[abp]-[A-Za-z0-9-]{8,}|AIza[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_.-]+)")
_URL = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def redacted(text: str) -> str:
    """The text with the values of keys, tokens and passwords hidden, and those of the environment's API keys."""
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(r"(?i)(api_?key|token|secret|password)$", name):
            text = text.replace(value, HIDDEN)
    for pattern in (_NAMED, _FLAG):
        text = pattern.sub(lambda found: found[1] + found[2] + HIDDEN, text)
    return _URL.sub(HIDDEN, _SHAPED.sub(HIDDEN, text))
