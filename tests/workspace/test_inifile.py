from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.workspace.inifile import IniFile, quote

WRITTEN = """\
# who uses this
[core]
    remote = shared   # ours
    unknown_key = kept
['remote "shared"']
    url = "s3://bucket/a, b"
    # a note
    region = eu-west-1

[cache]
type = reflink, copy
"""


def test_values_are_read_by_section_and_option() -> None:
    assert IniFile(WRITTEN, "here").sections() == {
        "core": {"remote": "shared", "unknown_key": "kept"},
        "remote.shared": {"url": "s3://bucket/a, b", "region": "eu-west-1"},
        "cache": {"type": "reflink,copy"},
    }


def test_a_file_that_is_not_changed_is_written_as_it_was() -> None:
    assert IniFile(WRITTEN, "here").text == WRITTEN


def test_a_changed_value_leaves_everything_else() -> None:
    file = IniFile(WRITTEN, "here")
    file.set("core", "remote", "other")
    file.set("remote.shared", "endpointurl", "http://a#b")
    file.set("studio", "token", "a'b")
    expected = WRITTEN.replace("remote = shared   # ours", "remote = other   # ours")
    expected = expected.replace("eu-west-1\n", 'eu-west-1\n    endpointurl = "http://a#b"\n')
    assert file.text == expected + "[studio]\n    token = a'b\n"


def test_the_last_option_takes_its_section_along_and_leaves_the_comments() -> None:
    file = IniFile("[core]\n    # note\n    remote = a\n[cache]\n    dir = b\n", "here")
    assert file.unset("core", "remote")
    assert not file.unset("core", "remote")
    assert file.text == "    # note\n[cache]\n    dir = b\n"


def test_a_section_is_renamed_and_dropped() -> None:
    file = IniFile(WRITTEN, "here")
    file.rename("remote.shared", "remote.other")
    assert "['remote \"other\"']\n" in file.text
    assert file.drop("remote.other")
    assert "region" not in file.text
    assert "[cache]\ntype = reflink, copy\n" in file.text


def test_values_over_several_lines_are_read_and_replaced() -> None:
    file = IniFile('[core]\na = """one\n# two"""  # end\nb = 1\n', "here")
    assert file.sections()["core"] == {"a": "one\n# two", "b": "1"}
    file.set("core", "a", "x")
    assert file.text == "[core]\na = x  # end\nb = 1\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense\n", "line 1"),
        ("[core]\n[[sub]]\n", "line 2"),
        ("[core]\na = 'b\n", "line 2"),
        ('a = """b\n', "no end"),
    ],
)
def test_what_is_not_the_format_is_named(text: str, line: str) -> None:
    with pytest.raises(InvalidError, match=line):
        IniFile(text, "here")


def test_a_value_that_the_format_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidError, match="triple quotes"):
        quote("\"\"\" '''")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=30)


@given(TEXTS.filter(lambda value: '"""' not in value and not value.endswith('"') and not value.startswith('"')))
def test_any_value_is_read_as_it_was_written(value: str) -> None:
    file = IniFile("", "here")
    file.set("remote.a b", "url", value)
    file.set("core", "remote", "x")
    again = IniFile(file.text, "here")
    assert again.sections() == {"remote.a b": {"url": value}, "core": {"remote": "x"}}
    again.set("remote.a b", "url", "y")
    assert IniFile(again.text, "here").sections()["remote.a b"] == {"url": "y"}
