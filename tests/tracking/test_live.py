"""A run's files: whole at every moment, laid out as DVCLive's, written without the script waiting for them."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import everloop
from everloop.errors import InvalidError, NotFoundError
from everloop.tracking import LiveFolder, load_live, start_run
from everloop.tracking.livefolder import Point
from tests.cli.test_imports import BLOCKED

pytestmark = pytest.mark.usefixtures("own_place")


def values(name: str) -> list[tuple[int, float | str]]:
    return [(point.step, point.value) for point in load_live().metrics[name]]


def run_script(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_metrics_become_histories_and_a_summary() -> None:
    with everloop.start_run() as run:
        for step in range(3):
            run.log({"train/loss": 1 / (step + 1)}, accuracy=step)
            run.next_step()
    assert (
        Path("dvclive/plots/metrics/train/loss.tsv").read_text()
        == "step\tloss\n0\t1.0\n1\t0.5\n2\t0.3333333333333333\n"
    )
    assert Path("dvclive/plots/metrics/accuracy.tsv").read_text() == "step\taccuracy\n0\t0\n1\t1\n2\t2\n"
    assert json.loads(Path("dvclive/metrics.json").read_text()) == {
        "train": {"loss": 1 / 3},
        "accuracy": 2,
        "step": 2,
    }


def test_a_step_may_be_named() -> None:
    with start_run() as run:
        run.log(loss=0.5, step=10)
        run.log(loss=0.25, step=20)
        assert run.step == 20
    assert values("loss") == [(10, 0.5), (20, 0.25)]
    assert load_live().step == 20


def test_a_run_without_steps_has_none() -> None:
    with start_run() as run:
        run.log(loss=0.5)
    assert load_live().summary == {"loss": 0.5}


def test_what_is_no_number_is_kept_as_its_text() -> None:
    with start_run() as run:
        run.log(a=math.nan, b=-math.inf, c='tab\t"quote"\nline')
    found = load_live()
    assert found.summary == {"a": "nan", "b": "-inf", "c": 'tab\t"quote"\nline'}
    assert math.isnan(float(found.metrics["a"][0].value))
    assert values("c") == [(0, 'tab\t"quote"\nline')]


def test_arrays_of_one_value_and_integers_of_any_size_are_numbers() -> None:
    with start_run() as run:
        run.log(a=np.float32(0.5), b=np.int64(2**60 + 1), c=np.array(0.25), d=True, e=np.array([0.75]).mean())
    assert load_live().summary == {"a": 0.5, "b": 2**60 + 1, "c": 0.25, "d": 1, "e": 0.75}


@pytest.mark.parametrize("name", ["", "/abs", "../up", "a//b", "a/../b", "a\\b", "nul\0"])
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    with start_run() as run:
        with pytest.raises(InvalidError, match="metric"):
            run.log({name: 1})
        with pytest.raises(InvalidError):
            run.log_image(f"{name}/x.png", np.zeros((1, 1), "u1"))
    assert load_live().metrics == {}


def test_a_value_that_is_no_number_is_refused_with_its_name() -> None:
    with start_run() as run, pytest.raises(InvalidError, match="'loss' is a list, which is no number"):
        run.log(loss=[1, 2])


@pytest.mark.parametrize("step", [1 << 63, 0.5, "1", None])
def test_a_step_that_is_no_64_bit_integer_is_refused(step: Any) -> None:
    with start_run() as run:
        with pytest.raises(InvalidError, match="step"):
            run.step = step
        if step is not None:
            with pytest.raises(InvalidError, match="step"):
                run.log(a=1, step=step)
    assert load_live().summary == {}


def test_a_number_without_end_is_refused_and_a_name_without_end_costs_the_others_nothing() -> None:
    with start_run() as run:
        with pytest.raises(InvalidError, match="larger than any float"):
            run.log(a=10**400)
        run.log({"n" * 300: 1, "b": 2})
    assert values("b") == [(0, 2)]


def test_a_plot_of_what_json_cannot_hold_is_refused() -> None:
    with start_run() as run, pytest.raises(InvalidError, match="plot 'x': Object of type object"):
        run.log_plot("x", [{"a": object()}], x="a", y="a")
    assert load_live().plot_options == {}


def test_a_summary_value_has_no_history() -> None:
    with start_run() as run:
        run.log_summary({"test/auc": 0.9})
    found = load_live()
    assert (found.summary, found.metrics) == ({"test": {"auc": 0.9}}, {})
    assert not Path("dvclive/plots").exists()


def test_params_add_up() -> None:
    with start_run() as run:
        run.log_params({"lr": 0.1, "net": {"width": np.int64(3), "layers": (1, 2)}})
        run.log_param("lr", 0.2)
        assert load_live().params == {"lr": 0.2, "net": {"width": 3, "layers": [1, 2]}}  # at once
        with pytest.raises(InvalidError, match="'f' is a function"):
            run.log_params({"f": test_params_add_up})
    assert load_live().params["lr"] == 0.2


def test_images_of_every_kind_are_files() -> None:
    pixels = np.arange(48, dtype="u1").reshape(4, 4, 3)
    Image.fromarray(pixels).save("given.png")
    figure = Figure()
    figure.subplots().plot([1, 2])
    with start_run() as run:
        run.log_image("array.png", pixels)
        run.log_image("grey.png", pixels[:, :, 0])
        run.log_image("array.jpg", pixels)
        run.log_image("pillow.png", Image.fromarray(pixels))
        run.log_image("figure.png", figure)
        run.log_image("samples/0", Path("given.png"))
    images = Path("dvclive/plots/images")
    assert load_live().images == ["array.jpg", "array.png", "figure.png", "grey.png", "pillow.png", "samples/0.png"]
    for name in ("array.png", "pillow.png", "samples/0.png"):
        assert (np.array(Image.open(images / name)) == pixels).all()
    assert (np.array(Image.open(images / "grey.png")) == pixels[:, :, 0]).all()
    assert Image.open(io.BytesIO((images / "figure.png").read_bytes())).size[0] > 100


def test_what_is_no_image_is_refused() -> None:
    with start_run() as run:
        with pytest.raises(InvalidError, match="no suffix"):
            run.log_image("x", np.zeros((1, 1), "u1"))
        with pytest.raises(InvalidError, match="array of float64 with shape"):
            run.log_image("x.png", np.zeros((1, 1)))
        with pytest.raises(InvalidError, match="is a int"):
            run.log_image("x.png", 3)
        with pytest.raises(NotFoundError, match=r"no file gone\.png"):
            run.log_image("x.png", "gone.png")


def test_plots_are_files_that_dvc_yaml_knows() -> None:
    with start_run() as run:
        run.log_plot("iris", [{"n": np.int64(1), "v": 0.5}], x="n", y=["v"], template="bar_horizontal", title="Iris")
        run.log_sklearn_plot("confusion_matrix", [0, 1], [1, 1], name="test/cm", normalized=True)
    found = load_live()
    assert found.plots["plots/custom/iris.json"] == [{"n": 1, "v": 0.5}]
    assert found.plot_options["plots/custom/iris.json"] == {
        "template": "bar_horizontal",
        "x": "n",
        "y": ["v"],
        "title": "Iris",
    }
    assert found.plot_options["plots/sklearn/test/cm.json"]["template"] == "confusion_normalized"
    with start_run() as run, pytest.raises(InvalidError, match="its data are a dict"):
        run.log_plot("iris", {"n": 1}, x="n", y="v")


def test_an_artifact_is_described_and_copied_when_asked() -> None:
    Path("model.pt").write_bytes(b"weights")
    with start_run() as run:
        run.log_artifact("model.pt", type="model", name="late", labels=["nn"], copy=True)
        run.log_artifact("model.pt")
        with pytest.raises(NotFoundError, match=r"gone\.pt"):
            run.log_artifact("gone.pt")
    assert Path("dvclive/artifacts/model.pt").read_bytes() == b"weights"
    assert load_live().artifacts == {"late": {"path": "artifacts/model.pt", "type": "model", "labels": ["nn"]}}


def test_a_new_run_takes_the_files_of_the_former_away_and_no_others() -> None:
    with start_run() as run:
        run.log(loss=1)
        run.log_param("a", 1)
        run.log_image("x.png", np.zeros((1, 1), "u1"))
    Path("dvclive/notes.txt").write_text("mine")
    with start_run() as run:
        run.log(other=2)
    found = load_live()
    assert (list(found.metrics), found.params, found.images) == (["other"], {}, [])
    assert Path("dvclive/notes.txt").read_text() == "mine"


def test_a_run_is_resumed_after_its_last_step() -> None:
    with start_run() as run:
        run.log_param("a", 1)
        run.log(loss=1.0)
        run.next_step()
    with Path("dvclive/plots/metrics/loss.tsv").open("a") as file:
        file.write("1\t0.")  # the machine lost its power here
    with start_run(resume=True) as run:
        assert run.step == 1
        run.log(loss=0.5)
        run.next_step()
        run.log_param("b", 2)
        assert run.summary == {"loss": 0.5, "step": 1}
    assert values("loss") == [(0, 1.0), (1, 0.5)]
    assert load_live().params == {"a": 1, "b": 2}


def test_resuming_nothing_is_a_start() -> None:
    with start_run(resume=True) as run:
        assert run.step == 0


def test_values_are_written_soon_without_a_flush() -> None:
    run = start_run()
    run.log(loss=1)
    deadline = threading.Event()
    for _ in range(100):
        if Path("dvclive/metrics.json").exists():
            break
        deadline.wait(0.05)
    assert load_live().summary == {"loss": 1}
    run.end()
    run.end()


def test_after_the_end_nothing_is_written() -> None:
    with start_run() as run:
        run.log(a=1)
    run.log(a=2)
    run.log_param("b", 1)
    run.log_image("x.png", np.zeros((1, 1), "u1"))
    run.flush()
    found = load_live()
    assert (found.summary, found.params, found.images, run.summary) == ({"a": 1}, {}, [], {"a": 1})


def test_many_threads_log_into_one_run() -> None:
    with start_run() as run:

        def log() -> None:
            for number in range(500):
                run.log(n=number)

        threads = [threading.Thread(target=log) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(values("n")) == 2000


def test_a_script_that_never_ends_its_run_loses_nothing() -> None:
    ran = run_script("import everloop; run = everloop.start_run(); [run.log(n=i) for i in range(1000)]")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(values("n")) == 1000


def test_a_killed_script_leaves_whole_files() -> None:
    code = """
