"""Plots as pages and specifications: drawn for real, and safe whatever the data say."""

from __future__ import annotations

import html.parser
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from everloop import pipelines
from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import PlotRequest
from everloop.pipelines.plotting import page, spec, templates
from everloop.pipelines.plotting.values import Plot, YField
from everloop.workspace import Workspace

EVIL = "</script><script>alert('1')</script><img src=x onerror=\"alert(2)\">"


def plot(name: str, fields: list[str]) -> Plot:
    """Twelve points of two revisions for each field."""
    points = [
        {"step": i, "loss": str(i % 5), "cls": "ab"[i % 2], "pred": "abc"[i // 2 % 3], "value": i * len(field)}
        | {"rev": rev, "filename": "f", "field": field}
        for rev in ("main", "workspace")
        for field in fields
        for i in range(12)
    ]
    x, y = {"confusion": ("cls", "pred"), "bar_horizontal": ("value", "cls")}.get(
        name.removesuffix("_normalized").removesuffix("_sorted"), ("step", "value")
    )
    return Plot(
        name="plot",
        points=tuple(points),
        revisions=("main", "workspace"),
        options={"title": "A title", "x": x, "y": y, "x_label": "Along", "y_label": "Up"},
        ys=tuple(YField(filename="f", field=field) for field in fields),
    )


@pytest.mark.parametrize("fields", [["loss"], ["loss", "accuracy"]], ids=len)
@pytest.mark.parametrize("name", pipelines.plot_templates())
def test_every_template_is_drawn(name: str, fields: list[str]) -> None:
    filled = spec.filled(plot(name, fields), templates.built_in(name)).content
    assert "DVC_METRIC" not in json.dumps(filled)
    drawn = vl_convert.vegalite_to_svg(filled, vl_version="5.20")
    for text in ("A title", "Along", "Up", "workspace", *(fields if len(fields) > 1 else [])):
        assert f">{text}<" in drawn, text
    assert "NaN" not in drawn
    assert vl_convert.vegalite_to_png(filled, vl_version="5.20").startswith(b"\x89PNG")


def test_a_normalised_row_sums_up_to_one() -> None:
    points = [("cat", "cat"), ("cat", "dog"), ("dog", "dog"), ("dog", "dog")]
    rows = tuple({"actual": a, "predicted": p, "rev": "workspace"} for p, a in points)
    options = {"title": "", "x": "actual", "y": "predicted", "x_label": "a", "y_label": "p"}
    confusion = Plot(name="c", points=rows, revisions=("workspace",), options=options)
    filled = spec.filled(confusion, templates.built_in("confusion_normalized")).content
    drawn = vl_convert.vegalite_to_svg(filled, vl_version="5.20")
    assert sorted(re.findall(r">(\d\.\d\d)<", drawn)) == ["0.00", "0.50", "0.50", "1.00"]


@pytest.fixture
def drawn(workspace: Workspace) -> Workspace:
    """A workspace whose names, titles, columns and values would all be markup if they were let."""
    (workspace.root / "p.csv").write_text(
        f'step,"{EVIL.replace(chr(34), chr(34) * 2)}"\n1,"<b>{{scripts}}"\n2,"\u2028"\n'
    )
    (workspace.root / "<img src=x>.png").write_bytes(b"\x89PNG not really")
    title = EVIL.replace("'", "''")
    (workspace.root / "dvc.yaml").write_text(f"plots:\n- p.csv: {{title: '{title}'}}\n- '<img src=x>.png'\n")
    return workspace


class Elements(html.parser.HTMLParser):
    """Which elements a page has, and the scripts in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)


def test_what_users_write_is_text_on_the_page(drawn: Workspace, tmp_path: Path) -> None:
    target = pipelines.write_plots(drawn, pipelines.show_plots(drawn), tmp_path / "out")
    found = Elements(target.read_text())
    assert found.tags.count("script") == 2
    assert found.tags.count("img") == 1
    assert not any(name.startswith("on") for name, _ in found.attributes)
    specification = json.loads(found.scripts[-1].partition(", ")[2].removesuffix(");"))
    assert specification["title"]["text"] == EVIL
    assert [row[EVIL] for row in specification["data"]["values"]] == ["<b>{scripts}", "\u2028"]
    source = dict(found.attributes)["src"]
    assert source == "static/workspace_%3Cimg%20src%3Dx%3E.png"
    assert (tmp_path / "out/static/workspace_<img src=x>.png").exists()


def test_the_page_needs_no_network(drawn: Workspace, tmp_path: Path) -> None:
    for _ in range(2):
        text = pipelines.write_plots(drawn, pipelines.show_plots(drawn), tmp_path / "out").read_text()
        assert "window.vegaEmbed=" in text
        assert "cdn.jsdelivr.net" not in text.replace("https://cdn.jsdelivr.net/npm/us-atlas", "")
    # Made once, then kept.
    assert len(list(drawn.layout.scratch_dir.glob("vega-*.js"))) == 1


def test_without_the_extra_the_libraries_come_from_a_public_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert page.bundled_scripts(tmp_path).count('<script src="https://') == 3


def test_a_page_of_ones_own(drawn: Workspace, tmp_path: Path) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text("<h1>Mine</h1>{plot_divs}{other}")
    found = pipelines.show_plots(drawn)
    text = pipelines.write_plots(drawn, found, tmp_path / "out", frame=frame).read_text()
    assert text.startswith('<h1>Mine</h1><div class="plot"')
    assert text.endswith("{other}")
    frame.write_text("<h1>Mine</h1>")
    with pytest.raises(InvalidError, match=r"no \{plot_divs\}"):
        pipelines.write_plots(drawn, found, tmp_path / "out", frame=frame)
    with pytest.raises(NotFoundError, match="does not exist"):
        pipelines.write_plots(drawn, found, tmp_path / "out", frame=tmp_path / "none.html")


def test_images_of_like_names_do_not_take_each_others_place(workspace: Workspace, tmp_path: Path) -> None:
    for path in ("a/b.bmp", "a_b.bmp", "10.webp", "9.webp"):
        file = workspace.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(path.encode())
    request = PlotRequest(targets=("a_b.bmp", "a/b.bmp", "10.webp", "9.webp"))
    found = pipelines.show_plots(workspace, request)
    shape = pipelines.plots_shape(workspace, found, tmp_path / "out")
    shown = {name: Path(entry["url"]).read_bytes().decode() for name, (entry,) in shape["data"].items()}
    assert shown == {path: path for path in shown}
    text = pipelines.write_plots(workspace, found, tmp_path / "out").read_text()
    assert text.index("9.webp") < text.index("10.webp")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("{", InvalidError, "must be JSON"),
        ("[]", InvalidError, "must be a mapping"),
        ('{"mark": "bar"}', InvalidError, "does not have the anchor <DVC_METRIC_DATA>"),
        (None, NotFoundError, "do you mean 'simple'"),
    ],
)
def test_a_template_that_does_not_fit_is_told(
    drawn: Workspace, text: str | None, error: type[Exception], said: str
) -> None:
    if text is not None:
        (drawn.layout.dvc_dir / "plots").mkdir()
        (drawn.layout.dvc_dir / "plots/simpel.json").write_text(text)
    found = pipelines.show_plots(drawn, PlotRequest(targets=("p.csv",), options={"template": "simpel"}))
    with pytest.raises(error, match=said):
        pipelines.plot_specification(drawn, found.plots[0])


@pytest.mark.parametrize(
    "content", ["5", '"text"', "[1, 2]", "[]", '{"a": []}', "null", '[{"a": 1}, {"b": 2}]', "[[]]"]
)
def test_what_holds_no_points_draws_nothing(workspace: Workspace, content: str) -> None:
    (workspace.root / "p.json").write_text(content)
    found = pipelines.show_plots(workspace, PlotRequest(targets=("p.json",)))
    assert [each.points for each in found.plots] == [()]


def test_an_alias_that_contains_itself_is_told(workspace: Workspace) -> None:
    (workspace.root / "p.yaml").write_text("rows: &r\n- a: 1\n  b: *r\n")
    found = pipelines.show_plots(workspace, PlotRequest(targets=("p.yaml",)))
    assert "p.yaml: more than 100 levels" in found.problems[0].problem.message


def test_what_lies_outside_of_the_workspace_is_not_drawn(workspace: Workspace) -> None:
    (workspace.root.parent / "secret.csv").write_text("a\n1\n")
    (workspace.root / "dvc.yaml").write_text("plots: [../secret.csv, ..]\n")
    found = pipelines.show_plots(workspace, PlotRequest(targets=("../secret.csv", "..")))
    assert {each.points for each in found.plots} == {()}
    assert {problem.source for problem in found.problems} == {"../secret.csv", ".."}


def test_missing_data_come_from_the_cache(workspace: Workspace) -> None:
    (workspace.root / "p.csv").write_text("a\n1\n")
    workspace.add(["p.csv"])
    (workspace.root / "p.csv").unlink()
    found = pipelines.show_plots(workspace, PlotRequest(targets=("p.csv",)))
    assert [point["a"] for point in found.plots[0].points] == ["1"]


def test_an_experiment_is_compared_by_its_name(workspace: Workspace) -> None:
    git = workspace.git
    (workspace.root / "p.csv").write_text("a\n1\n")
    base = git.commit(["."], "Start")
    (workspace.root / "p.csv").write_text("a\n2\n")
    experiment = git.commit(["."], "Experiment")
    git.update_ref(f"refs/exps/{base[:2]}/{base[2:]}/angry-bird", experiment)
    request = PlotRequest(targets=("p.csv",))
    found = pipelines.diff_plots(workspace, request, ["angry-bird"], with_baseline=True)
    assert found.revisions == ("angry-bird", base[:7])
    values: dict[str, Any] = {point["rev"]: point["a"] for point in found.plots[0].points}
    assert values == {"angry-bird": "2", base[:7]: "1"}
