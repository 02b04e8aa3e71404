"""The registry file: one writer thread, a few readers, and a feed of what was committed."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlite_utils import Database

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import Conflict, Denied, GatewayError, HostError
from gateway.base.setting import check
from gateway.registry.changes import Change, SettingChanged
from gateway.registry.migrations import bring_up_to_date
from gateway.registry.settings import RegistrySettings, in_force

T = TypeVar("T")
Row = tuple[Any, ...]

BUSY_MILLISECONDS = 5000
"""How long a connection waits for another process, a backup say, that holds the file."""
FILE_MODE = 0o600
"""The file holds what is as good as a password of every device and client (04 section 3.2)."""

_log = logging.getLogger(__name__)


class Reader:
    """A consistent view of the registry for the time of one call; `now` is in Unix seconds."""

    def __init__(self, db: Database, now: int, settings: RegistrySettings) -> None:
        self.db = db
        self.now = now
        self.settings = settings
        self._conn = db.conn

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """Return all rows of a query as tuples."""
        return self._conn.execute(sql, parameters).fetchall()

    def one(self, sql: str, *parameters: object) -> Row | None:
        """Return the first row of a query, or None."""
        found: Row | None = self._conn.execute(sql, parameters).fetchone()
        return found

    def number(self, sql: str, *parameters: object) -> int:
        """Return the first column of the first row as a number; 0 without a row."""
        row = self.one(sql, *parameters)
        return 0 if row is None or row[0] is None else int(row[0])


class Tx(Reader):
    """A transaction: what `fn` of `Registry.write` reads and changes with."""

    def __init__(
        self, db: Database, now: int, settings: RegistrySettings, entropy: Entropy
    ) -> None:
        super().__init__(db, now, settings)
        self.entropy = entropy
        self._changes: dict[Change, None] = {}

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was announced so far, each once, in order."""
        return tuple(self._changes)

    def changed(self, change: Change) -> None:
        """Announce a change; it is delivered when, and only when, the transaction commits."""
        self._changes.setdefault(change)

    def run(self, sql: str, *parameters: object) -> int:
        """Execute a statement that changes rows; return how many it changed."""
        return self._conn.execute(sql, parameters).rowcount

    def insert(self, table: str, **values: object) -> int:
        """Insert a row and return its id."""
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  (names are ours)
        return int(self._conn.execute(sql, tuple(values.values())).lastrowid or 0)


@dataclass(slots=True)
class _Write:
    """One function on its way through the writer thread."""

    fn: Callable[[Tx], Any]
    outcome: asyncio.Future[Any]


