"""The commands of `ever`: where each lives, and what it does in one line.

Kept apart from click, so that `ever --help` prints at once: importing click takes five times as long as Python itself.
"""

from __future__ import annotations

# name: (section, module, attribute, help)
COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "init": ("Workspace", "everloop.cli.workspace", "init", "Make this folder a workspace."),
    "add": ("Workspace", "everloop.cli.workspace", "add", "Put files or folders under version."),
    "status": ("Workspace", "everloop.cli.status", "status", "Say what changed since the last add or repro."),
    "checkout": ("Workspace", "everloop.cli.workspace", "checkout", "Put versioned files back in place."),
    "diff": ("Workspace", "everloop.cli.history", "diff", "Say which data differ between revisions."),
    "data": ("Workspace", "everloop.cli.history", "data", "Compare last commit, records and data."),
    "push": ("Remotes", "everloop.cli.remotes", "push", "Bring data to a remote."),
    "pull": ("Remotes", "everloop.cli.remotes", "pull", "Bring data from a remote and put them in place."),
    "fetch": ("Remotes", "everloop.cli.remotes", "fetch", "Bring data from a remote into the cache."),
    "remote": ("Remotes", "everloop.cli.settings", "remote", "Say where data are kept for others."),
    "config": ("Remotes", "everloop.cli.settings", "config", "Get or set an option of the configuration."),
    "cache": ("Remotes", "everloop.cli.settings", "cache", "Say where the cache lies; bring that of DVC 2 up to date."),
    "remove": ("Workspace", "everloop.cli.upkeep", "remove", "Take data out of version."),
    "move": ("Workspace", "everloop.cli.upkeep", "move", "Rename data with their .dvc file."),
    "commit": (
        "Workspace",
        "everloop.cli.upkeep",
        "commit",
        "Record the workspace as it is, run nothing.",
    ),
    "unprotect": (
        "Workspace",
        "everloop.cli.upkeep",
        "unprotect",
        "Let files be edited that share the cache's bytes.",
    ),
    "gc": ("Upkeep", "everloop.cli.upkeep", "gc", "Remove from the cache what nothing needs."),
    "undo": ("Upkeep", "everloop.cli.upkeep", "undo", "Bring back what checkout, gc or remove took."),
    "verify": ("Upkeep", "everloop.cli.upkeep", "verify", "Hash the cache again, move damaged objects aside."),
    "destroy": ("Upkeep", "everloop.cli.upkeep", "destroy", "Make this folder no workspace any more."),
    "doctor": ("Upkeep", "everloop.cli.upkeep", "doctor", "Look at everything the workspace stands on."),
    "check-ignore": ("Upkeep", "everloop.cli.upkeep", "check_ignore", "Tell which paths a .dvcignore file excludes."),
    "root": ("Upkeep", "everloop.cli.places", "root", "Print the workspace's folder."),
    "version": ("Upkeep", "everloop.cli.places", "version", "Print versions and places."),
    "completion": ("Upkeep", "everloop.cli.shell", "completion", "Print what completes commands in a shell."),
    "install": ("Git", "everloop.cli.githooks", "install", "Let Git call Everloop: hooks and merge driver."),
    "git-hook": ("Git", "everloop.cli.githooks", "git_hook", "What Git's hooks call."),
    "merge-driver": ("Git", "everloop.cli.githooks", "merge_driver", "What Git calls to merge .dvc and dvc.lock."),
    "list": ("Sources", "everloop.cli.sources", "list_command", "List what a repository has, files and data."),
    "du": ("Sources", "everloop.cli.sources", "du", "Tell how much space data take."),
    "get": ("Sources", "everloop.cli.sources", "get_command", "Bring data of a repository here."),
    "get-url": ("Sources", "everloop.cli.sources", "get_url", "Bring what lies at an address here."),
    "list-url": ("Sources", "everloop.cli.sources", "list_url", "List what lies at an address."),
    "artifacts": ("Pipeline", "everloop.cli.artifacts", "artifacts", "Bring artifacts here, by name and version."),
    "import": ("Sources", "everloop.cli.imports", "import_command", "Bring data of a repository, and track them."),
    "import-url": ("Sources", "everloop.cli.imports", "import_url", "Bring what lies at an address, and track it."),
    "update": ("Sources", "everloop.cli.imports", "update", "Bring imported data up to date."),
    "repro": ("Pipeline", "everloop.cli.pipelines", "repro", "Run the stages whose inputs changed."),
    "metrics": ("Pipeline", "everloop.cli.measures", "metrics", "Show and compare the metrics of the pipeline."),
    "plots": ("Pipeline", "everloop.cli.plots", "plots", "Draw what the pipeline measured."),
    "params": ("Pipeline", "everloop.cli.measures", "params", "Compare the parameters of the pipeline."),
    "stage": ("Pipeline", "everloop.cli.stages", "stage", "Add stages to dvc.yaml, list them."),
    "dag": ("Pipeline", "everloop.cli.dag", "dag", "Show how stages and data hang together."),
    "why": ("Pipeline", "everloop.cli.why", "why", "Say why a stage would run."),
    "freeze": ("Pipeline", "everloop.cli.stages", "freeze", "Leave a stage or .dvc file as it is from now on."),
    "unfreeze": ("Pipeline", "everloop.cli.stages", "unfreeze", "Let it run or be renewed again."),
    "experiments": ("Pipeline", "everloop.cli.experiments", "experiments", "Run, compare and keep experiments (exp)."),
    "queue": ("Pipeline", "everloop.cli.queue", "queue", "See and steer queued experiments."),
    "environment": ("Pipeline", "everloop.cli.environments", "environment", "Build the Python environments of stages."),
    "reproduce": ("Pipeline", "everloop.cli.reproduce", "reproduce", "Run a revision again, aside, and compare."),
    "evaluate": ("Pipeline", "everloop.cli.evaluation", "evaluate", "Score a model package on held-out rows."),
    "ingest": ("Data", "everloop.cli.datasets", "ingest", "Hand a batch of rows to a dataset of the hub."),
    "dataset": ("Data", "everloop.cli.datasets", "dataset", "List datasets and batches, check them out."),
    "run": ("Records", "everloop.cli.run", "run", "List and show tracked runs; -n adds a stage and runs it."),
    "sync": ("Records", "everloop.cli.sync", "sync", "Send the runs that wait to the hub."),
    "model": ("Records", "everloop.cli.registry", "model", "List, register and delete models, move aliases."),
    "ledger": ("Records", "everloop.cli.ledger", "ledger", "Show and verify the record of every decision."),
    "apply": ("Loop", "everloop.cli.loop", "apply", "Check everloop.yaml and hand it to the hub."),
    "retrain": ("Loop", "everloop.cli.loop", "retrain", "Train a challenger on what is known now."),
    "promote": ("Loop", "everloop.cli.loop", "promote", "Make a version the champion of an endpoint."),
    "rollback": ("Loop", "everloop.cli.loop", "rollback", "Put the previous champion back."),
    "endpoint": ("Loop", "everloop.cli.loop", "endpoint", "Show endpoints, their traffic and windows."),
    "alerts": ("Loop", "everloop.cli.loop", "alerts", "List what monitoring and contracts found."),
    "explain": ("Loop", "everloop.cli.loop", "explain", "Trace one prediction back to code, data and decision."),
    "demo": ("Start here", "everloop.cli.demo", "demo", "Play a year of real flights through the whole loop."),
    "up": ("Platform", "everloop.cli.platform", "up", "Start hub, worker and gateway on this machine."),
    "hub": ("Platform", "everloop.cli.platform", "hub", "Run the hub in this terminal."),
    "worker": ("Platform", "everloop.cli.platform", "worker", "Run a worker in this terminal."),
    "gateway": ("Platform", "everloop.cli.platform", "gateway", "Run a gateway in this terminal."),
}

