"""Plain values as YAML text that every reader takes for the same values, YAML 1.1 and 1.2 alike.

Written by hand because a YAML library takes longer to import than a run takes to start.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from everloop.errors import InvalidError

# What no reader takes for anything but text: a letter first, and not one of the words below.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"])
_NOT_PRINTABLE = re.compile("[\x7f-\x9f\ufeff\ufffe\uffff\u2028\u2029\ud800-\udfff]")


def to_yaml(values: Mapping[str, object]) -> str:
    """Return a mapping as block YAML; of numbers, booleans, text, None, and lists and mappings of these.

    Raises:
        InvalidError: A value is of another kind; its dotted name is told.
    """
    return "".join(f"{line}\n" for line in _mapping(values, "")) or "{}\n"


def _mapping(values: Mapping[str, object], path: str) -> list[str]:
    lines = []
    for key, value in values.items():
        inner = f"{path}.{key}".lstrip(".")
        head = f"{_text(str(key))}:"
        if isinstance(value, Mapping) and value:
            lines += [head, *(f"  {line}" for line in _mapping(value, inner))]
        elif _is_list(value) and value:
            lines += [head, *_list(value, inner)]
        else:
            lines.append(f"{head} {_scalar(value, inner)}")
    return lines


def _list(values: object, path: str) -> list[str]:
    assert isinstance(values, Sequence)
    lines: list[str] = []
    for number, value in enumerate(values):
        inner = f"{path}[{number}]"
        if isinstance(value, Mapping) and value:
            first, *rest = _mapping(value, inner)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        elif _is_list(value) and value:
            lines += ["-", *(f"  {line}" for line in _list(value, inner))]
        else:
            lines.append(f"- {_scalar(value, inner)}")
    return lines


def _scalar(value: object, path: str) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping) or _is_list(value):
        return "{}" if isinstance(value, Mapping) else "[]"
    raise InvalidError(
        f"{path!r} is a {type(value).__name__}, which no parameters file can hold",
        hint="Give numbers, booleans, text, None, and lists and mappings of these.",
    )


def _number(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(float(value))
    mantissa, letter, exponent = text.partition("e")
    # YAML 1.1 wants a dot and a sign: `1.0e-05`, where Python says `1e-05`.
    if letter and "." not in mantissa:
        mantissa += ".0"
    return mantissa + letter + (exponent if exponent[:1] in "+-" else f"+{exponent}")


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