class Registry:
    """The management model in one SQLite file.

    Writes run one after another, each in one transaction on the writer thread; what `write`
    returned has survived a power cut (decision 10). Reads run on a few threads, each on one
    consistent view.
    """

    def __init__(
        self, path: Path, *, clock: Clock, entropy: Entropy, settings: RegistrySettings
    ) -> None:
        check(settings)
        self.path = path
        self._given = settings
        self._in_force = settings  # with what the file itself says; replaced whole by the writer
        self._clock = clock
        self._entropy = entropy
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._room_in_queue = asyncio.Semaphore(settings.queued_writes)
        self._subscribers: list[Callable[[Sequence[Change]], None]] = []
        self._idle_readers: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._reading = ThreadPoolExecutor(settings.readers, thread_name_prefix="registry-read")
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="registry-hash")
        self._hashes_waiting = 0
        self._writer = threading.Thread(target=self._write_all, name="registry-write", daemon=True)
        self._closing: asyncio.Future[None] | None = None
        self._write_db: Database

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        entropy: Entropy,
        settings: RegistrySettings | None = None,
    ) -> Self:
        """Open the file, or create it; bring it to the present version.

        Raises HostError, with a sentence for people, when the file is damaged, not ours to open,
        or written by a later version.
        """
        self = cls(path, clock=clock, entropy=entropy, settings=settings or RegistrySettings())
        try:
            self._write_db = await self._loop.run_in_executor(self._hashing, self._open_file)
            for _ in range(self.settings.readers):
                self._idle_readers.put(_connect(path, read_only=True))
        except BaseException:
            self._hashing.shutdown(wait=False)
            self._reading.shutdown(wait=False)
            raise
        self._writer.start()
        return self

    @property
    def settings(self) -> RegistrySettings:
        """Return the settings in force: those given, under what an administrator has set."""
        return self._in_force

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in one transaction on the writer thread and return its result.

        What `fn` raises undoes everything it did and is raised here. Subscribers have heard of the
        changes when this returns. Cancelling the caller does not undo a write that was queued.
        """
        self._refuse_when_closed()
        await self._room_in_queue.acquire()
        try:
            self._refuse_when_closed()
        except BaseException:
            self._room_in_queue.release()
            raise
        outcome: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Write(fn, outcome))
        return await outcome

    async def read(self, fn: Callable[[Reader], T]) -> T:
        """Run `fn` on a reader thread, on one consistent view, and return its result."""
        self._refuse_when_closed()
        return await self._loop.run_in_executor(self._reading, self._read_once, fn)

    async def hash(self, fn: Callable[[], T]) -> T:
        """Run a slow password function, one at a time, outside any transaction.

        Raises Denied with code 'busy' when too many wait already.
        """
        self._refuse_when_closed()
        if self._hashes_waiting >= self.settings.queued_hashes:
            raise Denied(
                "Too many people are signing in at this moment. Try again in a few seconds.", "busy"
            )
        self._hashes_waiting += 1
        try:
            return await self._loop.run_in_executor(self._hashing, fn)
        finally:
            self._hashes_waiting -= 1

    def subscribe(self, receive: Callable[[Sequence[Change]], None]) -> Callable[[], None]:
        """Call `receive` on the loop once per later transaction; return what ends this."""
        self._subscribers.append(receive)

        def unsubscribe() -> None:
            if receive in self._subscribers:
                self._subscribers.remove(receive)

        return unsubscribe

    async def close(self) -> None:
        """Finish what was queued and close the file; safe to call again and from several tasks."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            self._jobs.put(None)
        await asyncio.shield(self._closing)

    def _refuse_when_closed(self) -> None:
        if self._closing is not None:
            raise HostError("The registry is closed because the gateway is stopping.")

    # -- the writer thread ------------------------------------------------------------------

    def _open_file(self) -> Database:
        with _explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Created with its final mode before SQLite opens it: -wal and -shm inherit the mode.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            self.path.chmod(FILE_MODE)
            db = _connect(self.path, read_only=False)
            try:
                problems = [row[0] for row in db.execute("PRAGMA quick_check(3)") if row[0] != "ok"]
                if problems:
                    raise _damaged(self.path, "; ".join(problems))
                bring_up_to_date(db)
                self._in_force = in_force(db.conn, self._given)
            except BaseException:
                db.close()
                raise
            return db

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            result: object = None
            error: BaseException | None = None
            changes: tuple[Change, ...] = ()
            try:
                result, changes = self._write_once(job.fn)
            except StopIteration as raised:  # a future would refuse to carry it
                error = RuntimeError("a write let StopIteration escape")
                error.__cause__ = raised
            except BaseException as raised:  # the top of a task: the waiting caller gets it
                error = raised
            self._to_loop(self._deliver, job, result, error, changes)
        self._finish()

    def _write_once(self, fn: Callable[[Tx], T]) -> tuple[T, tuple[Change, ...]]:
        db = self._write_db
        with _explained(self.path):
            db.conn.execute("BEGIN IMMEDIATE")
            try:
                tx = Tx(db, int(self._clock.wall()), self._in_force, self._entropy)
                result = fn(tx)
                db.conn.execute("COMMIT")
            except BaseException:
                db.rollback()
                raise
            if any(isinstance(change, SettingChanged) for change in tx.changes):
                self._in_force = in_force(db.conn, self._given)
            return result, tx.changes

    def _finish(self) -> None:
        self._reading.shutdown(wait=True)
        self._hashing.shutdown(wait=True)
        while not self._idle_readers.empty():
            self._idle_readers.get().close()
        self._write_db.close()
        self._to_loop(self._closed)

    def _to_loop(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # the loop ended without close(); the commit stands
            _log.warning("the registry was not closed before the event loop ended")

    # -- on the loop ------------------------------------------------------------------------

    def _deliver(
        self, job: _Write, result: object, error: BaseException | None, changes: tuple[Change, ...]
    ) -> None:
        self._room_in_queue.release()
        if changes:
            for receive in tuple(self._subscribers):
                try:
                    receive(changes)
                except Exception:
                    _log.exception("a subscriber of the registry failed")
        if job.outcome.done():  # the caller was cancelled meanwhile
            if error is not None and not isinstance(error, GatewayError):
                _log.error("a write whose caller had gone failed", exc_info=error)
        elif error is not None:
            job.outcome.set_exception(error)
        else:
            job.outcome.set_result(result)

    def _closed(self) -> None:
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    # -- the reader threads -----------------------------------------------------------------

    def _read_once(self, fn: Callable[[Reader], T]) -> T:
        db = self._idle_readers.get()  # never waits long: there are as many as threads
        try:
            with _explained(self.path):
                db.conn.execute("BEGIN")
                try:
                    return fn(Reader(db, int(self._clock.wall()), self._in_force))
                finally:
                    db.rollback()
        finally:
            self._idle_readers.put(db)


def _connect(path: Path, *, read_only: bool) -> Database:
    """Open a connection with the pragmas of the registry."""
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db = Database(conn, execute_plugins=False)
        conn.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA trusted_schema = OFF")
        # SQLite folds only ASCII; people's names are searched and sorted in every script.
        conn.create_function("casefold", 1, str.casefold, deterministic=True)
        if read_only:
            conn.execute("PRAGMA query_only = ON")
        else:
            conn.execute("PRAGMA journal_mode = WAL")
            conn.execute("PRAGMA synchronous = FULL")
    except BaseException:
        conn.close()
        raise
    return db


def _damaged(path: Path, what: object) -> HostError:
    return HostError(
        f"The registry file {path} is damaged ({what}). Stop the gateway, keep a copy of the file "
        f"and of those beside it whose names end in -wal and -shm, and restore a backup."
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into errors with sentences for people."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise Conflict(
            f"The change was refused because it would break a rule of the registry: {error}."
        ) from error
    except (sqlite3.OperationalError, OSError) as error:
        code = getattr(error, "sqlite_errorname", "")
        if code == "SQLITE_ERROR":
            raise  # a fault in a statement of ours
        if code.startswith("SQLITE_FULL"):
            text = f"The disk that holds {path} is full. Free some space; nothing was changed."
        elif code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            text = f"Another program holds {path}. Close it and try again; nothing was changed."
        else:
            text = f"The registry file {path} cannot be used: {error}. Check its folder and owner."
        raise HostError(text) from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise _damaged(path, error) from error
        raise
