"""What a URL and DVC's options say of a file server, and of who logs in there.

Leaves what each kind of server makes of it to the kinds.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from everloop.errors import DeniedError, InvalidError


class ServerOptions:
    """The options by their names, those of the URL among them; what is written as an option counts more.

    Args:
        url: `scheme://user:password@host:port/path`.
        options: By DVC's names for them.

    Attributes:
        scheme: Of the URL.
        host: Of the URL.
        port: Of the URL; None when it names none.
        path: Of the URL, as it stands there.
        place: `host:port`, for messages.

    Raises:
        InvalidError: The URL names no host.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise InvalidError(f"{parts.scheme}://: the URL names no host")
        self.scheme = parts.scheme
        self.host = parts.hostname
        self.port = parts.port
        self.path = parts.path
        self.place = parts.hostname + (f":{parts.port}" if parts.port else "")
        said = {
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "port": str(parts.port or ""),
        }
        self._options = {**{name: value for name, value in said.items() if value}, **options}
        self._asked: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        """An option; None when nobody says it."""
        return self._options.get(name)

    def is_on(self, name: str, *, otherwise: bool = False) -> bool:
        """An option that is true or false."""
        value = self._options.get(name)
        return otherwise if value is None else value.lower() == "true"

    def seconds(self, name: str, otherwise: float) -> float:
        """An option that is a number of seconds."""
        return float(self._options.get(name, otherwise))

    def verifies(self) -> bool | str:
        """`ssl_verify`: whether to check the server's certificate, or a file of those to check it by."""
        value = self._options.get("ssl_verify", "true")
        return value.lower() == "true" if value.lower() in ("true", "false") else value

    def secret(self, name: str, url: str) -> str | None:
        """A secret: as it is written, or as a person gives it, once, where `ask_NAME` says so; None when neither.

        Args:
            name: `password` or `passphrase`.
            url: What to call the server.

        Raises:
            DeniedError: Nobody is there to answer.
        """
        if name in self._options:
            return self._options[name]
        if not self.is_on(f"ask_{name}"):
            return None
        if name not in self._asked:
            self._asked[name] = _ask(name, url)
        return self._asked[name]


def _ask(name: str, url: str) -> str:
    if not sys.stdin.isatty():
        raise DeniedError(
            f"{url} wants a {name} that has to be asked for, and nobody is there to answer",
            hint=f"store it for this machine only: ever remote modify --local NAME {name} ...",
        )
    return getpass.getpass(f"{name} for {url}: ")
