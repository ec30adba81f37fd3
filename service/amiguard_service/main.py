"""The command `amiguard-server`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import structlog

from amiguard_migrations import SchemaError, current, head, upgrade
from amiguard_service import allocator, descriptors, logs
from amiguard_service.config import (
    CONFIG_VARIABLE,
    PREFIX,
    ConfigError,
    Effective,
    check_database,
    load,
)
from amiguard_service.engine import Engine
from amiguard_service.retention import Retention, SweepLimits
from amiguard_service.senders import make_sinks
from amiguard_service.server import Capacity, Listener, ListenError, Server
from amiguard_service.settings import SETTINGS, Address, Settings, hide_password
from amiguard_service.sinks import Sink
from amiguard_service.store.engines import Database, naming_the_unavailable
from amiguard_service.store.errors import StoreError, StoreReplacedError
from amiguard_service.tls import Certificates, make_certificates, read_security

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_SCHEMA: Final = 3
EXIT_REPLACED: Final = 4

_OVERTIME_SECONDS: Final = 1
"""What a stop gets beyond the grace period before nobody waits for the database any more."""
_LAST_SECONDS: Final = 6
"""What it gets then: a connection that is being made gives up after five seconds."""

_EPILOG: Final = f"""\
Each setting can be given in a TOML file under its name with underscores, in the environment as
{PREFIX} and its name in capitals, and as a flag; the later ones win.
Exit codes: 0 done, 1 failed, 2 a wrong setting or argument, 3 a database with another schema,
4 a SQLite file that was removed or replaced while the server ran.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        effective = _load(chosen)
        logs.configure(level=effective.settings.log_level, style=effective.settings.log_format)
        run = {"serve": _serve, "migrate": _migrate, "config": _show}[chosen.command]
        run(effective)
    except ConfigError as error:
        return _fail(str(error), EXIT_USAGE)
    except SchemaError as error:
        return _fail(str(error), EXIT_SCHEMA)
    except StoreReplacedError as error:
        code = _fail(str(error), EXIT_REPLACED)
        sys.stderr.flush()
        # At an end in order SQLite would delete, by its name, the log of what stands there now.
        os._exit(code)
    except (ListenError, StoreError) as error:
        return _fail(str(error), EXIT_FAILURE)
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="amiguard-server",
        description="Finds AMI name confusion in the CloudTrail records it is sent.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=version("amiguard"))
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about, names in (
        ("serve", "serve until a signal stops it", [setting.name for setting in SETTINGS]),
        ("migrate", "bring the database to this program's schema", ["database", *_LOGGING]),
        ("config", "show the settings in force", [setting.name for setting in SETTINGS]),
    ):
        command = commands.add_parser(
            name, help=about, description=f"{about.capitalize()}.", allow_abbrev=False
        )
        command.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
        _add_settings(command, names)
    return parser


_LOGGING: Final = ("log_level", "log_format")


def _add_settings(command: ArgumentParser, names: Sequence[str]) -> None:
    for setting in SETTINGS:
        if setting.name not in names:
            continue
        flag = f"--{setting.name.replace('_', '-')}"
        if isinstance(setting.default, bool):
            command.add_argument(
                flag, action=BooleanOptionalAction, default=None, help=setting.help
            )
            continue
        default = "" if setting.default is None else f" (default: {setting.show(setting.default)})"
        command.add_argument(flag, metavar="VALUE", help=setting.help + default)


def _load(chosen: Namespace) -> Effective:
    given = {
        setting.name: value
        for setting in SETTINGS
        if (value := getattr(chosen, setting.name, None)) is not None
    }
    variable = os.environ.get(CONFIG_VARIABLE)
    file = chosen.config or (Path(variable) if variable else None)
    return load(given, os.environ, file=file)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"amiguard-server: {message}\n")
    return code


def _show(effective: Effective) -> None:
    sys.stdout.write(effective.as_toml())


def _migrate(effective: Effective) -> None:
    database = Database(effective.settings.database)
    try:
        with naming_the_unavailable():
            before = current(database.engine)
            upgrade(database.engine)
    finally:
        database.close()
    was = "was empty" if before is None else f"was at {before}"
    sys.stdout.write(f"the database is at schema {head()}, it {was}\n")


def _serve(effective: Effective) -> None:
    check_database(effective)
    security = read_security(effective)
    certificates = make_certificates(effective, security)
    listener = Listener(
        effective.settings.listen,
        security.authenticator,
        credentials=None if certificates is None else certificates.credentials,
    )
    sinks = make_sinks(effective, os.environ)
    allocator.tune()
    descriptors.raise_limit()
    # What the server writes has every ARN and address in it, and the key of page tokens.
    os.umask(0o077)
    settings = effective.settings
    engine = Engine.open(settings.database_url, pool_size=settings.database_connections)
    try:
        asyncio.run(_serve_until_signalled(engine, listener, sinks, effective, certificates))
    finally:
        engine.close()


