"""`ever plots` beside the real DVC, on the same folder: the JSON that editors read is the same, key by key."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from everloop.workspace import Workspace
from tests.workspace.dvcpeer import DVC, commit, dvc, environment, needs_dvc, run, write

EVER = Path(sys.executable).with_name("ever")
pytestmark = [pytest.mark.peer, needs_dvc]

TOP = """\
plots:
- top.csv
- logs
- logs/acc.tsv: {x: step, y: acc, title: Acc <b>, template: simple}
- multi: {x: step, y: {logs/acc.tsv: acc, logs/f1.tsv: [f1, n]}, x_label: X}
- joined:
    x: {top.csv: epoch}
    y: {top.csv: loss, logs/acc.tsv: [acc]}
    template: scatter
- pairs: {x: {top.csv: epoch, logs/f1.tsv: step}, y: {top.csv: loss, logs/f1.tsv: f1}}
- samefile: {x: epoch, y: {top.csv: [loss, val]}, template: custom}
- conf.csv: {x: actual, y: predicted, template: confusion}
- norm: {x: actual, y: {conf.csv: predicted}, template: confusion_normalized}
- nested.json: {y: v}
- missing.csv
- bad.json
- list.json: {x: a, y: [b, c]}
- text.txt
- nofield: {x: epoch, y: {top.csv: nope}}
- empty.csv
stages:
  train:
    cmd: sh make.sh
    deps: [in.png, make.sh]
    plots:
    - out.csv: {x: a, y: b, title: T, x_label: L}
    - images: {cache: false}
    - nohead.csv: {header: false, template: bar_horizontal}
    - top2.json: {cache: false}
    - deep.yaml: {template: scatter_jitter, y_label: Y}
