"""Put the images of plots into a folder, so that a page or an editor shows them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from everloop.pipelines.plotting.values import Plot, PlotImage


class Pictures:
    """Writes images below a folder, each under a name of its own, as `main_plots_roc.png`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: dict[str, PlotImage] = {}

    def write(self, plots: Iterable[Plot]) -> dict[tuple[str, str], Path]:
        """Write all images.

        Returns:
            `{(moment, path of the image): where it lies, absolute}`
        """
        images = [image for plot in plots for image in plot.images]
        if images:
            self._folder.mkdir(parents=True, exist_ok=True)
        return {(image.revision, image.path): self._written(image) for image in images}

    def _written(self, image: PlotImage) -> Path:
        target = (self._folder / self._name(image)).absolute()
        # What a link there leads to is not ours.
        target.unlink(missing_ok=True)
        target.write_bytes(image.data)
        return target

    def _name(self, image: PlotImage) -> str:
        wanted = f"{image.revision}_{image.path}".replace("/", "_").replace("\\", "_").replace("\0", "_")
        name, number = wanted, 1
        while self._taken.setdefault(name, image) is not image:
            number += 1
            stem, dot, suffix = wanted.rpartition(".")
            name = f"{stem}_{number}{dot}{suffix}"
        return name
