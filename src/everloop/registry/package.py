"""The package of a model: an MLflow model directory, written and read without running code.

    model/
      MLmodel                 what it is: signature, flavors, identity (YAML)
      model.skops             the estimator (see `safe.py`)
      requirements.txt        the libraries it was made with, pinned
      python_env.yaml
      input_example.json      optional
      profile.json            optional: the profile of the data it was trained on

Owns the layout and its checks. Leaves loading and scoring to `serving`, a model's versions to the registry's store.
Source: MLflow 3.17, "MLflow Models: storage format"; `load_model` of `mlflow.pyfunc` and `mlflow.sklearn` reads it.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata as installed
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from everloop.errors import ConflictError, InvalidError, NotFoundError, TooLargeError

Datatype = Literal["string", "double", "long", "boolean"]
DATATYPES: tuple[Datatype, ...] = ("string", "double", "long", "boolean")

MLMODEL = "MLmodel"
MAX_MLMODEL_BYTES = 256 << 10
MAX_FILES = 10_000
MAX_NESTING = 64
_LIBRARIES = ("numpy", "scikit-learn", "scipy", "skops")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output of a model, as in its signature. `type` is MLflow's name: string, double, long, boolean…"""

    name: str
    type: str
    required: bool = True


class PackageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a model package says about itself. `inputs` is empty when there is no signature of named columns."""

    model_uuid: str
    created_at: datetime | None
    flavors: tuple[str, ...]
    format: str
    """How the estimator is serialised: `skops`, `cloudpickle`, `pickle`; empty when there is no sklearn flavor."""
    model_file: str
    """Path of the serialised estimator inside the package; empty when there is no sklearn flavor."""
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    metadata: dict[str, Any]
    size_bytes: int


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    inputs: Mapping[str, str],
    output: str = "probability",
    input_example: Mapping[str, Sequence[Any]] | None = None,
    profile: Any = None,
    metadata: Mapping[str, Any] | None = None,
) -> PackageInfo:
    """Write a fitted scikit-learn classifier as a model package.

    The package appears under `path` only when complete. A package that is there already is replaced.

    Args:
        model: a fitted estimator with `predict_proba`; it takes an object array of shape (n_rows, len(inputs)) whose
            columns are in the order of `inputs`.
        path: the folder to make.
        inputs: name → type (`string`, `double`, `long`, `boolean`) of each column, in the model's order. Strings and
            doubles may be null.
        output: name of the answer: the probability of the second class, a double in [0, 1].
        input_example: name → values, for readers and for smoke tests; None for none.
        profile: a value that msgspec can write: the profile of the training data; None for none.
        metadata: further facts, kept under `metadata` in `MLmodel`.

    Raises:
        InvalidError: the model, its inputs or its types cannot be packaged; the message names which.
        ConflictError: `path` holds something that is not a model package.
        NotInstalledError: skops is missing.
    """
    from everloop.registry import safe

    target = Path(path)
    _check_inputs(model, inputs)
    data = safe.dump(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        folder.chmod(0o755)
        (folder / "model.skops").write_bytes(data)
        example = _write_example(folder, inputs, input_example)
        if profile is not None:
            (folder / "profile.json").write_bytes(msgspec.json.encode(profile))
        _write_environment(folder)
        described = _describe(inputs, output, example, has_profile=profile is not None, metadata=metadata or {})
        described["model_size_bytes"] = sum(file.stat().st_size for file in folder.iterdir())
        _write_yaml(folder / MLMODEL, described)
        info = read_package(folder)
        _publish(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return info


def read_package(path: str | os.PathLike[str]) -> PackageInfo:
    """Read and check a model package. Runs none of its code.

    Raises:
        NotFoundError: there is no folder, or no `MLmodel` in it.
        InvalidError: `MLmodel` is malformed, or the package links or points outside of itself or to a missing file.
        TooLargeError: `MLmodel` is larger than 256 KiB, or there are more than 10,000 files.
    """
    root = Path(path)
    if not (root / MLMODEL).is_file():
        raise NotFoundError(
            f"no model package at {root}: it has no file {MLMODEL}", hint="everloop.save_model makes one."
        )
    size_bytes = sum(file.stat().st_size for file in _files(root))
    described = _read_yaml(root / MLMODEL)
    flavors = _mapping(described, "flavors")
    sklearn = _mapping(flavors, "sklearn")
    model_file = _inside(root, sklearn.get("pickled_model"), "flavors.sklearn.pickled_model")
    function = _mapping(flavors, "python_function")
    _inside(root, function.get("model_path"), "flavors.python_function.model_path")
    for name, value in _mapping(function, "env").items():
        _inside(root, value, f"flavors.python_function.env.{name}", must_exist=False)
    signature = _mapping(described, "signature")
    return PackageInfo(
        model_uuid=str(described.get("model_uuid") or ""),
        created_at=_time(described.get("utc_time_created")),
        flavors=tuple(sorted(str(name) for name in flavors)),
        format=str(sklearn.get("serialization_format") or ("pickle" if sklearn else "")),
        model_file=model_file,
        inputs=_columns(signature.get("inputs"), "signature.inputs"),
        outputs=_columns(signature.get("outputs"), "signature.outputs"),
        metadata={str(key): value for key, value in _mapping(described, "metadata").items()},
        size_bytes=size_bytes,
    )


def package_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256, 64 hex digits, of a package's content: of its sorted lines `<file's sha256>  <path>`.

    Raises:
        InvalidError: the package holds a link or something that is not a file.
    """
    root = Path(path)
    lines = []
    for file in _files(root):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append((file.relative_to(root).as_posix(), content))
    listing = "".join(f"{content}  {name}\n" for name, content in sorted(lines))
    return hashlib.sha256(listing.encode()).hexdigest()