import os, signal, threading, time, everloop
run = everloop.start_run()
run.log_params({"a": 1})
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
for step in range(10**9):
    run.log(a=step, b=-step, step=step)
    time.sleep(0.0001)
"""
    assert run_script(code).returncode == -9
    found = load_live()
    assert found.step is not None
    assert found.step > 0
    assert values("a") == [(i, i) for i in range(len(found.metrics["a"]))]


def test_a_fork_of_the_process_writes_nothing() -> None:
    code = """
import os, everloop
run = everloop.start_run()
run.log(a=1)
if os.fork() == 0:
    run.log(a=2); run.flush(); run.log_param("b", 1); run.end()
    raise SystemExit(0)
os.wait()
"""
    ran = run_script(code)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert values("a") == [(0, 1)]
    assert load_live().params == {}


def test_a_folder_that_cannot_be_written_ends_no_training() -> None:
    code = """
import resource, signal, everloop
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = everloop.start_run()
run.log_params({"a": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
for i in range(1000):
    run.log(loss=i)
    if i % 100 == 0: run.flush()
run.log_params({"b": "x" * 1000})
run.end()
print("trained")
"""
    ran = run_script(code)
    assert (ran.returncode, ran.stdout) == (0, "trained\n")
    assert ran.stderr.count("everloop:") == 1
    assert "cannot be written (File too large)" in ran.stderr
    assert values("loss") == [(i, i) for i in range(len(values("loss")))]


def test_in_a_stage_and_beside_a_dvc_yaml_that_knows_the_folder_nothing_is_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with start_run() as run:
        run.log(a=1)
    assert Path("dvclive/dvc.yaml").exists()
    Path("dvc.yaml").write_text("metrics: [dvclive/metrics.json]\n")
    with start_run() as run:
        run.log(a=1)
    assert not Path("dvclive/dvc.yaml").exists()
    Path("dvc.yaml").unlink()
    monkeypatch.setenv("DVC_STAGE", "train")
    with start_run() as run:
        run.log(a=1)
    assert not Path("dvclive/dvc.yaml").exists()


def test_a_start_without_a_hub_loads_nothing_heavy_and_makes_no_spool() -> None:
    code = BLOCKED + "import everloop; run = everloop.start_run(); run.log(a=1); run.log_params({'a': 1}); run.end()\n"
    code += "loaded = {'msgspec', 'everloop.config', 'everloop.storage'} & set(sys.modules); assert not loaded, loaded"
    ran = run_script(code)
    assert ran.returncode == 0, ran.stderr
    assert not Path("../.everloop").exists()


def test_a_wrong_setting_is_named_before_anything_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with start_run() as run:
        run.log(a=1)
    monkeypatch.setenv("EVERLOOP_HUB_ULR", "http://x")
    with pytest.raises(InvalidError, match="hub_ulr"):
        start_run()
    assert values("a") == [(0, 1)]


def test_a_folder_that_is_not_there_or_damaged_is_named(own_place: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder dvclive"):
        load_live()
    histories = own_place / "dvclive/plots/metrics"
    histories.mkdir(parents=True)
    assert load_live() == LiveFolder(None, {}, {}, {}, [], {}, {}, {})
    (histories / "loss.tsv").write_text("timestamp\tstep\tloss\n1623671484747\t0\t0.4\n")
    assert load_live().metrics == {"loss": [Point(0, 0.4, 1623671484747)]}
    (histories / "loss.tsv").write_text("step\tloss\nx\t1\n2\t1\n")
    with pytest.raises(InvalidError, match=r"loss\.tsv:2: should have the columns step and loss"):
        load_live()
    (histories / "loss.tsv").unlink()
    bad: dict[str, Any] = {"metrics.json": "{", "params.yaml": "a: [", "plots/custom.json": "["}
    for name, text in bad.items():
        (own_place / "dvclive" / name).write_text(text)
        with pytest.raises(InvalidError, match=name):
            load_live()
        (own_place / "dvclive" / name).unlink()
