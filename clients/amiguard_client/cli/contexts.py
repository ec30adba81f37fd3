"""The file of contexts: servers under names of one's own.

    current_context: prod
    contexts:
      prod:
        server: amiguard.example.com:7443
        ca: /etc/ssl/amiguard-ca.pem
        token_file: /home/me/.config/amiguard/prod.token

No token stands in it, only where to find one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from msgspec import Struct, field
from msgspec.structs import asdict

from amiguard_client.cli.bad_files import BadFileError, Problems, read_text
from amiguard_client.cli.yaml_files import YamlFile, parse_yaml, write_yaml
from amiguard_client.whole_files import write_whole

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
NAME_WANTED = "1 to 63 of letters, digits, dots, _ and -, the first a letter or digit"
MAX_TOKEN_BYTES = 64 * 1024
"""Longer than any header may be: a larger file is no token but another file, given by mistake."""

_FILES = {"ca": "root_certificates", "cert": "certificate", "key": "private_key"}
"""What the file calls the certificates, and what the options do."""
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO


class Context(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A server, how to reach it, and where its token is."""

    server: str
    insecure: bool | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    token_file: str | None = None
    token_env: str | None = None

    @property
    def complaint(self) -> str | None:
        """What of it cannot be meant, if anything."""
        if not self.server.strip():
            return "got an empty server, wanted HOST:PORT"
        if self.token_file is not None and self.token_env is not None:
            return "got token_file and token_env, wanted one of them"
        if (self.cert is None) != (self.key is None):
            return "got one of cert and key, wanted both or none"
        if self.insecure and (self.ca or self.cert):
            return "got certificates with insecure, wanted one or the other"
        return None

    @property
    def token_source(self) -> str:
        """Where the token is from, for people."""
        if self.token_file is not None:
            return f"file {self.token_file}"
        if self.token_env is not None:
            return f"variable {self.token_env}"
        return ""

    def fill_in(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the options of the server with those that are not given from the context."""
        filled = dict(given)
        files = {option: getattr(self, name) for name, option in _FILES.items()}
        if given["is_insecure"] is None and not any(given[option] for option in files):
            filled["is_insecure"] = self.insecure
        if not filled["is_insecure"]:
            for option, path in files.items():
                if given[option] is None and path is not None:
                    filled[option] = Path(path).expanduser()
        if given["token"] is None:
            filled["token"] = self.read_token()
        return filled

    def read_token(self) -> str | None:
        """Returns the token, None where there is no source; raises BadFileError, UsageError."""
        if self.token_env is not None:
            token = os.environ.get(self.token_env, "").strip()
            if not token:
                raise click.UsageError(f"the token's variable {self.token_env} is not set")
            return token
        if self.token_file is None:
            return None
        return _token_in(Path(self.token_file).expanduser())


class Config(Struct, kw_only=True):
    """All contexts, and the name of the one in use."""

    current_context: str | None = None
    contexts: dict[str, Context] = field(default_factory=dict)

    def get(self, name: str | None) -> Context | None:
        """Returns a context by name, or the one in use if there is one; raises UsageError."""
        name = name if name is not None else self.current_context
        if name is None:
            return None
        if name not in self.contexts:
            known = ", ".join(self.contexts) or "none: add one with `amiguardctl context add`"
            raise click.UsageError(f"got the context {name!r}, there is {known}")
        return self.contexts[name]


class _RawConfig(Struct, kw_only=True, forbid_unknown_fields=True):
    """As a file has it. Its contexts are converted one by one, so that complaints name them."""

    current_context: str | None = None
    contexts: dict[str, Any] = field(default_factory=dict)


def config_path() -> Path:
    """Returns where the file of contexts is: AMIGUARD_CONFIG, else in the user's configuration."""
    named = os.environ.get("AMIGUARD_CONFIG")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG specification has relative paths passed over.
    folder = Path(base) if Path(base).is_absolute() else Path("~/.config").expanduser()
    return folder / "amiguard" / "config.yaml"


def load_config() -> Config:
    """Returns what the file of contexts holds, nothing where there is none; raises BadFileError."""
    path = config_path()
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise BadFileError([f"{path}: {error.strerror}"]) from error
    if stat.S_ISREG(mode) and mode & _OTHERS_MAY_WRITE:
        # Whoever can write it decides which server the tokens are sent to.
        raise BadFileError([f"{path}: others may write it, wanted: chmod 600 {path}"])
    file = parse_yaml(read_text(path), name=str(path))
    raw = file.convert("$", file.value if file.value is not None else {}, _RawConfig)
    contexts = {}
    problems = Problems()
    for name, value in raw.contexts.items():
        with problems.gathering():
            contexts[name] = file.convert(f"$.contexts.{name}", value, Context)
    problems.check()
    config = Config(current_context=raw.current_context, contexts=contexts)
    for problem in _problems(file, config):
        problems.add(problem)
    problems.check()
    return config


def save_config(config: Config) -> None:
    """Writes the file of contexts, whole or not at all, for its owner's eyes alone."""
    plain: dict[str, Any] = {}
    if config.current_context is not None:
        plain["current_context"] = config.current_context
    plain["contexts"] = {
        name: {key: value for key, value in asdict(context).items() if value is not None}
        for name, context in sorted(config.contexts.items())
    }
    # A link, as those who keep such files elsewhere have it, stays one.
    path = config_path().resolve()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, write_yaml(plain).encode())
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error


def _problems(file: YamlFile, config: Config) -> list[str]:
    problems = []
    for name, context in config.contexts.items():
        place = f"$.contexts.{name}"
        if not NAME.fullmatch(name):
            problems.append(file.problem(place, f"got this name, wanted {NAME_WANTED}"))
        if context.complaint:
            problems.append(file.problem(place, context.complaint))
    current = config.current_context
    if current is not None and current not in config.contexts:
        known = ", ".join(config.contexts) or "a context that is in the file"
        problems.append(file.problem("$.current_context", f"got {current}, wanted {known}"))
    return problems


def _token_in(path: Path) -> str:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise BadFileError([f"{path}: {error.strerror}, wanted the token's file"]) from error
    # As OpenSSH has it: what belongs to somebody else, such as a mounted secret, is theirs to keep.
    is_own = hasattr(os, "getuid") and status.st_uid == os.getuid()
    if is_own and stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS_MAY_READ:
        raise BadFileError([f"{path}: others may read the token, wanted: chmod 600 {path}"])
    token = content.decode("ascii", errors="replace").strip()
    if len(content) > MAX_TOKEN_BYTES or not token or not (token.isascii() and token.isprintable()):
        raise BadFileError([f"{path}: got no token, wanted one line of it"])
    return token
