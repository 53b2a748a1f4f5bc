"""Real file servers for tests, each in a process of its own on a free loopback port: SFTP over SSH, and WebDAV.

Run as a script it is such a server: `python fileservers.py ssh FOLDER` or `webdav FOLDER`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "ada", "secret"


class FileServer:
    """A running server. What it shows lies in `folder`."""

    def __init__(self, kind: str, port: int, folder: Path, process: subprocess.Popen[str]) -> None:
        self.kind = kind
        self.port = port
        self.folder = folder
        self.process = process

    @property
    def url(self) -> str:
        """Of all that it shows, for a remote."""
        return f"{self.kind}://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, str]:
        """What a remote on it needs."""
        return {"user": USER, "password": PASSWORD}


@contextmanager
def file_server(kind: str, folder: Path, port: int = 0) -> Iterator[FileServer]:
    """Start a server of the kind `ssh` or `webdav`, and end it with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, __file__, kind, str(folder), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield FileServer(kind, int(process.stdout.readline()), folder, process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def tell(port: int) -> None:
    """Say that the server listens, and where."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


async def serve_ssh(folder: str, port: int) -> None:
    """Serve SFTP until killed; the folder is the root."""
    import asyncssh

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    class Folder(asyncssh.SFTPServer):
        def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
            super().__init__(channel, chroot=folder.encode())

    key = asyncssh.generate_private_key("ssh-ed25519")
    authorized = Path(folder).parent / "authorized_keys"
    server = await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=Server,
        server_host_keys=[key],
        sftp_factory=Folder,
        authorized_client_keys=str(authorized) if authorized.exists() else None,
    )
    tell(server.get_port())
    await server.wait_closed()


def serve_webdav(folder: str, port: int) -> None:
    """Serve WebDAV until killed."""
    from cheroot import wsgi
    from wsgidav.wsgidav_app import WsgiDAVApp

    users = {USER: {"password": PASSWORD}}
    app = WsgiDAVApp({
        "provider_mapping": {"/": folder},
        "simple_dc": {"user_mapping": {"*": users}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 0,
        "logging": {"enable": False},
    })  # fmt: skip
    server = wsgi.Server(("127.0.0.1", port), app, numthreads=16)
    # So that a second one can take the place of a first that was killed.
    server.reuse_port = port != 0
    server.prepare()
    tell(server.bind_addr[1])
    server.serve()


if __name__ == "__main__":
    if sys.argv[1] == "ssh":
        asyncio.run(serve_ssh(sys.argv[2], int(sys.argv[3])))
    else:
        serve_webdav(sys.argv[2], int(sys.argv[3]))
