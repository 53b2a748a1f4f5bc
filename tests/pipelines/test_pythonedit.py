from __future__ import annotations

import pytest

from everloop.errors import InvalidError
from everloop.pipelines.paramedit import Edit, How, edited

TEXT = '''\
"""How to train é"""; LR = 0.10  # rate
NAME: str = 'é "x"'; DEPTH=(3)
SIZES = [1,  # one
         2]
OPT = {"name": "adam", "deep": {"b": 1.}}  # inline
PAIR = (1, 2)
MADE = LR * 2


class Train:
    epochs = 5

    def __init__(self):
        self.seed = -1  # any
'''


def change(key: str, value: object, how: How = How.SET) -> str:
    return edited(TEXT, "p.py", [Edit(key=key, value=value, how=how)]).decode()


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("LR", 0.25, "LR = 0.10  # rate", "LR = 0.25  # rate"),
        ("NAME", "it's é", "'é \"x\"'", '"it\'s é"'),
        ("DEPTH", 4, "DEPTH=(3)", "DEPTH=(4)"),
        ("SIZES.1", 3, "2]", "3]"),
        ("SIZES", [7], "[1,  # one\n         2]", "[7]"),
        ("OPT", {"name": "sgd", "deep": {"b": None}}, '"adam", "deep": {"b": 1.}', '\'sgd\', "deep": {"b": None}'),
        ("OPT.deep.b", 2.5, "1.}", "2.5}"),
        ("PAIR", [3], "(1, 2)", "[3]"),
        ("Train.epochs", 6, "epochs = 5", "epochs = 6"),
        ("Train.seed", 7, "self.seed = -1  # any", "self.seed = 7  # any"),
    ],
)
def test_only_the_value_changes(key: str, value: object, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert change(key, value) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("key", "value", "how", "named"),
    [
        ("Train.new", 1, How.ADD, r"p\.py: Train\.new cannot be added to a Python file"),
        ("LR", 0.1, How.REMOVE, r"p\.py: LR cannot be removed from a Python file"),
        ("Train", 1, How.SET, r"p\.py: Train is a class"),
        ("LR", float("inf"), How.SET, r"p\.py: Python has no literal"),
        ("MADE", 1, How.SET, "p.py has no parameter 'MADE'"),
        ("NAMES", 1, How.SET, "do you mean 'NAME'"),
    ],
)
def test_what_cannot_be_done_is_named(key: str, value: object, how: How, named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        change(key, value, how)
