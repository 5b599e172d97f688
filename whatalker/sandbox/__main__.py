"""Runs the sandbox on 127.0.0.1 until SIGTERM or Ctrl-C; one clear sentence and exit code 1 when it cannot start."""

import asyncio
import errno
import gc
import signal
import sys

from aiohttp import web

from . import graph, keepsake, phone, switchboard
from .bearer import EMULATOR
from .emulator import Emulator
from .mediashelf import LARGEST
from .startup import Settings, read_settings


def make_app(emulator: Emulator) -> web.Application:
    """All routes over one emulator."""
    app = web.Application(middlewares=[switchboard.guard], client_max_size=LARGEST + 1024 * 1024)
    app[EMULATOR] = emulator
    phone.add_routes(app)
    switchboard.add_routes(app)
    graph.add_routes(app)
    return app


async def serve(settings: Settings) -> None:
    """Listen until told to stop; raises OSError when the port or the state folder cannot be had."""
    if settings.state:
        settings.state.mkdir(parents=True, exist_ok=True)
    emulator = Emulator(settings)
    if settings.state:
        keepsake.read_state(emulator, settings.state)
        keepsake.write_state(emulator, settings.state)
    app = make_app(emulator)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    tasks: list[asyncio.Task[None]] = []
    try:
        site = web.TCPSite(runner, "127.0.0.1", settings.port, backlog=1024)
        await site.start()
        port = runner.addresses[0][1]
        jobs = (
            emulator.hourglass.run(),
            emulator.deliveries.run(),
            keepsake.keep_writing(emulator, settings.state),
            phone.tell_pages(app),
        )
        tasks = [asyncio.create_task(job) for job in jobs]
        asked = _listen_for_signals()
        print(f"sandbox listening on http://127.0.0.1:{port}", flush=True)
        await _stop_asked(asked, tasks)
    finally:
        phone.close_streams(app)
        await asyncio.sleep(0)
        await runner.cleanup()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        emulator.ledger.write()
        if settings.state and tasks:
            keepsake.write_state(emulator, settings.state)


def _listen_for_signals() -> asyncio.Event:
    """Set when somebody asks this process to stop."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked.set)
    return asked


async def _stop_asked(asked: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Until a signal comes, or until one of the endless tasks dies of an error, which is then raised."""
    waiter = asyncio.create_task(asked.wait())
    await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


def main() -> int:
    """The exit code."""
    settings = read_settings(sys.argv[1:])
    # The ledger is many small, long-lived objects without cycles: looking through them often costs a fifth of the time.
    gc.set_threshold(100_000, 20, 100)
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sentence = f"port {settings.port} is in use; stop what listens there or choose another with --port"
        else:
            sentence = f"cannot start: {error.strerror or error} ({error.filename or settings.port})"
        print(f"sandbox: {sentence}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
