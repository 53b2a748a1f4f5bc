# What a newcomer types. Everything is set up by `setup`, which is quick when nothing changed.
PYTHON ?= python3
UV_VERSION := 0.13.8
BOOT := .venv-uv
# How many processes test at once.
WORKERS ?= 2
UV := $(BOOT)/bin/uv
export UV_PYTHON_DOWNLOADS := never
# Images often set it; then every process compiles every module it imports again, seconds for scikit-learn.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup lint test bench demo soak clean

setup: .venv/.ready tests/peers/.venv/.ready

$(UV):
	$(PYTHON) -m venv $(BOOT)
	$(BOOT)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.ready: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --quiet --python $(PYTHON)
	@touch $@

tests/peers/.venv/.ready: tests/peers/pyproject.toml tests/peers/uv.lock | $(UV)
	$(UV) sync --locked --quiet --python $(PYTHON) --project tests/peers
	@touch $@

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# A unit of tests stays in one worker, the long ones first; see tests/conftest.py.
test: lint
	TEST_PEERS=required .venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Versioning killed at every system call that changes the disk, and hundreds of times at any moment and request; then the
# demo's kill test at ten random schedules, each against the same undisturbed play. More than an hour on two cores.
soak: setup
	KILL_ROUNDS=100000 KILL_ANYTIME_ROUNDS=30 .venv/bin/python -m pytest tests/workspace/test_kill.py tests/workspace/test_kill_anytime.py
	SOAK_PLAYS=10 .venv/bin/python -m pytest tests/demo/test_kill.py
	KILL_ROUNDS=200 .venv/bin/python -m pytest tests/workspace/test_underfire.py
	REPRO_KILL_ROUNDS=50 .venv/bin/python -m pytest tests/pipelines/test_kill.py

bench: setup
	.venv/bin/python -m bench

demo: setup
	.venv/bin/ever demo

clean:
	rm -rf .venv $(BOOT) tests/peers/.venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
