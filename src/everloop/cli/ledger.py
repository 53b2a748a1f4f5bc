"""`ever ledger`: the record of every decision."""

from __future__ import annotations

import sys

import click

from everloop.cli.output import emit, hint, json_option, table
from everloop.server.client import open_hub


@click.group()
def ledger() -> None:
    """Show and verify the record of every decision."""


@ledger.command("list")
@click.option("--kind", help="Only this kind, as `promoted` or `gates_failed`.")
@click.option("--subject", help="Only this subject, as `models/flight-delay@2`.")
@click.option("--limit", default=50, show_default=True, help="At most this many, the newest.")
@json_option
def list_entries(kind: str | None, subject: str | None, limit: int, as_json: bool) -> None:
    """List entries, oldest first.

    \b
    Example:
      ever ledger list --kind promoted
    """
    entries = open_hub().ledger.entries(kind, subject, 0, 100_000)[-limit:]
    rows = [(e.seq, f"{e.recorded_at:%Y-%m-%d %H:%M:%S}", e.kind, e.subject, e.actor, e.hash[:12]) for e in entries]
    emit(entries, as_json=as_json, text=table(("seq", "recorded", "kind", "subject", "actor", "hash"), rows))
    hint("ever ledger verify")


@ledger.command()
@click.option("--head", help="A hash that you noted earlier and that must still be in the chain.")
@json_option
def verify(head: str | None, as_json: bool) -> None:
    """Prove that no entry was changed, removed or reordered.

    \b
    Example:
      ever ledger verify
      ever ledger verify --head 3f9a…
    """
    found = open_hub().ledger.verify(head)
    if found.ok:
        text = f"{found.entries} entries, all in order. Head: {found.head}"
    else:
        text = f"broken at entry {found.broken_seq}: {found.reason}\nlast good hash: {found.head}"
    emit(found, as_json=as_json, text=text)
    if not found.ok:
        sys.exit(1)
    hint("note the head somewhere else; `ever ledger verify --head HASH` then also sees a cut-off end")
