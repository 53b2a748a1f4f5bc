"""MLflow's calls about registered models and their versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from everloop import registry as ours
from everloop.errors import InvalidError, NotFoundError
from everloop.registry import RegistryStore, Stage
from everloop.registry.search import PROMPT_TAG
from everloop.server.mlflow.places import PACKAGES
from everloop.server.mlflow.sources import Rooms, find_source
from everloop.server.mlflow.wire import Message, Nothing, Pair, Text, from_pairs, to_ms, to_pairs

ACTOR = "mlflow client"
"""Who did it, as far as is known: these clients do not say."""

_ALIAS = re.compile(r"[\w\-]{1,255}", re.ASCII)
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_STAGES: dict[str, Stage] = {name.lower(): name for name in ("None", "Staging", "Production", "Archived")}

ModelPageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]
VersionPageSize = Annotated[int, msgspec.Meta(ge=1, le=200_000)]
_VERSIONS_AT_ONCE = 50_000
"""How many versions a page has at most, whatever is asked; the token leads to the rest."""


class CreateModel(Message, frozen=True, kw_only=True):
    name: Text
    description: str = ""
    tags: tuple[Pair, ...] = ()


class OfModel(Message, frozen=True, kw_only=True):
    name: Text


class RenameModel(OfModel, frozen=True, kw_only=True):
    new_name: Text


class UpdateModel(OfModel, frozen=True, kw_only=True):
    description: str = ""


class ModelTag(OfModel, frozen=True, kw_only=True):
    key: Text
    value: str = ""


class Search(Message, frozen=True, kw_only=True):
    filter: str = ""
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class SearchModels(Search, frozen=True, kw_only=True):
    max_results: ModelPageSize = 100


class SearchVersions(Search, frozen=True, kw_only=True):
    max_results: VersionPageSize = 10_000


class LatestVersions(OfModel, frozen=True, kw_only=True):
    stages: tuple[str, ...] = ()


class OfAlias(OfModel, frozen=True, kw_only=True):
    alias: Text


class CreateVersion(OfModel, frozen=True, kw_only=True):
    source: Text
    run_id: str = ""
    model_id: str = ""
    run_link: str = ""
    description: str = ""
    tags: tuple[Pair, ...] = ()


class OfVersion(OfModel, frozen=True, kw_only=True):
    version: Text


class SetAlias(OfVersion, frozen=True, kw_only=True):
    alias: Text


class UpdateVersion(OfVersion, frozen=True, kw_only=True):
    description: str = ""


class VersionTag(OfVersion, frozen=True, kw_only=True):
    key: Text
    value: str = ""


class TransitionStage(OfVersion, frozen=True, kw_only=True):
    stage: Text
    archive_existing_versions: bool = False


class Alias(Message, frozen=True, kw_only=True):
    alias: str
    version: str


class ModelVersion(Message, frozen=True, kw_only=True):
    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    description: str = ""
    source: str = ""
    run_id: str = ""
    run_link: str = ""
    model_id: str = ""
    status: Literal["READY"]
    tags: tuple[Pair, ...] = ()
    aliases: tuple[str, ...] = ()


class RegisteredModel(Message, frozen=True, kw_only=True):
    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str = ""
    latest_versions: tuple[ModelVersion, ...] = ()
    tags: tuple[Pair, ...] = ()
    aliases: tuple[Alias, ...] = ()


class OneModel(Message, frozen=True, kw_only=True):
    registered_model: RegisteredModel


class Models(Message, frozen=True, kw_only=True):
    registered_models: tuple[RegisteredModel, ...] = ()
    next_page_token: str = ""


class OneVersion(Message, frozen=True, kw_only=True):
    model_version: ModelVersion


class Versions(Message, frozen=True, kw_only=True):
    model_versions: tuple[ModelVersion, ...] = ()
    next_page_token: str = ""


class DownloadUri(Message, frozen=True, kw_only=True):
    artifact_uri: str


# --- models


def create_model(rooms: Rooms, asked: CreateModel) -> OneModel:
    made = rooms.registry.create_model(asked.name, asked.description, from_pairs(asked.tags))
    return OneModel(registered_model=_to_model(made))


def get_model(rooms: Rooms, asked: OfModel) -> OneModel:
    return _one(rooms.registry, _named(rooms.registry, asked.name))


def rename_model(rooms: Rooms, asked: RenameModel) -> OneModel:
    return _one(rooms.registry, rooms.registry.rename_model(asked.name, asked.new_name, ACTOR))


def update_model(rooms: Rooms, asked: UpdateModel) -> OneModel:
    return _one(rooms.registry, rooms.registry.describe_model(asked.name, asked.description))


def delete_model(rooms: Rooms, asked: OfModel) -> Nothing:
    rooms.registry.delete_model(asked.name, ACTOR)
    return Nothing()


def set_model_tag(rooms: Rooms, asked: ModelTag) -> Nothing:
    rooms.registry.tag_model(asked.name, {asked.key: asked.value})
    return Nothing()


def delete_model_tag(rooms: Rooms, asked: ModelTag) -> Nothing:
    rooms.registry.untag_model(asked.name, asked.key)
    return Nothing()


def search_models(rooms: Rooms, asked: SearchModels) -> Models:
    found = rooms.registry.search_models(
        _without_prompts(asked.filter), list(asked.order_by), asked.max_results, asked.page_token
    )
    return Models(registered_models=tuple(_with_latest(rooms.registry, found.models)), next_page_token=found.next)


def get_latest_versions(rooms: Rooms, asked: LatestVersions) -> Versions:
    model = _named(rooms.registry, asked.name)
    found = rooms.registry.latest_versions([model.name], [_stage(each) for each in asked.stages])
    return Versions(model_versions=tuple(map(_to_version, found)))


# --- aliases


def set_alias(rooms: Rooms, asked: SetAlias) -> Nothing:
    if not _ALIAS.fullmatch(asked.alias):
        raise InvalidError(f"Invalid alias name: '{asked.alias[:300]}'. Use up to 255 letters, digits, '_' and '-'.")
    if _RESERVED.fullmatch(asked.alias):
        raise InvalidError(f"The alias name '{asked.alias}' is reserved: versions go by `latest` and `v<number>`.")
    rooms.registry.set_alias(asked.name, asked.alias, _number(asked), ACTOR, "")
    return Nothing()


def get_alias(rooms: Rooms, asked: OfAlias) -> OneVersion:
    model = _named(rooms.registry, asked.name)
    version = model.aliases.get(asked.alias, 0)
    if asked.alias.lower() == "latest":
        version = max((each.version for each in rooms.registry.latest_versions([model.name])), default=0)
    if not version:
        # MLflow's clients look for this code.
        raise InvalidError(f"Registered model alias {asked.alias} not found.")
    return OneVersion(model_version=_to_version(rooms.registry.get_version(model.name, version)))


def delete_alias(rooms: Rooms, asked: OfAlias) -> Nothing:
    rooms.registry.delete_alias(_named(rooms.registry, asked.name).name, asked.alias, ACTOR, "")
    return Nothing()


# --- versions


def create_version(rooms: Rooms, asked: CreateVersion) -> OneVersion:
    _named(rooms.registry, asked.name)
    found = find_source(rooms, asked.source, asked.run_id, asked.model_id)
    made = rooms.registry.create_version(
        asked.name,
        asked.source,
        ACTOR,
        found.run_id,
        found.model_id,
        found.digest,
        found.files,
        asked.description,
        from_pairs(asked.tags),
    )
    return OneVersion(model_version=_to_version(made))


def get_version(rooms: Rooms, asked: OfVersion) -> OneVersion:
    return OneVersion(model_version=_to_version(_version(rooms.registry, asked)))


def update_version(rooms: Rooms, asked: UpdateVersion) -> OneVersion:
    found = rooms.registry.describe_version(asked.name, _number(asked), asked.description)
    return OneVersion(model_version=_to_version(found))


def delete_version(rooms: Rooms, asked: OfVersion) -> Nothing:
    rooms.registry.delete_version(asked.name, _number(asked), ACTOR)
    return Nothing()


def search_versions(rooms: Rooms, asked: SearchVersions) -> Versions:
    limit = min(asked.max_results, _VERSIONS_AT_ONCE)
    found = rooms.registry.search_versions(
        _without_prompts(asked.filter), list(asked.order_by), limit, asked.page_token
    )
    return Versions(model_versions=tuple(map(_to_version, found.versions)), next_page_token=found.next)


def get_download_uri(rooms: Rooms, asked: OfVersion) -> DownloadUri:
    """Say where a version's files are: with the hub, as they were registered, or where the client said they are."""
    found = _version(rooms.registry, asked)
    return DownloadUri(artifact_uri=f"mlflow-artifacts:/{PACKAGES}/{found.digest}" if found.digest else found.source)


