"""Keys and passwords never reach a file, a report or a message: out of a log's values (`redacted`), and out of text
that a user typed or a program said (`hidden`)."""

from __future__ import annotations

import os
import re

REDACTED = "[redacted]"
_SECRET = re.compile(r"(?i)([-_]|^)key$|api[-_]?key|access[-_]?key|token|secret|passw(or)?d|authorization|bearer|"
                     r"credential")
_NO_SECRET = re.compile(r"(?i)(?<!auth[-_])(?<!api[-_])(?<!access[-_])tokens$|tokens?_(limit|count|budget|type|id)|"
                        r"tokeni[sz]|(eos|bos|pad|eot|unk|stop)_token")
_LOOKS_SECRET = re.compile(r"\b(sk-[\w-]{8,}|hf_[A-Za-z0-9]{8,}|gh[pousr]_\w{8,}|AKIA[0-9A-Z]{12,}|xox[a-z]-[\w-]{8,}|"
                           r"AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)")
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
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


def redacted(value, key: str = ""):
    """A log's value without keys, tokens and passwords: by the name of a field, by the usual beginnings of secrets, and
    in arguments written as text `a=1,b=2`."""
    if isinstance(value, dict):
        return {str(k): redacted(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(v, key) for v in value]
    if key and _is_secret(key) and value not in (None, "", True, False):
        return REDACTED
    if not isinstance(value, str):
        return value
    text = re.sub(r"([\w-]+)(=|: ?)([^,&\s\"'}]+)",
                  lambda m: f"{m[1]}{m[2]}{REDACTED if _is_secret(m[1]) else redacted(m[3])}", value)  # also a=token=b
    return _URL_LOGIN.sub(f"{REDACTED}@", _LOOKS_SECRET.sub(REDACTED, text))


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _NO_SECRET.search(name)


def hidden(text: str) -> str:
    """The text with the values of keys, tokens and passwords hidden, and those of the environment's API keys."""
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(r"(?i)(api_?key|token|secret|password)$", name):
            text = text.replace(value, REDACTED)
    for pattern in (_NAMED, _FLAG):
        text = pattern.sub(lambda found: found[1] + found[2] + REDACTED, text)
    return _URL.sub(REDACTED, _SHAPED.sub(REDACTED, text))
