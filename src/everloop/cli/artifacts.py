"""`ever artifacts`: models and other artifacts of a repository, by name and version."""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli.output import emit, hint, json_option, table
from everloop.cli.sources import force_option, out_option, target_of
from everloop.cli.words import ManyWords, assignments
from everloop.workspace import Git, clones, open_source
from everloop.workspace.configuration import read_sections
from everloop.workspace.get import get


@click.group()
def artifacts() -> None:
    """Bring artifacts of a repository here, by name and version."""


@artifacts.command("get", cls=ManyWords)
@click.argument("url")
@click.argument("name")
@click.option("--rev", "version", metavar="VERSION", help="As v1.2.0; otherwise the greatest one.")
@click.option("--stage", metavar="STAGE", help="What is in this stage, as prod, instead of a version.")
@out_option
@click.option("--show-url", is_flag=True, help="Only print where the data are.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=8, help="How many files to bring at a time.")
@force_option
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="A configuration that counts more.")
@click.option("--remote", metavar="NAME", help="The repository's remote that has its data.")
@click.option("--remote-config", multiple=True, metavar="NAME=VALUE", help="Options for its remote that count more.")
@json_option
def get_command(
    url: str,
    name: str,
    version: str | None,
    stage: str | None,
    out: str | None,
    show_url: bool,
    jobs: int,
    force: bool,
    config: str | None,
    remote: str | None,
    remote_config: tuple[str, ...],
    as_json: bool,
) -> None:
    """Bring the artifact NAME of a repository here: NAME, or folder:NAME, as its dvc.yaml declares it.

    Versions and stages are those of GTO: the annotated Git tags NAME@v1.2.0 and NAME#prod.

    \b
    Example:
      ever artifacts get https://github.com/iterative/example-get-started text-classification
      ever artifacts get . model --stage prod -o prod-model
    """
    from everloop.pipelines import artifacts as rules

    artifact = rules.parse_address(name)
    commit = rules.commit_of(rules.tags_of(_repository(url)), artifact, version=version, stage=stage)
    given = read_sections(Path(config).absolute()) if config else None
    with open_source(url, commit, remote=remote, given=given, remote_options=assignments(remote_config)) as source:
        path = rules.path_of(source, artifact)
        if show_url:
            emit({"url": source.address(path)}, as_json=as_json, text=source.address(path))
            return
        target = target_of(out, path)
        n_files = get(source, path, target, force=force, jobs=jobs)
    answer = {"path": str(target), "n_files": n_files, "commit": commit}
    emit(answer, as_json=as_json, text=f"brought {target} ({n_files:,} files)")


@artifacts.command("list")
@click.argument("url", default=".")
@json_option
def list_command(url: str, as_json: bool) -> None:
    """List the registered versions and stages of a repository's artifacts.

    \b
    Example:
      ever artifacts list
    """
    from everloop.pipelines import artifacts as rules

    tags = [tag for tag in rules.tags_of(_repository(url)) if not tag.is_gone]
    rows = [(tag.artifact, tag.version or f"#{tag.stage}", tag.commit[:7]) for tag in tags]
    emit(tags, as_json=as_json, text=table(("artifact", "version", "commit"), rows) if rows else "none is registered")
    hint(f"ever artifacts get {url} NAME")


def _repository(url: str) -> Git:
    folder = Path(url)
    if folder.is_dir() and Git(folder).is_repository():
        return Git(folder)
    return Git(clones.fetch(url)[0])
