"""How a Hadoop file system is reached: `hdfs://` through pyarrow and libhdfs, `webhdfs://` over HTTP; DVC's options.

No Hadoop runs in the tests, so this file is tried only as far as its arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from everloop.errors import EverloopError, NotInstalledError, UnavailableError
from everloop.storage.filesystem import of_the_system
from everloop.storage.serveroptions import ServerOptions

_WEB_PORT = 50070


class Hadoop:
    """See `Kind`.

    Args:
        url: `hdfs://user@host:port/path` or `webhdfs://user@host:port/path`.
        options: `user`, `kerb_ticket`; of webhdfs `user`, `password`, `token`, `kerberos`, `kerberos_principal`,
            `proxy_to`, `data_proxy_target`, `use_https`, `ssl_verify`.

    Raises:
        InvalidError: The URL names no host.
        NotInstalledError: What reaches it is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self._options = ServerOptions(url, options)
        self._scheme = self._options.scheme
        self._host, self._port = self._options.host, self._options.port
        self.root = self._options.path.rstrip("/")
        self.url = f"{self._scheme}://{self._options.place}{self.root}"
        try:
            self._import()
        except ImportError as error:
            raise NotInstalledError(
                f"{self._scheme}:// needs {error.name}, which is not installed",
                hint=f"pip install 'everloop[{self._scheme}]'",
            ) from error

    def connect(self) -> Any:
        options = self._options
        made = self._import()
        if self._scheme == "hdfs":
            return made(
                host=self._host,
                port=self._port or 0,
                user=options.get("user"),
                kerb_ticket=options.get("kerb_ticket"),
                skip_instance_cache=True,
            )
        principal, target = options.get("kerberos_principal"), options.get("data_proxy_target")
        return made(
            host=self._host,
            port=self._port or _WEB_PORT,
            user=options.get("user"),
            password=options.get("password"),
            token=options.get("token"),
            kerberos=options.is_on("kerberos"),
            kerb_kwargs=None if principal is None else {"principal": principal},
            proxy_to=options.get("proxy_to"),
            data_proxy=None if target is None else {self._host: target},
            use_https=options.is_on("use_https"),
            session_verify=options.verifies(),
            skip_instance_cache=True,
        )

    def rename(self, filesystem: Any, old: str, new: str) -> None:
        # Hadoop renames nothing over a file. Objects of one name are equal, so the moment without one harms little.
        with suppress(FileNotFoundError):
            filesystem.rm_file(new)
        self.make_folder(filesystem, os.path.dirname(new))  # noqa: PTH120  a path of another machine
        filesystem.mv(old, new)

    def make_folder(self, filesystem: Any, path: str) -> None:
        filesystem.makedirs(path, exist_ok=True)

    def translate(self, error: Exception, what: str) -> EverloopError | None:
        # requests' errors are OSErrors, too.
        known = of_the_system(error, self.url, what)
        if known is None and isinstance(error, RuntimeError):
            return UnavailableError(f"{self.url}: {what}: {error}")
        return known

    def _import(self) -> Any:
        if self._scheme == "hdfs":
            import pyarrow  # noqa: F401
            from fsspec.implementations.arrow import HadoopFileSystem

            return HadoopFileSystem
        from fsspec.implementations.webhdfs import WebHDFS

        return WebHDFS