def set_version_tag(rooms: Rooms, asked: VersionTag) -> Nothing:
    rooms.registry.tag_version(asked.name, _number(asked), {asked.key: asked.value})
    return Nothing()


def delete_version_tag(rooms: Rooms, asked: VersionTag) -> Nothing:
    rooms.registry.untag_version(asked.name, _number(asked), asked.key)
    return Nothing()


def transition_stage(rooms: Rooms, asked: TransitionStage) -> OneVersion:
    stage = _stage(asked.stage)
    found = rooms.registry.set_stage(asked.name, _number(asked), stage, ACTOR, asked.archive_existing_versions)
    return OneVersion(model_version=_to_version(found))


# --- reading what is asked, and ours as it travels


def _named(registry: RegistryStore, name: str) -> ours.RegisteredModel:
    try:
        return registry.get_model(name)
    except NotFoundError as error:
        raise NotFoundError(f"Registered Model with name={name} not found") from error


def _version(registry: RegistryStore, asked: OfVersion) -> ours.ModelVersion:
    found = registry.get_version(asked.name, _number(asked))
    if found.is_deleted:
        raise NotFoundError(f"Model Version (name={asked.name}, version={asked.version}) not found")
    return found


def _number(asked: OfVersion) -> int:
    if not (asked.version.isascii() and asked.version.isdigit() and len(asked.version) < 19):
        raise InvalidError(f"Model version must be an integer, got '{asked.version[:100]}'")
    return int(asked.version)


