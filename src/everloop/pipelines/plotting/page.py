"""The page that shows plots: Vega-Lite drawn in the browser, images beside each other.

With `vl-convert-python` (extra `plots`) the libraries are part of the page, which then needs no network; else they come
from a public server. Whatever the data, names and titles are, they are text there and never become markup or script.
"""

from __future__ import annotations

import datetime
import html
import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.plotting.shape import specification
from everloop.pipelines.plotting.values import Plot, Plots
from everloop.workspace.durable import write_atomically

_SCRIPTS = "\n".join(
    f'<script src="https://cdn.jsdelivr.net/npm/{package}"></script>'
    for package in ("vega@5", "vega-lite@5", "vega-embed@6")
)
_VEGA_LITE = "5.20"
_PLOTS = "plot_divs"
_PLACE = re.compile(r"\{(scripts|plot_divs|refresh_tag)\}")
_PAGE = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
{refresh_tag}
<title>Plots</title>
{scripts}
<style>
body { font-family: sans-serif; }
.plot { margin: 15px; }
.images { white-space: nowrap; overflow-x: auto; border: 1px solid #ccc; text-align: center; }
.images figure { display: inline-block; margin: 8px; }
</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""
# What ends a script, begins a comment in it, or ends a line of it.
_UNSAFE = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})


def write_page(
    plots: Plots,
    images: Mapping[tuple[str, str], Path],
    target: Path,
    *,
    templates: Path,
    frame: Path | None = None,
    scripts: str = _SCRIPTS,
) -> None:
    """Write the page.

    Args:
        plots: As `show_plots` gives them.
        images: Where each image lies.
        target: The file; its folder is made.
        templates: Where a project keeps its templates.
        frame: A page of one's own with `{plot_divs}` in it, and perhaps `{scripts}`; None means the built-in one.
        scripts: What loads the libraries, as `bundled_scripts` gives it.

    Raises:
        NotFoundError: The frame, or a template, does not exist.
        InvalidError: The frame has no place for the plots, or a template is malformed or does not fit.
    """
    text = _PAGE if frame is None else _frame(frame)
    ids = _Ids()
    parts = [_part(plot, images, target.parent, templates, ids) for plot in _in_order(plots.plots)]
    values = {"scripts": scripts, _PLOTS: "\n".join(part for part in parts if part), "refresh_tag": ""}
    target.parent.mkdir(parents=True, exist_ok=True)
    # At once, so that what stands in the values is not taken for a place.
    page = _PLACE.sub(lambda place: values[place[1]], text)
    write_atomically(target, page.encode(), flush=False)


def bundled_scripts(folder: Path) -> str:
    """The libraries themselves where `vl-convert-python` is installed, else what loads them from a public server.

    Args:
        folder: Keeps them: putting them together takes seconds.
    """
    try:
        import vl_convert
    except ImportError:
        return _SCRIPTS
    kept = folder / f"vega-{version('vl-convert-python')}.js"
    try:
        bundle = kept.read_text(encoding="utf-8")
    except FileNotFoundError:
        bundle = vl_convert.javascript_bundle(vl_version=_VEGA_LITE)  # type: ignore[call-arg]  # its types forget the default
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, bundle.encode(), flush=False)
    safe = re.sub("</(script)", r"<\\/\1", bundle, flags=re.IGNORECASE)
    return f"<script>{safe}</script>"


def _frame(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(f"the HTML template {file} does not exist") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"the HTML template {file} is not UTF-8 text") from error
    if f"{{{_PLOTS}}}" not in text:
        raise InvalidError(f"the HTML template {file} has no {{{_PLOTS}}}, where the plots go")
    return text


class _Ids:
    """Names of elements, none of them twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        wanted = re.sub(r"[^0-9A-Za-z-]", "_", name)
        number, found = 1, wanted
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken.add(found)
        return found


def _in_order(plots: Sequence[Plot]) -> list[Plot]:
    """Images behind the rest, those of a folder by their number: `2.png` before `10.png`."""

    def place(plot: Plot) -> tuple[bool, str, int, str]:
        folder, name = posixpath.split(plot.name)
        number = posixpath.splitext(name)[0]
        is_number = number.isascii() and number.isdigit()
        return (True, folder, int(number) if is_number else -1, name) if plot.is_image else (False, "", 0, "")

    return sorted(plots, key=place)


def _part(plot: Plot, images: Mapping[tuple[str, str], Path], folder: Path, templates: Path, ids: _Ids) -> str:
    if plot.is_image:
        figures = "\n".join(
            f"<figure><figcaption>{html.escape(image.revision)}</figcaption>"
            f'<img src="{_address(images[image.revision, image.path], folder)}"></figure>'
            for image in plot.images
        )
        title = f"<p>{html.escape(plot.name)}</p>"
        return f'<div class="plot images" id="{ids.of(plot.name)}">\n{title}\n{figures}\n</div>' if figures else ""
    if not plot.points:
        return ""
    name = ids.of(plot.name)
    call = f'vegaEmbed(document.getElementById("{name}"), {_script(specification(plot, templates))});'
    return f'<div class="plot" id="{name}"></div>\n<script>{call}</script>'


def _address(file: Path, folder: Path) -> str:
    return html.escape(quote(os.path.relpath(file, folder)))


def _script(value: Any) -> str:
    """A value as JavaScript that can stand in a page."""
    return json.dumps(value, default=_jsonable).translate(_UNSAFE)


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)
