"""How a file server is reached over SSH (SFTP), with DVC's options. The only file that uses sshfs and asyncssh.

As with DVC `~/.ssh/config`, its keys and the agent count. A host that `~/.ssh/known_hosts` knows must have the key that
stands there; DVC does not look.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from everloop.storage.serveroptions import ServerOptions

_CONNECT_S = 30.0
# A server that is silent for a minute is gone.
_ALIVE_S = 15
_ALIVE_COUNT = 4
# The quick ones first, as DVC asks for them; compression is slower than most networks.
_CIPHERS = ["aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr"]


class Ssh:
    """See `Kind`.

    Args:
        url: `ssh://user@host:port/absolute/path`.
        options: `user`, `port`, `keyfile`, `passphrase`, `password`, `ask_password`, `ask_passphrase`, `timeout`,
            `gss_auth`, `allow_agent`, `max_sessions`.

    Raises:
        InvalidError: The URL names no host.
        NotInstalledError: sshfs is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self._options = ServerOptions(url, options)
        try:
            import sshfs  # noqa: F401
        except ImportError as error:
            raise NotInstalledError(
                "ssh:// needs sshfs, which is not installed", hint="pip install 'everloop[ssh]'"
            ) from error
        # As it stands: DVC takes no %20 for a blank here.
        self.root = self._options.path.rstrip("/")
        self.url = f"ssh://{self._options.place}{self.root}"
        self._host = self._options.host

    def connect(self) -> Any:
        from sshfs import SSHFileSystem

        # Instances are not shared: after a lost connection there must be a new one.
        return SSHFileSystem(self._host, skip_instance_cache=True, **self._login())

    def rename(self, filesystem: Any, old: str, new: str) -> None:
        filesystem.mv(old, new)

    def make_folder(self, filesystem: Any, path: str) -> None:
        filesystem.makedirs(path, exist_ok=True)

    def translate(self, error: Exception, what: str) -> EverloopError | None:
        import asyncssh

        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return DeniedError(
                f"{self.url} has another key than ~/.ssh/known_hosts says",
                hint=f"if that is right, forget the old one: ssh-keygen -R {self._host}",
            )
        if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
            return NotFoundError(f"{what} is not in {self.url}")
        family = next((family for kinds, family in _families() if isinstance(error, kinds)), None)
        if family is DeniedError:
            return DeniedError(
                f"{self.url} refuses {what}: {error}",
                hint="look at the rights of the folder there, and at user, keyfile and passphrase here",
            )
        if family is not None:
            return family(f"{self.url}: {what}: {error}")
        return of_the_system(error, self.url, what)

    def _login(self) -> dict[str, Any]:
        """The arguments of `asyncssh.connect`."""
        options = self._options
        port = int(options.get("port") or 22)
        timeout_s = options.seconds("timeout", _CONNECT_S)
        login: dict[str, Any] = {
            "timeout": timeout_s,
            "connect_timeout": timeout_s,
            "keepalive_interval": _ALIVE_S,
            "keepalive_count_max": _ALIVE_COUNT,
            "encryption_algs": _CIPHERS,
            "compression_algs": None,
            "gss_auth": options.is_on("gss_auth"),
            "known_hosts": _known_hosts(self._host, port),
        }
        methods = []
        if (user := options.get("user")) is not None:
            login["username"] = user
        if options.get("port") is not None:
            login["port"] = port
        if (keyfile := options.get("keyfile")) is not None:
            login["client_keys"] = [str(Path(keyfile).expanduser())]
            methods.append("publickey")
        if (passphrase := options.secret("passphrase", self.url)) is not None:
            login["passphrase"] = passphrase
            methods = ["publickey"]
        if (password := options.secret("password", self.url)) is not None:
            login["password"] = password
            methods += ["keyboard-interactive", "password"]
        if methods:
            # Else the server sees keys first that have nothing to do with it, and may have enough of them.
            login["preferred_auth"] = methods
        if not options.is_on("allow_agent", otherwise=True):
            login["agent_path"] = None
        if (most := options.get("max_sessions")) is not None:
            login["max_sessions"] = max(int(most), 3)
        return login


def _families() -> list[tuple[Any, type[EverloopError]]]:
    """What asyncssh's errors mean, the narrow ones first."""
    import asyncssh

    return [
        ((asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect, asyncssh.PermissionDenied), DeniedError),
        ((asyncssh.KeyImportError, asyncssh.KeyEncryptionError), DeniedError),
        (asyncssh.SFTPOpUnsupported, InvalidError),
        ((asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost), UnavailableError),
        (asyncssh.SFTPError, FailedError),
        (asyncssh.Error, UnavailableError),
    ]


def _known_hosts(host: str, port: int) -> Any:
    """The file to check the host's key by; None when it does not know the host, which any key may have then."""
    import asyncssh

    path = Path("~/.ssh/known_hosts").expanduser()
    try:
        found = asyncssh.read_known_hosts(str(path)).match(host, "", port)
    except (OSError, ValueError):
        return None
    return str(path) if any(found) else None