def _check_inputs(model: Any, inputs: Mapping[str, str]) -> None:
    if not inputs:
        raise InvalidError("a model needs at least one input")
    for name, kind in inputs.items():
        if kind not in DATATYPES:
            raise InvalidError(f"input {name!r} has type {kind!r}; a type is one of {', '.join(DATATYPES)}")
    if not hasattr(model, "predict_proba"):
        raise InvalidError(f"asked to save a {type(model).__name__}, but it has no predict_proba")
    classes = getattr(model, "classes_", None)
    if classes is None or len(classes) != 2:
        found = "is not fitted" if classes is None else f"has {len(classes)} classes"
        raise InvalidError(f"a model of two classes is needed, but this {type(model).__name__} {found}")
    expected = getattr(model, "n_features_in_", len(inputs))
    if expected != len(inputs):
        raise InvalidError(f"the model was fitted on {expected} columns, but {len(inputs)} inputs are named")


def _describe(
    inputs: Mapping[str, str],
    output: str,
    example: dict[str, str] | None,
    *,
    has_profile: bool,
    metadata: Mapping[str, Any],
) -> dict[str, Any]:
    from everloop.registry import safe

    columns = [Column(name=name, type=kind) for name, kind in inputs.items()]
    described: dict[str, Any] = {
        "flavors": {
            "python_function": {
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.sklearn",
                "model_path": "model.skops",
                "predict_fn": "predict_proba",
                "python_version": platform.python_version(),
            },
            "sklearn": {
                "code": None,
                "pickled_model": "model.skops",
                "serialization_format": "skops",
                "sklearn_version": installed.version("scikit-learn"),
                "skops_trusted_types": list(safe.TRUSTED),
            },
        },
        "is_signature_from_type_hint": False,
        "metadata": {**metadata, "everloop": {"output": output, "profile": "profile.json" if has_profile else None}},
        "model_uuid": uuid.uuid4().hex,
        "signature": {
            "inputs": _signature_json(columns),
            "outputs": _signature_json([Column(name=output, type="double")]),
            "params": None,
        },
        "type_hint_from_example": False,
        "utc_time_created": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds"),
    }
    if example is not None:
        described["saved_input_example_info"] = example
    return described


def _signature_json(columns: Sequence[Column]) -> str:
    fields = [{"type": each.type, "name": each.name, "required": each.required} for each in columns]
    return msgspec.json.encode(fields).decode()


def _write_example(
    folder: Path, inputs: Mapping[str, str], example: Mapping[str, Sequence[Any]] | None
) -> dict[str, str] | None:
    if example is None:
        return None
    if set(example) != set(inputs):
        raise InvalidError(f"the example has columns {sorted(example)}, but the inputs are {sorted(inputs)}")
    if len({len(values) for values in example.values()}) != 1:
        raise InvalidError("the columns of the example differ in length")
    table = {"columns": list(inputs), "data": list(zip(*(example[name] for name in inputs), strict=True))}
    (folder / "input_example.json").write_bytes(msgspec.json.encode(table))
    (folder / "serving_input_example.json").write_bytes(msgspec.json.encode({"dataframe_split": table}))
    return {
        "artifact_path": "input_example.json",
        "pandas_orient": "split",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
    }


