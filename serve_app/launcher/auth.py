"""The token that Ray's dashboard, REST and RPC interfaces require: made, found and read."""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

MODE = "RAY_AUTH_MODE"
TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - the same


class TokenFileError(Exception):
    """The user's token is not the user's alone; the message is one line for the user."""


def users_token_path() -> Path:
    """The file in which Ray keeps a user's token."""
    return Path.home() / ".ray" / "auth_token"


def require_private_token(given: Mapping[str, str]) -> None:
    """Raise `TokenFileError` where others may know or change the token of `token_environment`.

    Whoever has it can run code in the cluster. Ray itself does not look at the file's mode.
    """
    path = users_token_path()
    if any(name in given for name in (MODE, TOKEN, TOKEN_PATH)) or not path.exists():
        return
    found = path.stat()
    if found.st_uid != os.getuid():
        raise TokenFileError(f"{path}, the token of Ray, belongs to another user")
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise TokenFileError(
            f"{path}, the token of Ray, is open to others (mode {mode:04o}): chmod 600 {path}"
        )


def token_environment(given: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Variables that turn tokens on: the user's own token if there is one, else a new one.

    Empty when the environment already decides about tokens.
    """
    if any(name in given for name in (MODE, TOKEN, TOKEN_PATH)):
        return {}
    path = users_token_path()
    if not path.exists():
        path = directory / "token"
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(secrets.token_hex(32), encoding="utf-8")
    return {MODE: "token", TOKEN_PATH: str(path)}


def read_token(environment: Mapping[str, str]) -> str | None:
    """The token that a client in this environment sends, looked up in Ray's own order."""
    if environment.get(MODE, "token").lower() != "token":
        return None
    if token := environment.get(TOKEN):
        return token
    path = Path(environment.get(TOKEN_PATH) or users_token_path())
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None
