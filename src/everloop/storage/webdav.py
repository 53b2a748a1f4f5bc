"""How a file server is reached over WebDAV, with DVC's options. The only file that uses webdav4."""

from __future__ import annotations

import shlex
import subprocess
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from everloop.errors import (
    DeniedError,
    EverloopError,
    FailedError,
    NotFoundError,
    NotInstalledError,
    UnavailableError,
)
from everloop.storage.filesystem import of_the_system
from everloop.storage.serveroptions import ServerOptions

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
        self._options = ServerOptions(url, options)
        scheme, place = self._options.scheme, self._options.place
        try:
            import webdav4.fsspec  # noqa: F401
        except ImportError as error:
            raise NotInstalledError(
                f"{scheme}:// needs webdav4, which is not installed", hint="pip install 'everloop[webdav]'"
            ) from error
        self.root = unquote(self._options.path).strip("/")
        self.url = f"{scheme}://{place}/{self.root}"
        self._base = f"{'https' if scheme == 'webdavs' else 'http'}://{place}"

    def connect(self) -> Any:
        from webdav4.fsspec import WebdavFileSystem

        options = self._options
        cert, key = options.get("cert_path"), options.get("key_path")
        headers, auth = self._credentials()
        made = WebdavFileSystem(
            self._base,
            auth=auth,
            headers=headers,
            cert=(cert, key) if cert and key else cert,
            verify=options.verifies(),
            timeout=options.seconds("timeout", _TIMEOUT_S),
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
        if (token := options.get("token")) is not None:
            return {"Authorization": f"Bearer {token}"}, None
        if (command := options.get("bearer_token_command")) is not None:
            return {"Authorization": f"Bearer {self._printed_token(command)}"}, None
        password = options.secret("password", self.url)
        if (user := options.get("user")) is not None:
            return {}, (user, password or "")
        if (header := options.get("custom_auth_header")) is not None:
            return {header: password or ""}, None
        return {}, None

    def _printed_token(self, command: str) -> str:
        try:
            done = subprocess.run(shlex.split(command), capture_output=True, check=True, timeout=60, text=True)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise DeniedError(f"the bearer_token_command of {self.url} failed: {type(error).__name__}") from error
        return done.stdout.strip()