"""
MAKE = """\
mkdir -p images && cp in.png images/1.png && cp in.png images/10.png
printf 'a,b\\n1,2\\n3,4\\n' > out.csv
printf '1,2\\n3,4\\n' > nohead.csv
echo '[{"q": 1, "z": 2}]' > top2.json
printf 'a:\\n  b:\\n  - {s: 1, "p.q": 0.5}\\n  - {s: 2, "p.q": 1e-3}\\n' > deep.yaml
"""
CUSTOM = {
    "data": {"values": "<DVC_METRIC_DATA>"},
    "title": "<DVC_METRIC_TITLE>",
    "enc": {
        "x": "<DVC_METRIC_X>",
        "y": "<DVC_METRIC_Y>",
        "label": "of <DVC_METRIC_X_LABEL> and <DVC_METRIC_Y_LABEL>",
        "color": "<DVC_METRIC_COLOR>",
        "row": "<DVC_METRIC_ROW>",
        "shape": "<DVC_METRIC_SHAPE>",
        "list": ["<DVC_METRIC_TOOLTIP>", "no <DVC_METRIC_X> here", {"group": "<DVC_METRIC_GROUP_BY_X>"}],
    },
}
FILES: dict[str, str | None] = {
    "dvc.yaml": TOP,
    "make.sh": MAKE,
    "top.csv": "epoch,loss,val\n0,1.0,1.1\n1,0.5,0.7\n2,0.2,0.6\n",
    "logs/acc.tsv": "step\tacc\n0\t0.1\n1\t0.2\n2\t0.3\n",
    "logs/f1.tsv": "step\tf1\tn\n0\t0.1\t5\n1\t0.2\t6\n2\t0.3\t7\n",
    "logs/inner/x.csv": 'a,b\r\n0,"1\n2"\r\n',
    "conf.csv": "actual,predicted\ncat,cat\ncat,dog\ndog,dog\n",
    "nested.json": '{"deep": {"one": [{"v": 1, "w": 2}, {"v": 3, "w": 4}]}, "other": [{"u": 5}, {"u": 6}], "s": 5}',
    "bad.json": "{",
    "text.txt": "hi\n",
    "empty.csv": "",
    "list.json": '[{"a": 1, "b": 2, "c": 3.5}, {"a": 2, "b": 3, "c": NaN}]',
    "sub/dvc.yaml": "plots:\n- s.csv\n- own: {y: {s.csv: v}}\n- ../top.csv: {y: val}\n",
    "sub/s.csv": "v\n1\n2\n",
    ".dvc/plots/custom.json": json.dumps(CUSTOM),
}


def png(red: int) -> bytes:
    """An image of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes([0, red, 0, 0]))) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits, the first with other data and one plot less, and changes in the workspace."""
    folder = tmp_path_factory.mktemp("plots") / "repository"
    Workspace.init(folder)
    write(folder, FILES)
    (folder / "in.png").write_bytes(png(255))
    dvc(folder, "repro", "-q")
    commit(folder)
    run(folder, "git", "tag", "v1")
    write(folder, {"dvc.yaml": TOP.replace("- joined:", "- further: {y: {top.csv: val}}\n- joined:")})
    write(folder, {"top.csv": "epoch,loss,val\n0,2.0,2.1\n1,1.5,1.7\n", "bad.json": '[{"a": 1}]'})
    (folder / "in.png").write_bytes(png(128))
    dvc(folder, "repro", "-q")
    commit(folder)
    write(folder, {"logs/acc.tsv": "step\tacc\n0\t0.5\n", "nested.json": None})
    return folder


def call(tool: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    home = folder if folder.name == "repository" else folder.parent
    wide = environment(home.parent / "home") | {"COLUMNS": "1000"}
    return subprocess.run([str(tool), *words], cwd=folder, env=wide, capture_output=True, text=True, check=False)


def compared(text: str, *, with_content: bool) -> Any:
    """What is to be the same: everything but what our own templates draw and our own words for errors."""
    found = json.loads(text)
    for error in found.get("errors", []):
        del error["msg"]
    for entries in found.get("data", {}).values():
        for entry in entries:
            is_custom = "enc" in entry.get("content", {})
            if not with_content and not is_custom:
                entry.pop("content", None)
            if "url" in entry:
                entry["url"] = Path(entry["url"]).name
    return found


ASKED = [
    ("show",),
    ("show", "top.csv", "images"),
    ("show", "logs/acc.tsv", "-y", "acc", "--title", "X", "-t", "custom"),
    ("show", "nohead.csv", "--no-header"),
    ("show", "conf.csv", "text.txt", "nosuch.csv"),
    ("show", "multi", "own"),
    ("diff",),
    ("diff", "v1"),
    ("diff", "v1", "HEAD"),
    ("diff", "HEAD", "workspace", "v1", "--targets", "images", "samefile", "further"),
    ("diff", "v1", "--targets", "list.json", "-x", "b", "-y", "c", "--x-label", "B"),
]


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_json_is_the_same(repository: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    results = []
    for name, tool in (("ever", EVER), ("dvc", DVC)):
        done = call(tool, repository, "plots", *words, "--json", "--split", "-o", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        results.append(compared(done.stdout, with_content=False))
    ours, theirs = results
    assert ours.get("errors") == theirs.get("errors")
    for name in {**ours["data"], **theirs["data"]}:
        assert json.dumps(ours["data"].get(name)) == json.dumps(theirs["data"].get(name)), name
    # DVC tells the files of a folder in the order of the disk.
    assert sorted(ours["data"]) == sorted(theirs["data"])
    if (tmp_path / "dvc").exists():
        pictures = [{file.name: file.read_bytes() for file in (tmp_path / n).iterdir()} for n in ("ever", "dvc")]
        assert pictures[0] == pictures[1]


def test_paths_are_told_from_the_current_folder(repository: Path, tmp_path: Path) -> None:
    words = ("plots", "show", "--json", "-o", str(tmp_path / "out"))
    ours, theirs = (compared(call(tool, repository / "sub", *words).stdout, with_content=False) for tool in (EVER, DVC))
    assert sorted(ours["data"]) == sorted(theirs["data"])
    assert json.dumps(ours["data"]["../conf.csv"]) == json.dumps(theirs["data"]["../conf.csv"])


def test_without_split_the_template_is_whole(repository: Path, tmp_path: Path) -> None:
    words = ("plots", "diff", "v1", "--json", "--targets", "samefile", "-o", str(tmp_path / "out"))
    ours, theirs = (compared(call(tool, repository, *words).stdout, with_content=True) for tool in (EVER, DVC))
    assert json.dumps(ours) == json.dumps(theirs)
    ours, theirs = (
        json.loads(call(tool, repository, "plots", "show", "samefile", "--show-vega").stdout) for tool in (EVER, DVC)
    )
    assert ours == theirs


def test_templates_have_the_names_and_the_anchors_of_dvc(repository: Path) -> None:
    ours, theirs = (call(tool, repository, "plots", "templates").stdout for tool in (EVER, DVC))
    assert ours == theirs
    for name in ours.split():
        texts = [call(tool, repository, "plots", "templates", name).stdout for tool in (EVER, DVC)]
        mine, other = ({word for word in text.split('"') if word.startswith("<DVC_METRIC_")} for text in texts)
        assert mine == other, name


def test_nothing_to_draw_is_told_alike(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    Workspace.init(folder)
    for words in (("show", "--json"), ("diff", "--json"), ("show",), ("diff",)):
        ours, theirs = (call(tool, folder, "plots", *words) for tool in (EVER, DVC))
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert "no plots are defined" in call(EVER, folder, "plots", "show").stderr


def test_a_malformed_pipeline_at_one_revision_is_told_and_the_rest_drawn(repository: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(repository, tmp_path / "repository", symlinks=True)
    write(folder, {"sub/dvc.yaml": "plots: {\n"})
    words = ("plots", "diff", "v1", "--json", "--targets", "conf.csv")
    ours, theirs = (compared(call(tool, folder, *words).stdout, with_content=False) for tool in (EVER, DVC))
    assert [error["rev"] for error in ours["errors"]] == [error["rev"] for error in theirs["errors"]] == ["workspace"]
    assert ours["data"] == theirs["data"]
    assert ours["data"]["conf.csv"][0]["revisions"] == ["v1"]


def test_an_unknown_revision_or_template_fails(repository: Path) -> None:
    for words in (("diff", "nosuch"), ("show", "conf.csv", "-t", "nosuch")):
        ours, theirs = (call(tool, repository, "plots", *words) for tool in (EVER, DVC))
        assert ours.returncode != 0
        assert theirs.returncode != 0
        assert "nosuch" in ours.stderr
