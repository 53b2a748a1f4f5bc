"""The options of DVC's configuration: which there are, what values they take, which hold paths and which secrets.

Source: dvc 3.67, `config_schema.py`. DVC refuses to run at all in a workspace whose configuration has an option that it
does not know, so none is written. What is read and not known stays in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from everloop.errors import InvalidError
from everloop.plaintext import nearest

SECRETS = frozenset({
    "access_key_id", "account_key", "bearer_token_command", "client_secret", "connection_string", "custom_auth_header",
    "gdrive_client_secret", "oss_key_id", "oss_key_secret", "passphrase", "password", "sas_token", "secret_access_key",
    "session_token", "sse_customer_key", "token",
})  # fmt: skip
STARS = "********"

_BOOL = "true or false"
_COUNT = "a whole number of 1 or more"
_NUMBER = "a number of 0 or more"
_TEXT = "text"
_LINKS = "a list of reflink, hardlink, symlink, copy"

_LINKING = {"type": _LINKS, "protected": _BOOL, "shared": "group", "slow_link_warning": _BOOL, "verify": _BOOL}
_EVERY_REMOTE = {
    "url": _TEXT, "checksum_jobs": _COUNT, "jobs": _COUNT, "worktree": _BOOL, "no_traverse": _BOOL,
    "version_aware": _BOOL,
}  # fmt: skip
_HTTP = {
    "auth": "basic, digest or custom", "custom_auth_header": _TEXT, "user": _TEXT, "password": _TEXT,
    "ask_password": _BOOL, "ssl_verify": _TEXT, "method": _TEXT, "connect_timeout": _NUMBER, "read_timeout": _NUMBER,
    "verify": _BOOL,
}  # fmt: skip
_WEBDAV = {
    "user": _TEXT, "password": _TEXT, "ask_password": _BOOL, "token": _TEXT, "bearer_token_command": _TEXT,
    "custom_auth_header": _TEXT, "cert_path": _TEXT, "key_path": _TEXT, "timeout": _NUMBER, "ssl_verify": _TEXT,
    "verify": _BOOL,
}  # fmt: skip
_REMOTES: dict[str, dict[str, str]] = {
    "": _LINKING,
    "s3": {
        **dict.fromkeys(
            ("region", "profile", "credentialpath", "configpath", "endpointurl", "access_key_id", "secret_access_key",
             "session_token", "ssl_verify", "sse", "sse_kms_key_id", "sse_customer_algorithm", "sse_customer_key",
             "acl", "grant_read", "grant_read_acp", "grant_write_acp", "grant_full_control"), _TEXT),
        **dict.fromkeys(("listobjects", "use_ssl", "allow_anonymous_login", "verify"), _BOOL),
        **dict.fromkeys(("read_timeout", "connect_timeout"), _NUMBER),
    },
    "gs": {
        "projectname": _TEXT, "credentialpath": _TEXT, "endpointurl": _TEXT, "verify": _BOOL,
        "allow_anonymous_login": _BOOL,
    },
    "ssh": {
        "type": _LINKS, "port": _COUNT, "user": _TEXT, "password": _TEXT, "ask_password": _BOOL, "passphrase": _TEXT,
        "ask_passphrase": _BOOL, "keyfile": _TEXT, "timeout": _NUMBER, "gss_auth": _BOOL, "allow_agent": _BOOL,
        "max_sessions": _COUNT, "verify": _BOOL,
    },
    "hdfs": {"user": _TEXT, "kerb_ticket": _TEXT},
    "webhdfs": {
        "kerberos": _BOOL, "kerberos_principal": _TEXT, "proxy_to": _TEXT, "ssl_verify": _TEXT, "token": _TEXT,
        "use_https": _BOOL, "user": _TEXT, "password": _TEXT, "data_proxy_target": _TEXT, "verify": _BOOL,
    },
    "azure": {
        **dict.fromkeys(
            ("connection_string", "sas_token", "account_name", "account_key", "tenant_id", "client_id",
             "client_secret"), _TEXT),
        **dict.fromkeys(
            ("allow_anonymous_login", "exclude_environment_credential", "exclude_visual_studio_code_credential",
             "exclude_shared_token_cache_credential", "exclude_managed_identity_credential", "verify"), _BOOL),
        **dict.fromkeys(("timeout", "read_timeout", "connection_timeout"), _NUMBER),
    },
    "oss": {"oss_key_id": _TEXT, "oss_key_secret": _TEXT, "oss_endpoint": _TEXT, "verify": _BOOL},
    "gdrive": {
        **dict.fromkeys(
            ("profile", "gdrive_client_id", "gdrive_client_secret", "gdrive_user_credentials_file",
             "gdrive_service_account_user_email", "gdrive_service_account_json_file_path"), _TEXT),
        **dict.fromkeys(
            ("gdrive_use_service_account", "gdrive_trash_only", "gdrive_acknowledge_abuse", "verify"), _BOOL),
    },
    "http": _HTTP, "https": _HTTP, "webdav": _WEBDAV, "webdavs": _WEBDAV,
}  # fmt: skip
_SECTIONS: dict[str, dict[str, str]] = {
    "core": {
        "remote": _TEXT, "checksum_jobs": _COUNT, "site_cache_dir": _TEXT, "machine": _TEXT,
        **dict.fromkeys(
            ("interactive", "analytics", "hardlink_lock", "no_scm", "autostage", "experiments", "check_update"), _BOOL),
    },
    "cache": {
        **dict.fromkeys(("dir", "local", "s3", "gs", "hdfs", "webhdfs", "ssh", "azure"), _TEXT),
        **_LINKING,
    },
    "state": {"dir": _TEXT, "row_limit": _COUNT, "row_cleanup_quota": _NUMBER},
    "index": {"dir": _TEXT},
    "plots": {"html_template": _TEXT, "auto_open": _BOOL, "out_dir": _TEXT},
    "exp": {
        "auto_push": _BOOL, "git_remote": _TEXT,
        **dict.fromkeys(("code", "data", "models", "metrics", "params", "plots", "live"), _TEXT),
    },
    "parsing": {"bool": "store_true or boolean_optional", "list": "nargs or append"},
    "hydra": {
        "enabled": _BOOL, **dict.fromkeys(("config_dir", "config_module", "config_name", "plugins_path"), _TEXT)
    },
    "studio": {"token": _TEXT, "url": _TEXT, "repo_url": _TEXT, "offline": _BOOL},
}  # fmt: skip
_DATABASE = {"url": _TEXT, "username": _TEXT, "password": _TEXT}
_REMOTE_PATHS = {
    "url", "credentialpath", "configpath", "keyfile", "cert_path", "key_path", "gdrive_user_credentials_file",
    "gdrive_service_account_json_file_path",
}  # fmt: skip


def shown(option: str, value: str) -> str:
    """The value of an option as people may see it: stars for a secret, and for a password in a URL."""
    return STARS if option in SECRETS else re.sub(r"(://[^/:@]*:)[^/@]+@", rf"\1{STARS}@", value)


def is_path(section: str, option: str) -> bool:
    """Whether a relative value is meant from the folder of the file that holds it."""
    return (section, option) == ("cache", "dir") or (section.startswith("remote.") and option in _REMOTE_PATHS)


def scheme_of(url: str) -> str:
    """The kind of a remote's URL: `s3`, `https`, ...; "" for a path."""
    parts = urlsplit(url)
    return parts.scheme if parts.netloc else ""


