"""Experiments: what a pipeline came to with other parameters or code, kept as Git commits that DVC understands.

Each is a reference below `refs/exps`, so `dvc exp` sees what was made here, and the other way round. Leaves running
stages to `pipelines.repro`. Each verb is a module; nothing of it is loaded before it is used.
"""
