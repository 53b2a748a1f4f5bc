"""The credentials that a person has for Amazon's services: profiles in `~/.aws`, as the AWS tools keep them.

Source: AWS CLI User Guide, "Configuration and credential file settings". What machines have (environment, container,
instance, web identity) the object store library finds by itself.
"""

from __future__ import annotations

import configparser
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from everloop.errors import DeniedError, InvalidError, NotFoundError

_ELSEWHERE = ("sso_session", "sso_start_url", "role_arn")


class _Process(msgspec.Struct, frozen=True, rename="pascal"):
    """What a `credential_process` prints."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def profile_settings(options: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The keys and the region of the profile that is meant, by the names of the options; empty when there is none.

    Args:
        options: `profile`, `credentialpath` and `configpath` of a remote.
        environment: `AWS_PROFILE`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`, `AWS_ACCESS_KEY_ID`, `HOME`.

    Raises:
        NotFoundError: A profile was named and there is none of that name.
        InvalidError: A file is malformed, or the profile gets its keys in a way that is not supported.
        DeniedError: The profile's `credential_process` failed.
    """
    named = options.get("profile")
    if named is None and environment.get("AWS_ACCESS_KEY_ID"):
        return {}
    name = named or environment.get("AWS_PROFILE") or "default"
    home = Path(environment.get("HOME", "/")) / ".aws"
    keys = _section(
        options.get("credentialpath") or environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials", name
    )
    config_name = name if name == "default" else f"profile {name}"
    config = _section(options.get("configpath") or environment.get("AWS_CONFIG_FILE") or home / "config", config_name)
    found = {**config, **keys}
    if not found:
        if named or environment.get("AWS_PROFILE"):
            raise NotFoundError(f"there is no AWS profile {name!r} in {home}", hint=f"aws configure --profile {name}")
        return {}
    settings = {"region": found["region"]} if "region" in found else {}
    if "aws_access_key_id" in found and "aws_secret_access_key" in found:
        settings |= {
            "access_key_id": found["aws_access_key_id"],
            "secret_access_key": found["aws_secret_access_key"],
        }
        if "aws_session_token" in found:
            settings["session_token"] = found["aws_session_token"]
    elif "credential_process" in found:
        settings |= _from_process(name, found["credential_process"])
    elif any(key in found for key in _ELSEWHERE):
        raise InvalidError(
            f"the AWS profile {name!r} signs in elsewhere (SSO or a role), which is not supported here",
            hint=f'hand its keys over: eval "$(aws configure export-credentials --profile {name} --format env)"',
        )
    return settings


def _section(path: str | Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        parser.read(Path(path).expanduser(), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} is not an AWS configuration: {error}") from error
    return dict(parser.items(name)) if parser.has_section(name) else {}


def _from_process(name: str, command: str) -> dict[str, str]:
    try:
        done = subprocess.run(shlex.split(command), capture_output=True, check=True, timeout=60)
        printed = msgspec.json.decode(done.stdout, type=_Process)
    except (OSError, ValueError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise DeniedError(
            f"the credential_process of the AWS profile {name!r} failed: {type(error).__name__}"
        ) from error
    settings = {"access_key_id": printed.access_key_id, "secret_access_key": printed.secret_access_key}
    return settings | ({"session_token": printed.session_token} if printed.session_token else {})