async def _serve_until_signalled(
    engine: Engine,
    listener: Listener,
    sinks: Sequence[Sink],
    effective: Effective,
    certificates: Certificates | None,
) -> None:
    settings = effective.settings
    stop = _catch_signals()
    asked_to_reload = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked_to_reload.set)
    server = Server(
        engine,
        listener,
        capacity=Capacity(
            limits=settings.limits,
            unpack_worker_count=settings.unpack_workers,
            reader_count=settings.database_connections,
            sweep_limits=SweepLimits(
                retention=Retention(
                    waiting=settings.retention_waiting,
                    rejected=settings.retention_rejected,
                    changes=settings.retention_changes,
                    findings=settings.retention_findings,
                    coverage=settings.retention_coverage,
                )
            ),
        ),
        sinks=sinks,
    )
    address = await server.start()
    allocator.tune_collector()
    log = structlog.get_logger()
    try:
        if settings.ready_file is not None:
            _write_ready_file(settings.ready_file, address)
        log.info(
            logs.SERVER_LISTENING,
            address=str(address),
            database=_shown_database(settings),
            insecure=settings.insecure,
            version=version("amiguard"),
        )
        reloading = asyncio.create_task(
            _reload_when_asked(asked_to_reload, server, effective, certificates)
        )
        replaced = asyncio.create_task(server.wait_for_replacement())
        ends: tuple[asyncio.Future[Any], ...] = (stop, replaced)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        reloading.cancel()
        signal_name = stop.result() if stop.done() else None
        log.info(logs.SERVER_DRAINING, signal=signal_name, grace_seconds=settings.grace_seconds)
        _limit_stop(engine, settings.grace_seconds)
        await server.stop(settings.grace_seconds)
        if replaced.done():
            raise replaced.result()
        replaced.cancel()
    finally:
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)
    log.info(logs.SERVER_STOPPED)


def _shown_database(settings: Settings) -> str:
    if settings.ephemeral:
        return "in memory, lost at the end"
    return hide_password(settings.database)


def _catch_signals() -> asyncio.Future[str]:
    """Returns the future of the first signal that asks to stop; the second one ends the process."""
    loop = asyncio.get_running_loop()
    received: asyncio.Future[str] = loop.create_future()
    asked_to_stop = (signal.SIGTERM, signal.SIGINT)

    def receive(number: signal.Signals) -> None:
        received.set_result(number.name)
        for other in asked_to_stop:
            loop.remove_signal_handler(other)
            signal.signal(other, signal.SIG_DFL)

    for number in asked_to_stop:
        loop.add_signal_handler(number, receive, number)
    return received


async def _reload_when_asked(
    asked: asyncio.Event, server: Server, effective: Effective, certificates: Certificates | None
) -> None:
    """Reads the files of tokens, certificates and sinks again at each SIGHUP.

    Files that cannot be used change nothing. Cancelled at the start of a drain: signals after that
    are passed over.
    """
    log = structlog.get_logger()
    while True:
        await asked.wait()
        asked.clear()
        try:
            ended_count = await _reload(server, effective, certificates)
        except (ConfigError, StoreError) as error:
            # The trace would tell an operator nothing.
            log.error(logs.CONFIG_RELOAD_FAILED, reason=str(error))  # noqa: TRY400
        except Exception as error:
            log.error(logs.TASK_FAILED, task="reload", exc_info=error)  # noqa: TRY400
        else:
            log.info(logs.CONFIG_RELOADED, ended_call_count=ended_count)


async def _reload(server: Server, effective: Effective, certificates: Certificates | None) -> int:
    """Puts what the files say now in force; returns how many calls were ended for it."""
    security = read_security(effective)
    sinks = make_sinks(effective, os.environ)
    if certificates is not None and security.configuration is not None:
        certificates.replace(security.configuration)
    ended_count = server.reload(security.authenticator)
    await server.replace_sinks(sinks)
    return ended_count


def _limit_stop(engine: Engine, grace_seconds: int) -> None:
    """Ends a stop in time, whatever it waits for.

    A commit that waits for a database which does not answer is in a thread, which nothing can end.
    First PostgreSQL is waited for no more, and the stop goes to its end: nobody has been told that
    such a commit succeeded. What waits for anything else ends with the process.
    """

    def give_up_waiting(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(_LAST_SECONDS)
        engine.abandon()

    def give_up(_number: int, _frame: object) -> None:
        structlog.get_logger().error(logs.STOP_FAILED)
        os._exit(EXIT_FAILURE)

    signal.signal(signal.SIGALRM, give_up_waiting)
    signal.alarm(grace_seconds + _OVERTIME_SECONDS)


def _write_ready_file(path: Path, address: Address) -> None:
    """Puts the file in place whole, so that whoever waits for it never reads half an address."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(f"{address}\n", encoding="utf-8")
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
