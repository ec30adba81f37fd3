"""Stopping in order: a first signal asks for it, a second one does not ask."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ASKED, _OVER = b"a", b"o"


@contextmanager
def draining(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop`, in another thread, at the first SIGTERM or SIGINT until the end of the block.

    A second signal has its usual effect.
    """
    reader, writer = os.pipe()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    # A handler interrupts whatever the main thread does, locks it may hold included.
    def ask(_number: int, _frame: object) -> None:
        restore()
        os.write(writer, _ASKED)

    def listen() -> None:
        if os.read(reader, 1) == _ASKED:
            stop()

    listener = Thread(target=listen, name="amiguard-signals", daemon=True)
    listener.start()
    for number in _SIGNALS:
        signal.signal(number, ask)
    try:
        yield
    finally:
        restore()
        os.write(writer, _OVER)
        listener.join()
        os.close(reader)
        os.close(writer)
