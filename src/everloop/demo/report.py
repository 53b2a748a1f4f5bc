"""The demo's report: tables for the terminal, a plot (PNG), and one self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from everloop.demo.summary import Summary
from everloop.loop.store import Challenge, Performance
from everloop.plaintext import table

MONTH_HEAD = ("month", "flights", "version", "AUC", "never retrained", "log loss", "never retrained")
DECISION_HEAD = ("date", "challenger", "against", "decision", "pairs", "mean gain", "interval", "why")

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2430; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px; }
th, td { padding: .3rem .7rem; text-align: right; }
th { border-bottom: 2px solid #c8ccd4; } td { border-bottom: 1px solid #e6e8ec; } img { max-width: 100%; }
td:last-child, th:last-child { text-align: left; } code { background: #f2f3f5; padding: .1rem .3rem; }
"""


def month_rows(months: Sequence[Performance]) -> list[tuple[str, ...]]:
    """Return the table of months as text cells, under `MONTH_HEAD`."""
    return [
        (
            month.month,
            f"{month.n_predictions:,}",
            ", ".join(map(str, month.versions)),
            _number(month.auc),
            _number(month.reference_auc),
            _number(month.log_loss),
            _number(month.reference_log_loss),
        )
        for month in months
    ]


def decision_rows(challenges: Sequence[Challenge]) -> list[tuple[str, ...]]:
    """Return the table of challenges and their evidence as text cells, under `DECISION_HEAD`."""
    return [_decision_row(each) for each in challenges]


def _decision_row(each: Challenge) -> tuple[str, ...]:
    verdict = each.verdict
    interval = f"[{verdict['low']:+.4f}, {verdict['high']:+.4f}]" if verdict else "-"
    when = each.decided_at or each.started_at
    return (
        f"{when:%Y-%m-%d}",
        f"version {each.challenger}",
        f"version {each.champion}",
        each.state,
        f"{verdict['n']:,}" if verdict else "0",
        f"{verdict['mean']:+.4f}" if verdict else "-",
        interval,
        verdict.get("reason", ""),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def terminal(summary: Summary) -> str:
    """Return the report for a terminal."""
    gain, sent, captured = summary.gain, summary.sent, summary.captured
    rollback = "" if summary.rollback_s is None else f"\nRollback took {summary.rollback_s * 1000:.0f} ms."
    return (
        f"{table(MONTH_HEAD, month_rows(summary.months))}\n\n"
        f"{table(DECISION_HEAD, decision_rows(summary.challenges))}\n\n"
        f"Over the year the loop's champions had log loss {gain.log_loss:.4f} where the never-retrained model had "
        f"{gain.baseline_log_loss:.4f},\nand AUC {gain.auc_by_month:.4f} against {gain.baseline_auc_by_month:.4f} "
        f"(mean of months), on {gain.labelled:,} flights with a label.\n"
        f"Rows sent {sent.sent:,}, acknowledged {sent.acknowledged:,}, captured {captured.rows:,}; failed requests "
        f"{sent.failed_requests}; labels sent {sent.labels:,}, captured {captured.labels:,}.\n"
        f"Alerts: {', '.join(f'{n} {kind}' for kind, n in sorted(summary.alerts.items())) or 'none'}; quarantined: "
        f"{', '.join(summary.quarantined) or 'none'}. Ledger: {summary.ledger_entries} entries, "
        f"head {summary.ledger_head[:16]}…{rollback}"
    )


def plot(summary: Summary) -> bytes:
    """Return the picture of the year as PNG: AUC and log loss by month, with the promotions marked."""
    # A picture for a file, drawn without a screen; the import is slow and only needed here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import DateFormatter, MonthLocator
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    days = [datetime.strptime(f"{month.month}-15", "%Y-%m-%d").replace(tzinfo=UTC) for month in summary.months]
    panels = figure.subplots(2, 1, sharex=True)
    pairs = (("auc", "reference_auc", "AUC (higher is better)"), ("log_loss", "reference_log_loss", "log loss (lower)"))
    for axis, (mine, reference, title) in zip(panels, pairs, strict=True):
        baseline, champion = ([getattr(month, name) for month in summary.months] for name in (reference, mine))
        axis.plot(days, baseline, "o--", color="#9aa1ad", label="never retrained")
        axis.plot(days, champion, "o-", color="#1463d8", label="Everloop's champion")
        axis.set_ylabel(title)
        axis.grid(alpha=0.25)
    for challenge in summary.challenges:
        if challenge.state == "promoted" and challenge.decided_at is not None:
            for axis in panels:
                axis.axvline(challenge.decided_at, color="#1b9e5a", alpha=0.5, linewidth=1)
            place = (challenge.decided_at, 1.0)
            style = {"fontsize": 9, "color": "#1b9e5a", "ha": "center", "va": "bottom"}
            panels[0].annotate(f"v{challenge.challenger}", place, xycoords=("data", "axes fraction"), **style)
    panels[1].xaxis.set_major_locator(MonthLocator())
    panels[1].xaxis.set_major_formatter(DateFormatter("%b"))
    panels[0].legend(loc="best", frameon=False)
    figure.suptitle("Flight delays, New York 2013: green lines are promotions")
    image = BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def page(summary: Summary, image: bytes, commands: Sequence[str]) -> str:
    """Return the report as one HTML page that needs nothing else."""
    picture = base64.b64encode(image).decode()
    shown = "".join(f"<li><code>{html.escape(command)}</code></li>" for command in commands)
    text = html.escape(terminal(summary).rpartition("\n\n")[2]).replace("\n", "<br>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>A year of flights with Everloop</title>'
        f"<style>{_STYLE}</style><h1>A year of flights with Everloop</h1><p>{text}</p>"
        f'<img alt="AUC and log loss by month" src="data:image/png;base64,{picture}">'
        f"<h2>Months</h2>{_html_table(MONTH_HEAD, month_rows(summary.months))}"
        f"<h2>Challenges and their evidence</h2>{_html_table(DECISION_HEAD, decision_rows(summary.challenges))}"
        f"<h2>Look further</h2><ul>{shown}</ul></html>"
    )


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def write(summary: Summary, folder: Path, commands: Sequence[str]) -> tuple[Path, Path]:
    """Write `report.png` and `report.html`; return their paths."""
    image = plot(summary)
    picture, document = folder / "report.png", folder / "report.html"
    picture.write_bytes(image)
    document.write_text(page(summary, image, commands), encoding="utf-8")
    return picture, document