def check(section: str, option: str, value: str, url: str | None) -> None:
    """Refuse what DVC would refuse.

    Args:
        section: As `core` or `remote.name`.
        option: Its name.
        value: What it is to become.
        url: Of the remote that the section describes, when it is one and has one.

    Raises:
        InvalidError: There is no such section or option, or the value is not of its kind; suggests the near name.
    """
    known = _known(section, url)
    if option not in known:
        place = f"of a remote at {url}" if section.startswith("remote.") and url else f"in section {section!r}"
        raise InvalidError(f"there is no option {option!r} {place}{_near(option, known)}")
    kind = known[option]
    if not _fits(kind, value):
        shown = STARS if option in SECRETS else repr(value)
        raise InvalidError(f"{section}.{option} must be {kind}, found {shown}")


def _known(section: str, url: str | None) -> dict[str, str]:
    kind = section.partition(".")[0]
    if kind == "remote" and section != kind:
        scheme = scheme_of(url or "")
        if url is None or scheme == "remote":
            return {option: kind for table in (*_REMOTES.values(), _EVERY_REMOTE) for option, kind in table.items()}
        if scheme not in _REMOTES:
            raise InvalidError(f"{url}: there are no remotes of the kind {scheme}://{_near(scheme, _REMOTES)}")
        return {**_REMOTES[scheme], **_EVERY_REMOTE}
    if kind == "db" and section != kind:
        return _DATABASE
    if section not in _SECTIONS:
        raise InvalidError(f"there is no section {section!r}{_near(section, [*_SECTIONS, 'remote.NAME', 'db.NAME'])}")
    return _SECTIONS[section]


def _fits(kind: str, value: str) -> bool:
    if kind == _BOOL:
        return value.lower() in ("true", "false")
    if kind == _COUNT:
        return re.fullmatch(r"\s*\+?0*[1-9]\d*\s*", value) is not None
    if kind == _NUMBER:
        return re.fullmatch(r"\s*\+?\d+(\.\d*)?\s*", value) is not None
    if kind == _LINKS:
        return {part.strip() for part in value.split(",")} <= {"reflink", "hardlink", "symlink", "copy"}
    return kind == _TEXT or value.lower() in re.findall(r"\w+", kind.replace(" or ", " "))


def _near(name: str, known: Iterable[str]) -> str:
    close = nearest(name, known)
    return f"; do you mean {close!r}?" if close else ""
