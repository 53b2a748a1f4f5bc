"""Writing and reading a scikit-learn model without pickle: the one door to skops.

A file is loaded only when every type in it is trusted by skops itself or stands on `TRUSTED`, whatever the package
claims about itself (a list read from the model's own file protects nobody: MLflow's GHSA-w582-9x45-8mpx). Types alone
are not enough for gradient-boosted trees, whose prediction code follows node numbers without bounds checks, so those
numbers are checked here too. Leaves the package around the file to `package.py` and prediction to `serving`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from everloop.errors import InvalidError, NotInstalledError, TooLargeError

TRUSTED: tuple[str, ...] = (
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
"""Types that skops does not trust by itself and we do.

A partial runs nothing when it is built, and its function must be trusted too; trees go through `check_trees`.
"""

MAX_UNPACKED_BYTES = 2 << 30
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)


def warm() -> None:
    """Import what loading a model needs, which takes seconds.

    Raises:
        NotInstalledError: skops is missing.
    """
    _skops_io()


def dump(model: Any) -> bytes:
    """Return a fitted estimator as a skops file; the same model gives the same bytes.

    Raises:
        InvalidError: the model holds types that `load` would refuse; they are named.
        NotInstalledError: skops is missing.
    """
    skops_io = _skops_io()
    from skops.io.exceptions import UnsupportedTypeException

    try:
        data: bytes = skops_io.dumps(model)
    except UnsupportedTypeException as error:
        raise InvalidError(f"asked to save a {type(model).__name__}, but {error}") from error
    _refuse_untrusted(skops_io.get_untrusted_types(data=data), f"this {type(model).__name__}")
    return _canonical(data)


def load(path: Path) -> Any:
    """Load a skops file.

    Raises:
        InvalidError: not a skops file, types that are not trusted (all are named), or trees that point outside.
        TooLargeError: it would unpack to more than 2 GiB.
        NotInstalledError: skops is missing.
    """
    skops_io = _skops_io()
    _check_archive(path)
    try:
        untrusted = skops_io.get_untrusted_types(file=path)
        _refuse_untrusted(untrusted, str(path))
        model = skops_io.load(path, trusted=list(TRUSTED))
    except InvalidError:
        raise
    # skops interprets a foreign file: whatever goes wrong inside means that the file is bad, and the cause is kept.
    except Exception as error:
        raise InvalidError(f"{path} is not a model that can be loaded: {type(error).__name__}: {error}") from error
    check_trees(model)
    return model


def check_trees(model: Any) -> None:
    """Check that the trees of every histogram gradient boosting inside `model` point only to what exists.

    Raises:
        InvalidError: a node names a child, a feature or a category set that does not exist, or a loop.
    """
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )

    owned, found = set[int](), set[int]()
    for part in _parts(model):
        if isinstance(part, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
            owned |= _check_boosting(part)
        elif type(part).__name__ == "TreePredictor":
            found.add(id(part))
    if found - owned:
        raise InvalidError("the model holds trees outside of a histogram gradient boosting; they cannot be checked")


def _check_boosting(model: Any) -> set[int]:
    import numpy as np

    mapper = model._bin_mapper
    is_categorical = np.asarray(mapper.is_categorical_, dtype=bool)
    n_features = is_categorical.size
    _claim(
        n_features == model.n_features_in_,
        "the number of features disagrees with its bins",
    )
    _claim(
        len(mapper.bin_thresholds_) == n_features,
        "the number of features disagrees with its bin thresholds",
    )
    for feature in np.flatnonzero(is_categorical):
        known = np.asarray(mapper.bin_thresholds_[feature], dtype=float)
        _claim(
            bool(np.all((known >= 0) & (known < 256))),
            f"feature {feature} has categories outside 0..255",
        )
    trees = [tree for trees in model._predictors for tree in trees]
    for tree in trees:
        _check_tree(tree, is_categorical)
    return {id(tree) for tree in trees}


def _check_tree(tree: Any, is_categorical: Any) -> None:
    import numpy as np

    nodes = tree.nodes
    _claim(nodes.ndim == 1 and nodes.size > 0, "a tree has no nodes")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    for side in ("left", "right"):
        # Children come after their parent, so following them always ends.
        child = nodes[side][inner].astype(np.int64)
        _claim(
            bool(np.all((child > inner) & (child < nodes.size))),
            f"a node's {side} child is not in the tree",
        )
    feature = nodes["feature_idx"][inner]
    _claim(
        bool(np.all((feature >= 0) & (feature < is_categorical.size))),
        "a node splits on an unknown feature",
    )
    splits = nodes["is_categorical"][inner] != 0
    _claim(
        bool(np.all(is_categorical[feature[splits]])),
        "a node splits a number as a category",
    )
    sets = tree.raw_left_cat_bitsets
    _claim(
        sets.ndim == 2 and sets.shape[1:] == (8,),
        "a tree's category sets have a wrong shape",
    )
    _claim(
        bool(np.all(nodes["bitset_idx"][inner][splits] < len(sets))),
        "a node names an unknown category set",
    )


def _claim(holds: bool, broken: str) -> None:
    if not holds:
        raise InvalidError(f"the model's trees are damaged or forged: {broken}")


def _parts(root: Any) -> Iterator[Any]:
    """Every object that is reachable from `root` through attributes and containers, each once."""
    import numpy as np

    seen, waiting = set[int](), [root]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float | type):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, list | tuple | set):
            waiting.extend(part)
        elif isinstance(part, np.ndarray):
            waiting.extend(part.ravel().tolist() if part.dtype == object else ())
        else:
            waiting.extend(getattr(part, "__dict__", {}).values())


def _refuse_untrusted(types: list[str], place: str) -> None:
    unknown = sorted(set(types) - set(TRUSTED))
    if unknown:
        raise InvalidError(
            f"{place} holds types that are not on the safe list: {', '.join(unknown)}",
            hint="Build it from scikit-learn's own estimators (Pipeline, ColumnTransformer, HistGradientBoosting…).",
        )


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidError(f"{path} is not a skops file: {error}") from error
    if unpacked > MAX_UNPACKED_BYTES:
        raise TooLargeError(f"{path} would unpack to {unpacked:,} bytes; the limit is {MAX_UNPACKED_BYTES:,}")


def _canonical(data: bytes) -> bytes:
    """Rewrite a skops file so that equal models are equal bytes: skops names objects by their address in memory."""
    names: dict[str, str] = {}
    numbers: dict[int, int] = {}

    def rename(value: Any) -> Any:
        if isinstance(value, list):
            return [rename(item) for item in value]
        if not isinstance(value, dict):
            return value
        renamed = dict(value)
        if "__id__" in value:
            renamed["__id__"] = numbers.setdefault(value["__id__"], len(numbers) + 1)
        if isinstance(value.get("file"), str):
            suffix = Path(value["file"]).suffix
            renamed["file"] = names.setdefault(value["file"], f"{len(names) + 1}{suffix}")
        return {key: item if key in ("__id__", "file") else rename(item) for key, item in renamed.items()}

    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(target, "w") as archive,
    ):
        schema = rename(json.loads(source.read("schema.json")))
        _add(archive, "schema.json", json.dumps(schema, separators=(",", ":")).encode())
        for old, new in names.items():
            _add(archive, new, source.read(old))
    return target.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_FIXED_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data, compresslevel=6)


def _skops_io() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise NotInstalledError(
            "saving and loading scikit-learn models needs skops",
            hint="pip install 'everloop[sklearn]'",
        ) from error
    return skops.io