def _write_environment(folder: Path) -> None:
    pins = "".join(f"{name}=={installed.version(name)}\n" for name in _LIBRARIES)
    (folder / "requirements.txt").write_text(pins)
    _write_yaml(
        folder / "python_env.yaml",
        {
            "python": platform.python_version(),
            "build_dependencies": ["pip", "setuptools", "wheel"],
            "dependencies": ["-r requirements.txt"],
        },
    )


def _publish(folder: Path, target: Path) -> None:
    for file in _files(folder):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ConflictError(f"asked to save a model at {target}, but that is not a folder")
    if target.is_dir() and any(target.iterdir()):
        if not (target / MLMODEL).is_file():
            raise ConflictError(f"asked to save a model at {target}, but that folder holds something else")
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
        target.rename(old)
        folder.rename(target)
        shutil.rmtree(old)
    else:
        folder.rename(target)


def _write_yaml(path: Path, value: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)  # MLflow reads YAML 1.1 (PyYAML), so what 1.1 takes for a number or a time must be quoted
    yaml.default_flow_style = False
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(value, stream)
    path.write_text(stream.getvalue().removeprefix("%YAML 1.1\n---\n"), encoding="utf-8")


def _read_yaml(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    size = path.stat().st_size
    if size > MAX_MLMODEL_BYTES:
        raise TooLargeError(f"{path} has {size:,} bytes; the limit is {MAX_MLMODEL_BYTES:,}")
    try:
        text = path.read_text(encoding="utf-8")
        _check_nesting(text, path)
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InvalidError(f"{path} is not YAML: {error}") from error
    if not isinstance(value, dict):
        raise InvalidError(f"{path} should hold a mapping, found {type(value).__name__}")
    return value


def _check_nesting(text: str, path: Path) -> None:
    """Refuse aliases (a few bytes can stand for gigabytes) and deep nesting (it would exhaust the stack)."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent):
            raise InvalidError(f"{path} uses the YAML alias *{event.anchor}; a package may not")
        if depth > MAX_NESTING:
            raise InvalidError(f"{path} is nested deeper than {MAX_NESTING} levels")


def _files(root: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(root):
        for name in sorted(folders) + sorted(names):
            each = Path(folder, name)
            if each.is_symlink() or not (each.is_file() or each.is_dir()):
                raise InvalidError(f"{each} is a link or a device; a model package holds plain files only")
            count += 1
            if count > MAX_FILES:
                raise TooLargeError(f"{root} holds more than {MAX_FILES:,} files; that is no model package")
            if each.is_file():
                yield each


def _inside(root: Path, name: Any, field: str, *, must_exist: bool = True) -> str:
    """Check that a path named in `MLmodel` stays in the package; return it, or "" when none is named."""
    if name is None:
        return ""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        raise InvalidError(f"{MLMODEL}: {field} should be a relative path, found {name!r}")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise InvalidError(f"{MLMODEL}: {field} points outside of the package: {name!r}")
    if must_exist and not (root / pure).exists():
        raise InvalidError(f"{MLMODEL}: {field} names {name!r}, but the package has no such file")
    return name


def _mapping(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        if key == "env":  # MLflow 1 wrote the file name itself
            return {"conda": found}
        raise InvalidError(f"{MLMODEL}: {key} should be a mapping, found {type(found).__name__}")
    return found


def _columns(text: Any, field: str) -> tuple[Column, ...]:
    if text is None:
        return ()
    try:
        parsed = msgspec.json.decode(text if isinstance(text, str) else b"", type=list[dict[str, Any]])
        if any("name" not in each or each.get("type") in ("tensor", "object", "array", "map") for each in parsed):
            return ()
        columns = tuple(msgspec.convert(each, Column) for each in parsed)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidError(f"{MLMODEL}: {field} is not an MLflow signature: {error}") from error
    names = [each.name for each in columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidError(f"{MLMODEL}: {field} names a column twice: {', '.join(repeated)}")
    return columns


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InvalidError(f"{MLMODEL}: utc_time_created is not a time: {value!r}") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