def _stage(name: str) -> Stage:
    if name.lower() not in _STAGES:
        raise InvalidError(
            f"Invalid Model Version stage: {name[:100]}. Value must be one of {', '.join(_STAGES.values())}."
        )
    return _STAGES[name.lower()]


def _without_prompts(filter: str) -> str:  # noqa: A002
    if PROMPT_TAG in filter:
        return filter
    return f"{filter} AND tags.`{PROMPT_TAG}` != 'true'" if filter.strip() else f"tags.`{PROMPT_TAG}` != 'true'"


def _one(registry: RegistryStore, found: ours.RegisteredModel) -> OneModel:
    return OneModel(registered_model=_with_latest(registry, [found])[0])


def _with_latest(registry: RegistryStore, models: Iterable[ours.RegisteredModel]) -> list[RegisteredModel]:
    listed = list(models)
    newest: dict[str, list[ModelVersion]] = {each.name: [] for each in listed}
    for version in registry.latest_versions(list(newest)) if listed else ():
        newest[version.model].append(_to_version(version))
    return [_to_model(each, newest[each.name]) for each in listed]


def _to_model(found: ours.RegisteredModel, latest: Iterable[ModelVersion] = ()) -> RegisteredModel:
    return RegisteredModel(
        name=found.name,
        creation_timestamp=to_ms(found.created_at),
        last_updated_timestamp=to_ms(found.updated_at),
        description=found.description,
        latest_versions=tuple(latest),
        tags=tuple(to_pairs(found.tags)),
        aliases=tuple(Alias(alias=alias, version=str(version)) for alias, version in found.aliases.items()),
    )


def _to_version(found: ours.ModelVersion) -> ModelVersion:
    return ModelVersion(
        name=found.model,
        version=str(found.version),
        creation_timestamp=to_ms(found.created_at),
        last_updated_timestamp=to_ms(found.updated_at),
        current_stage=found.stage,
        description=found.description,
        source=found.source,
        run_id=found.run_id,
        model_id=found.model_id,
        status="READY",
        tags=tuple(to_pairs(found.tags)),
        aliases=tuple(found.aliases),
    )
