"""How a file server is reached over WebDAV, with DVC's options. The only file that uses webdav4."""

from __future__ import annotations

import shlex
import subprocess
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from everloop.errors import (
    DeniedError,
    EverloopError,
    FailedError,
    InvalidError,
    NotFoundError,
    NotInstalledError,
    UnavailableError,
)
from everloop.storage.filesystem import of_the_system
from everloop.storage.ssh import ask

_TIMEOUT_S = 30.0
_PASSING = {408, 423, 425, 429, 500, 502, 503, 504}
_CONFLICT = 409


class Webdav:
    """See `Kind`.

    Args:
        url: `webdav://host/folder` (over HTTP) or `webdavs://host/folder` (over HTTPS).
        options: `user`, `password`, `ask_password`, `token`, `bearer_token_command`, `custom_auth_header`,
            `cert_path`, `key_path`, `timeout`, `ssl_verify`.

    Raises:
        InvalidError: The URL names no host.
        NotInstalledError: webdav4 is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise InvalidError(f"{parts.scheme}://: the URL names no host")
        try:
            import webdav4.fsspec  # noqa: F401
        except ImportError as error:
            raise NotInstalledError(
                f"{parts.scheme}:// needs webdav4, which is not installed", hint="pip install 'everloop[webdav]'"
            ) from error
        place = parts.hostname + (f":{parts.port}" if parts.port else "")
        self.root = unquote(parts.path).strip("/")
        self.url = f"{parts.scheme}://{place}/{self.root}"
        self._base = f"{'https' if parts.scheme == 'webdavs' else 'http'}://{place}"
        self._options = {
            **({"user": unquote(parts.username)} if parts.username else {}),
            **({"password": unquote(parts.password)} if parts.password else {}),
            **options,
        }
        self._asked: str | None = None

    def connect(self) -> Any:
        from webdav4.fsspec import WebdavFileSystem

        options = self._options
        verify = options.get("ssl_verify", "true")
        cert = options.get("cert_path")
        headers, auth = self._credentials()
        made = WebdavFileSystem(
            self._base,
            auth=auth,
            headers=headers,
            cert=(cert, options["key_path"]) if cert and "key_path" in options else cert,
            verify=verify.lower() == "true" if verify.lower() in ("true", "false") else verify,
            timeout=float(options.get("timeout", _TIMEOUT_S)),
            # Who moves many objects tries again at a higher level.
            retry=False,
            skip_instance_cache=True,
        )
        weakref.finalize(made, made.client.http.close)
        return made

    def rename(self, filesystem: Any, old: str, new: str) -> None:
        # One request, where fsspec's own `mv` copies and removes.
        filesystem.client.move(old, new, overwrite=True)

    def make_folder(self, filesystem: Any, path: str) -> None:
        from webdav4.client import ResourceAlreadyExists, ResourceConflict

        # From the deepest upwards: a person may well be refused a look at the folders above their own.
        try:
            filesystem.client.mkdir(path)
        except ResourceAlreadyExists:
            return
        except ResourceConflict:
            if "/" not in path:
                raise
            self.make_folder(filesystem, path.rpartition("/")[0])
            self.make_folder(filesystem, path)

    def translate(self, error: Exception, what: str) -> EverloopError | None:
        import httpx
        from webdav4 import client

        if isinstance(error, client.ResourceNotFound | client.ResourceConflict):
            return NotFoundError(f"{what} is not in {self.url}")
        if isinstance(error, client.HTTPError):
            return self._of_status(error.status_code, what)
        if isinstance(error, httpx.HTTPStatusError):
            return self._of_status(error.response.status_code, what)
        families: list[tuple[Any, type[EverloopError]]] = [
            (client.ForbiddenOperation, DeniedError),
            ((client.ResourceLocked, client.BadGatewayError, httpx.TransportError), UnavailableError),
            (client.ClientError, FailedError),
        ]
        for kinds, family in families:
            if isinstance(error, kinds):
                return family(f"{self.url}: {what}: {str(error) or type(error).__name__}")
        return of_the_system(error, self.url, what)

    def _of_status(self, status: int, what: str) -> EverloopError:
        if status in (401, 403, 407):
            return DeniedError(
                f"{self.url} refuses {what} with {status}",
                hint="set user and password: ever remote modify --local NAME password ...",
            )
        if status in (404, _CONFLICT):
            return NotFoundError(f"{what} is not in {self.url}")
        family = UnavailableError if status in _PASSING else FailedError
        return family(f"{self.url} answered {status} for {what}")

    def _credentials(self) -> tuple[dict[str, str], tuple[str, str] | None]:
        options = self._options
        if "token" in options:
            return {"Authorization": f"Bearer {options['token']}"}, None
        if "bearer_token_command" in options:
            return {"Authorization": f"Bearer {self._printed_token(options['bearer_token_command'])}"}, None
        password = options.get("password")
        if password is None and options.get("ask_password", "false").lower() == "true":
            self._asked = self._asked or ask("password", self.url)
            password = self._asked
        if "user" in options:
            return {}, (options["user"], password or "")
        if "custom_auth_header" in options:
            return {options["custom_auth_header"]: password or ""}, None
        return {}, None

    def _printed_token(self, command: str) -> str:
        try:
            done = subprocess.run(shlex.split(command), capture_output=True, check=True, timeout=60, text=True)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise DeniedError(f"the bearer_token_command of {self.url} failed: {type(error).__name__}") from error
        return done.stdout.strip()
