"""A bucket of a cloud: S3 and what speaks like it, Google Cloud Storage, Azure. The only file that uses obstore here.

An object is put by one request, or by a multipart upload that becomes visible at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from everloop.errors import (
    DeniedError,
    EverloopError,
    FailedError,
    InvalidError,
    NotFoundError,
    NotInstalledError,
    UnavailableError,
)
from everloop.storage.aws import profile_settings
from everloop.storage.bucket import CHUNK_BYTES, Stored, is_key

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import ObjectStore

_WHOLE_BYTES = 8 << 20
_LIST_CHUNK = 1000
_MANY = 1000
_CONNECT_S = 10.0
_READ_S = 60.0
# Of the library itself, for single requests; whoever moves many objects tries again at a higher level too.
_RETRIES = 2
_S3_KEYS = {
    "region": "region", "access_key_id": "access_key_id", "secret_access_key": "secret_access_key",
    "session_token": "session_token", "endpointurl": "endpoint", "sse": "server_side_encryption",
    "sse_kms_key_id": "sse_kms_key_id",
}  # fmt: skip
_GS_KEYS = {"credentialpath": "service_account_path", "endpointurl": "base_url"}
_AZURE_KEYS = {
    "account_name": "account_name", "account_key": "account_key", "sas_token": "sas_key", "tenant_id": "tenant_id",
    "client_id": "client_id", "client_secret": "client_secret", "endpointurl": "endpoint",
}  # fmt: skip
_CONNECTION_KEYS = {
    "accountname": "account_name", "accountkey": "account_key", "sharedaccesssignature": "sas_token",
    "blobendpoint": "endpointurl",
}  # fmt: skip
# These change who may read an object or how it is kept, so passing over them would be wrong.
_REFUSED = (
    "acl", "grant_read", "grant_read_acp", "grant_write_acp", "grant_full_control", "sse_customer_key",
    "sse_customer_algorithm",
)  # fmt: skip


class Cloud:
    """See `Bucket`.

    Args:
        url: `s3://bucket/folder`, `gs://bucket/folder`, `azure://container/folder`.
        options: Of a DVC remote of that kind. What is missing is looked for where the cloud's own tools look: the
            environment, `~/.aws`, the machine's role.

    Raises:
        InvalidError: The URL names no bucket, or an option is not supported.
        NotInstalledError: obstore is not installed.
    """

    is_near = False

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        for option in _REFUSED:
            if option in options:
                raise InvalidError(
                    f"the option {option} of {self.url} is not supported", hint="use dvc for this remote"
                )
        self._store = _open(urlsplit(url), options)

    def exists(self, key: str) -> bool:
        import obstore

        try:
            obstore.head(self._store, self._checked(key))
        except FileNotFoundError:
            return False
        except obstore.exceptions.BaseError as error:
            raise self._problem(key, error) from error
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        import obstore

        try:
            for batch in obstore.list(self._store, prefix.rstrip("/") or None, chunk_size=_LIST_CHUNK):
                for meta in batch:
                    yield meta["path"]
        except FileNotFoundError as error:
            raise self._gone(prefix) from error
        except obstore.exceptions.BaseError as error:
            raise self._problem(prefix, error) from error

    def find(self, key: str) -> Iterator[Stored]:
        import obstore

        try:
            if key:
                with suppress(FileNotFoundError):
                    yield _stored(obstore.head(self._store, self._checked(key)))
                    return
            for batch in obstore.list(self._store, key or None, chunk_size=_LIST_CHUNK):
                # Some tools make an empty object for a folder.
                yield from (_stored(meta) for meta in batch if meta["path"] != key)
        except FileNotFoundError as error:
            raise self._gone(key) from error
        except obstore.exceptions.BaseError as error:
            raise self._problem(key, error) from error

    def get(self, key: str, sink: Callable[[bytes], object]) -> None:
        self.get_version(key, None, sink)

    def get_version(self, key: str, version_id: str | None, sink: Callable[[bytes], object]) -> Stored:
        return self._in_version(key, version_id, sink)

    def head_version(self, key: str, version_id: str | None) -> Stored:
        return self._in_version(key, version_id, None)

    def _in_version(self, key: str, version_id: str | None, sink: Callable[[bytes], object] | None) -> Stored:
        """Without a sink only what is said of the object."""
        import obstore

        options: GetOptions = {"head": sink is None}
        if version_id:
            options["version"] = version_id
        try:
            answer = obstore.get(self._store, self._checked(key), options=options)
            if sink is not None:
                _pour(answer, sink)
            return _stored(answer.meta)
        except FileNotFoundError as error:
            version = f" in version {version_id}" if version_id else ""
            raise NotFoundError(f"{key} is not in {self.url}{version}") from error
        except obstore.exceptions.BaseError as error:
            raise self._problem(key, error) from error

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        import obstore

        small = isinstance(data, bytes) and len(data) <= _WHOLE_BYTES
        try:
            obstore.put(self._store, self._checked(key), data, use_multipart=not small)
        except FileNotFoundError as error:
            raise self._gone(key) from error
        except obstore.exceptions.BaseError as error:
            raise self._problem(key, error) from error

    def flush(self) -> None:
        """A cloud acknowledges what it has kept."""

    def delete(self, keys: Iterable[str]) -> None:
        import obstore

        checked = [self._checked(key) for key in keys]
        try:
            for start in range(0, len(checked), _MANY):
                obstore.delete(self._store, checked[start : start + _MANY])
        except FileNotFoundError:
            # Another one was faster.
            return
        except obstore.exceptions.BaseError as error:
            raise self._problem(checked[0], error) from error

    def _checked(self, key: str) -> str:
        if not is_key(key):
            raise InvalidError(f"{key!r} is no key: it would leave the bucket {self.url}")
        return key

    def _gone(self, key: str) -> EverloopError:
        return FailedError(
            f"{self.url} has no place for {key}: the bucket does not exist", hint="make the bucket first"
        )

    def _problem(self, key: str, error: Exception) -> EverloopError:
        from obstore import exceptions

        reason = f"{self.url}: {key}: {_first_line(error)}"
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            return DeniedError(reason, hint="look at the credentials: ever remote list, ever config -l --show-origin")
        if isinstance(error, exceptions.GenericError):
            return UnavailableError(reason)
        return FailedError(reason)


def _open(parts: Any, options: Mapping[str, str]) -> ObjectStore:
    try:
        from obstore import exceptions, store
    except ImportError as error:
        raise NotInstalledError(
            f"{parts.scheme}:// needs obstore, which is not installed", hint="pip install 'everloop[remote]'"
        ) from error
    bucket, prefix = parts.hostname, parts.path.strip("/") or None
    if not bucket:
        raise InvalidError(f"{parts.scheme}://: the URL names no bucket")
    if "connection_string" in options:
        options = {**options, **_connection(options["connection_string"])}
    shared: dict[str, Any] = {
        "prefix": prefix,
        "client_options": _client_options(options),
        "retry_config": {"max_retries": _RETRIES},
    }
    try:
        if parts.scheme == "s3":
            return store.S3Store(parts.netloc, config=_s3_config(options), **shared)
        if parts.scheme == "gs":
            return store.GCSStore(parts.netloc, config=_unsigned(_named(options, _GS_KEYS), options), **shared)
        config = _named(options, _AZURE_KEYS)
        return store.AzureStore(parts.netloc.partition("@")[0], config=config, **shared)
    except exceptions.BaseError as error:
        raise InvalidError(f"{parts.scheme}://{bucket} cannot be opened: {_first_line(error)}") from error


def _pour(answer: GetResult, sink: Callable[[bytes], object]) -> None:
    if answer.meta["size"] <= _WHOLE_BYTES:
        sink(answer.bytes().to_bytes())
        return
    for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
        sink(bytes(chunk))


def _stored(meta: Any) -> Stored:
    etag = meta["e_tag"]
    return Stored(
        key=meta["path"],
        size_bytes=meta["size"],
        etag=etag.strip('"') if etag else None,
        version_id=meta["version"],
    )


def _s3_config(options: Mapping[str, str]) -> Any:
    known = {**({} if "access_key_id" in options else profile_settings(options)), **options}
    return _unsigned(_named(known, _S3_KEYS), options)


def _unsigned(config: Any, options: Mapping[str, str]) -> Any:
    return {**config, "skip_signature": True} if _is_true(options.get("allow_anonymous_login")) else config


def _named(options: Mapping[str, str], names: Mapping[str, str]) -> Any:
    return {name: options[option] for option, name in names.items() if option in options}


def _connection(text: str) -> dict[str, str]:
    """Return the options that a connection string of Azure Storage stands for.

    Source: Azure Storage docs, "Configure Azure Storage connection strings".

    Raises:
        InvalidError: it is none. Its text is not told, since it holds a secret.
    """
    parts = dict(part.split("=", 1) for part in text.strip().strip(";").split(";") if "=" in part)
    given = {name.strip().lower(): value.strip() for name, value in parts.items()}
    found = {option: given[name] for name, option in _CONNECTION_KEYS.items() if name in given}
    if "account_name" in found and "endpointurl" not in found and "endpointsuffix" in given:
        protocol = given.get("defaultendpointsprotocol", "https")
        found["endpointurl"] = f"{protocol}://{found['account_name']}.blob.{given['endpointsuffix']}"
    if not ("account_name" in found or "endpointurl" in found):
        raise InvalidError(
            "the option connection_string names no account",
            hint="It reads AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net, as the Azure portal shows it.",
        )
    return found


def _client_options(options: Mapping[str, str]) -> Any:
    verify = options.get("ssl_verify", "true")
    no_tls = options.get("use_ssl", "true").lower() == "false"
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=float(options.get("connect_timeout", _CONNECT_S))),
        "read_timeout": timedelta(seconds=float(options.get("read_timeout", _READ_S))),
        # Of a whole request: a large object over a slow line takes its time.
        "timeout": timedelta(days=1),
        "allow_http": no_tls or options.get("endpointurl", "").startswith("http://"),
    }
    if verify.lower() == "false":
        client["allow_invalid_certificates"] = True
    elif verify.lower() != "true":
        client["root_certificate"] = Path(verify).read_bytes()
    return client


def _is_true(value: str | None) -> bool:
    return (value or "").lower() == "true"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