# Short names that DVC has too.
ALIASES = {"rm": "remove", "mv": "move", "ls": "list", "ls-url": "list-url", "exp": "experiments"}

INTRODUCTION = """\
Everloop runs the whole loop of a model in production.

Start with `ever demo`, or with `ever init` in a project of your own.
"""


def help_text() -> str:
    """Return what `ever --help` prints."""
    width = max(map(len, COMMANDS)) + 2
    lines = ["Usage: ever [OPTIONS] COMMAND [ARGS]...", ""]
    lines += [f"  {line}".rstrip() for line in INTRODUCTION.splitlines()]
    lines += [
        "",
        "Options:",
        f"  {'-q, --quiet':<17}Print nothing but errors.",
        f"  {'-v, --verbose':<17}Say where an error comes from.",
        f"  {'--cd DIR':<17}Run in another folder.",
        f"  {'--wait-for-lock':<17}Wait for a command that changes the workspace now.",
        f"  {'-V, --version':<17}Show the version and exit.",
        f"  {'-h, --help':<17}Show this message.",
    ]
    for section in dict.fromkeys(section for section, *_ in COMMANDS.values()):
        lines += ["", f"{section}:"]
        lines += [f"  {name:<{width}}{text}" for name, (group, _, _, text) in COMMANDS.items() if group == section]
    return "\n".join([*lines, "", "`ever COMMAND --help` says more, with examples."])
