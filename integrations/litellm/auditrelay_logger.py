"""LiteLLM's audit events to an auditrelay, by way of a spool on disk.

Put this file where Python finds it (PYTHONPATH) and name its instance:

    litellm_settings:
      store_audit_logs: true
      audit_log_callbacks: [auditrelay_logger.relay]

The hook returns once the event is on disk. A thread sends what the spool holds,
again and again until the relay has it; only then it is deleted. See README.md
for the variables, and for what this cannot do. Needs Python 3.9 on a POSIX
system, and nothing beyond the standard library and LiteLLM itself.
"""

from __future__ import annotations

import asyncio
import atexit
import binascii
import collections
import concurrent.futures
import email.utils
import fcntl
import http.client
import ipaddress
import json
import logging
import math
import os
import random
import re
import ssl
import threading
import time
import urllib.parse
import weakref
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Tuple

from litellm.integrations.custom_logger import CustomLogger

_log = logging.getLogger("auditrelay")

_MAX_EVENT = 16 << 20  # of one event; the relay takes no larger body
_MAX_QUEUED = 32 << 20  # of events that wait for the disk, in memory
_BATCH_BYTES = 1 << 20
_BATCH_EVENTS = 500
_MAX_ANSWER = 4 << 20
_MAX_DEPTH = 60  # the relay takes 64; what is deeper becomes text
_ADOPTED = 16  # directories of dead workers at a time
_BLOCK = 4096  # what a small file takes of the disk
_IDLE = 0.5  # seconds between looks at what others left behind
_DISK = 30.0  # seconds that a hook waits for the disk beyond the wait for space


_UNKNOWN = "the disk does not answer; whether the event is in the spool is not known"


class SpoolError(Exception):
    """The event is not in the spool, or not known to be. Holds no event data."""


class _Settings(NamedTuple):
    url: urllib.parse.SplitResult
    token: str
    token_file: str
    tls: Optional[ssl.SSLContext]
    spool: str
    spool_bytes: int
    spool_wait: float
    drain: float
    timeout: float
    backoff_max: float


def _number(name: str, default: float, least: float, most: float) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ValueError("%s: expected a number from %g to %g" % (name, least, most))
    return value


def _settings() -> _Settings:
    get = os.environ.get
    url = urllib.parse.urlsplit(get("AUDITRELAY_URL") or "http://127.0.0.1:8787")
    try:
        url.port
        fine = url.scheme in ("http", "https") and bool(url.hostname) and not url.query and not url.fragment
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("AUDITRELAY_URL: expected an address such as http://127.0.0.1:8787")
    if url.username is not None:
        raise ValueError("AUDITRELAY_URL: it holds a name or password; give AUDITRELAY_TOKEN instead")
    token, token_file = get("AUDITRELAY_TOKEN", ""), get("AUDITRELAY_TOKEN_FILE", "")
    if token and token_file:
        raise ValueError("AUDITRELAY_TOKEN and AUDITRELAY_TOKEN_FILE are both set; unset one")
    if any(not 32 < ord(c) < 127 for c in token):
        raise ValueError("AUDITRELAY_TOKEN: it holds characters that no token has")
    if (token or token_file) and url.scheme == "http" and not _loopback(url.hostname):
        if get("AUDITRELAY_CLEARTEXT") != "1":
            raise ValueError(
                "AUDITRELAY_URL: token and events would go to %s in the clear; use https, or set"
                " AUDITRELAY_CLEARTEXT=1 where something else encrypts the way" % url.hostname
            )
    tls = None
    if url.scheme == "https":
        try:
            tls = ssl.create_default_context(cafile=get("AUDITRELAY_CA_FILE") or None)
            if get("AUDITRELAY_CLIENT_CERT"):
                tls.load_cert_chain(str(get("AUDITRELAY_CLIENT_CERT")), get("AUDITRELAY_CLIENT_KEY") or None)
        except OSError as e:
            raise ValueError("AUDITRELAY_CA_FILE, AUDITRELAY_CLIENT_CERT or AUDITRELAY_CLIENT_KEY: %s" % _cause(e)) from None
    spool = get("AUDITRELAY_SPOOL", "")
    if not spool:
        raise ValueError("AUDITRELAY_SPOOL: set it to a directory on a disk that outlives this process (in a container, a volume)")
    return _Settings(
        url=url,
        token=token,
        token_file=token_file,
        tls=tls,
        spool=os.path.abspath(spool),
        spool_bytes=int(_number("AUDITRELAY_SPOOL_BYTES", 256 << 20, 1 << 12, 1 << 50)),
        spool_wait=_number("AUDITRELAY_SPOOL_WAIT", 5, 0, 300),
        drain=_number("AUDITRELAY_DRAIN", 5, 0, 300),
        timeout=_number("AUDITRELAY_TIMEOUT", 30, 0.05, 600),
        backoff_max=_number("AUDITRELAY_BACKOFF_MAX", 30, 0.01, 3600),
    )


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---------------------------------------------------------------- events as JSON


def _encode(event: Any) -> bytes:
    """One line of JSON. What JSON does not have becomes text, as LiteLLM has it."""
    if hasattr(event, "model_dump"):
        event = event.model_dump()
    event = dict(event)
    try:
        text = json.dumps(event, default=str, allow_nan=False)
    except Exception:
        # NaN, a key that is no string, a structure within itself, a text that cannot
        # be had: default runs code that is not ours. The two values
        # become JSON text as LiteLLM writes it, where the relay takes NaN.
        for field in ("before_value", "updated_values"):
            if isinstance(event.get(field), (dict, list, tuple)):
                event[field] = json.dumps(_plain(event[field], 0, True))
        text = json.dumps(_plain(event, 0, False), allow_nan=False)
    return text.encode("ascii")


def _plain(value: Any, depth: int, nan: bool) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if nan or math.isfinite(value) else str(value)
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {k if isinstance(k, str) else _text(k): _plain(v, depth + 1, nan) for k, v in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, (list, tuple)):
        return [_plain(v, depth + 1, nan) for v in value]
    return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return "<%s>" % type(value).__name__


# ------------------------------------------------------------------------- disk


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_directory(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    _sync_directory(os.path.dirname(path))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _keep_aside(folder: str, name: str, data: bytes) -> None:
    """Writes a file of its own, durably; the same name again is the same data."""
    _make_directory(folder)
    path = os.path.join(folder, name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    _sync_directory(folder)


def _disk_bytes(folder: str) -> int:
    """What the files of a folder take, small ones a block each."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    total += max(entry.stat(follow_symlinks=False).st_size, _BLOCK)
                except OSError:
                    pass  # gone meanwhile
    except OSError:
        pass
    return total


class _Record(NamedTuple):
    offset: int
    end: int
    data: bytes  # the event's JSON, or what stood in its place
    whole: bool  # the checksum fits


_SEGMENT = re.compile(r"^[0-9]{12}\.events$")


class _Source:
    """The directory of one worker: segments of records, and how far they are sent.

    A record is a line: CRC-32 in hex, a space, the event. The cursor says up to
    where the relay has everything; it is written in place with a checksum and
    not synced: an older one means that events are sent twice, and stored once.
    Its lock is held by the process that writes or has adopted it, until that
    dies in whatever way. Only the sender's thread reads and advances.
    """

    def __init__(self, path: str, lock: int):
        self.path, self.name, self.lock = path, os.path.basename(path), lock
        self.segments: Deque[Tuple[int, int]] = collections.deque()  # number, size that is durable
        self.offset = 0  # in the first of them
        self.next = 1
        self._cursor = os.open(os.path.join(path, "cursor"), os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._cursor).st_size == 0:
            os.pwrite(self._cursor, b" " * 39, 0)  # its block, while there are blocks

    @staticmethod
    def take(path: str) -> Optional["_Source"]:
        """Locks a worker's directory; None where somebody else has it, or had."""
        try:
            lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # gone meanwhile, or not ours
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed it between our opening and locking.
            if os.path.samestat(os.fstat(lock), os.stat(os.path.join(path, "lock"))):
                return _Source(path, lock)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(lock)
        return None

    def file(self, number: int) -> str:
        return os.path.join(self.path, "%012d.events" % number)

    def load(self) -> None:
        """Finds what a dead worker left."""
        for name in sorted(os.listdir(self.path)):
            if _SEGMENT.match(name):
                number = int(name[:12])
                self.segments.append((number, os.path.getsize(os.path.join(self.path, name))))
                self.next = number + 1
        m = re.match(rb"^([0-9]{12} [0-9]{16}) ([0-9a-f]{8})\n$", os.pread(self._cursor, 64, 0))
        if m and int(m.group(2), 16) == binascii.crc32(m.group(1)):
            number, offset = map(int, m.group(1).split())
            self.next = max(self.next, number + 1)
            while self.segments and self.segments[0][0] < number:
                self.remove_first()
            if self.segments and self.segments[0][0] == number:
                self.offset = min(offset, self.segments[0][1])

    def pending(self) -> int:
        return sum(size for _, size in list(self.segments)) - self.offset

    def read(self) -> List[_Record]:
        """The next records, within the bounds of a batch; one at least."""
        number, size = self.segments[0]
        records: List[_Record] = []
        with open(self.file(number), "rb") as f:
            f.seek(self.offset)
            at, total = self.offset, 0
            while at < size and len(records) < _BATCH_EVENTS and (not records or total < _BATCH_BYTES):
                line = f.readline(size - at)
                if not line:
                    break  # shorter than it was
                m = re.match(rb"^([0-9a-f]{8}) (.*)\n$", line)
                whole = m is not None and int(m.group(1), 16) == binascii.crc32(m.group(2))
                data = m.group(2) if m is not None and whole else line
                if records and total + len(data) > _BATCH_BYTES:
                    break
                records.append(_Record(at, at + len(line), data, whole))
                at, total = at + len(line), total + len(line)
        return records

    def advance(self, offset: int) -> None:
        self.offset = offset
        text = b"%012d %016d" % (self.segments[0][0], offset)
        try:
            os.pwrite(self._cursor, b"%s %08x\n" % (text, binascii.crc32(text)), 0)
        except OSError:
            pass  # the older one stands

    def remove_first(self) -> None:
        """Deletes the oldest segment, all of which the relay has."""
        number, _ = self.segments.popleft()
        self.offset = 0
        try:
            os.unlink(self.file(number))
        except FileNotFoundError:
            pass

    def close(self, remove: bool) -> None:
        if remove:  # the lock last: who takes it then finds it gone
            try:
                for name in ("cursor", "lock"):
                    os.unlink(os.path.join(self.path, name))
                os.rmdir(self.path)
            except OSError:
                pass  # something that is not ours lies there; it is looked at again
        self.forget()

    def forget(self) -> None:
        for fd in (self._cursor, self.lock):
            _close(fd)


# ----------------------------------------------------------------------- worker


class _Queued(NamedTuple):
    line: bytes
    deadline: float
    done: "concurrent.futures.Future[None]"


class _Stall(Exception):
    """Not all was settled; try again. Where a person has to act, the pause is steady;
    below zero, retry_after means at once."""

    def __init__(self, why: str, retry_after: float = 0.0, steady: bool = False):
        super().__init__(why)
        self.retry_after, self.steady = retry_after, steady


class _Worker:
    """One process's share of the spool, with a thread that writes and one that sends."""

    def __init__(self, settings: _Settings):
        self.settings = settings
        self.segment_bytes = max(_BLOCK, min(1 << 20, settings.spool_bytes // 8))
        self.counts: "collections.Counter[str]" = collections.Counter()
        self.state = ""  # why deliveries stall, "" while they do not
        self.changed = threading.Condition()  # guards what follows
        self.queue: Deque[_Queued] = collections.deque()
        self.queued = 0
        self.used = 0  # unsent bytes of ours and of those we adopted
        self.elsewhere = 0  # other workers', rejected and damaged ones
        self.closing = self.stopped = False
        self.idle = True  # the sender has nothing left
        self.writing = threading.Lock()  # around a write to the open segment
        self.fd = -1
        self.written = 0
        self.size_limit = _BATCH_EVENTS  # of a batch; halved where the relay calls it too large
        self.connection: Optional[http.client.HTTPConnection] = None
        self.full = False
        self.measured = self.measured_aside = self.looked = -math.inf
        self.aside = 0  # bytes of what is rejected or damaged
        self.failures = 0  # in a row
        self.turn = 0  # of the sources

        _make_directory(settings.spool)
        self.own = self._new_source()
        self.adopted: List[_Source] = []
        self._adopt()
        self.threads = [
            threading.Thread(target=self._run, args=(step,), name="auditrelay-" + name, daemon=True)
            for name, step in (("spool", self._write), ("send", self._send))
        ]
        for thread in self.threads:
            thread.start()

    def _new_source(self) -> _Source:
        for _ in range(100):
            path = os.path.join(self.settings.spool, "worker-%d-%08x" % (os.getpid(), random.SystemRandom().getrandbits(32)))
            _make_directory(path)
            source = _Source.take(path)
            if source is not None:  # else another worker took it for a dead one's
                return source
        raise SpoolError("the spool %s has no place for another worker" % self.settings.spool)

    def _adopt(self) -> None:
        """Takes over what dead workers left."""
        self.looked = time.monotonic()
        ours = {s.name for s in self.adopted} | {self.own.name}
        for name in sorted(os.listdir(self.settings.spool)):
            path = os.path.join(self.settings.spool, name)
            if not name.startswith("worker-") or name in ours:
                continue
            if len(self.adopted) >= _ADOPTED:
                break  # each has files open; the others' turn comes
            source = _Source.take(path)
            if source is None:
                continue  # it lives
            source.load()
            self.adopted.append(source)
            with self.changed:
                self.used += source.pending()
            if source.segments:
                _log.info("auditrelay: the spool holds %d bytes of a process that is gone; they are sent now", source.pending())

    def _measure(self) -> None:
        """Looks at what others' files take of the bound, now and then."""
        now = time.monotonic()
        if now - self.measured < _IDLE:
            return
        if now - self.measured_aside > 60:
            self.measured_aside = now
            self.aside = sum(_disk_bytes(os.path.join(self.settings.spool, n)) for n in ("rejected", "damaged"))
        self.measured = now
        ours = {s.name for s in list(self.adopted)} | {self.own.name}
        names = [n for n in os.listdir(self.settings.spool) if n.startswith("worker-") and n not in ours]
        elsewhere = sum(_disk_bytes(os.path.join(self.settings.spool, n)) for n in names)
        with self.changed:
            self.elsewhere = elsewhere + self.aside

    def _run(self, step: Any) -> None:
        told = False
        while not self.stopped:
            try:
                step()
                told = False
            except Exception as e:  # a disk that fails; never the end of the thread
                if not told:
                    _log.error("auditrelay: the spool failed: %s", _cause(e))
                told = True
                with self.changed:
                    self.changed.wait(0.2)

    # Writing

    def append(self, event: bytes) -> "concurrent.futures.Future[None]":
        line = b"%08x %s\n" % (binascii.crc32(event), event)
        done: "concurrent.futures.Future[None]" = concurrent.futures.Future()
        with self.changed:
            if self.stopped or self.queued + len(line) > _MAX_QUEUED:
                self.counts["refused"] += 1
                raise SpoolError("the event is refused: " + ("the logger is closed" if self.stopped else "too many wait for the disk"))
            self.queue.append(_Queued(line, time.monotonic() + self.settings.spool_wait, done))
            self.queued += len(line)
            self.changed.notify_all()
        return done

    def _write(self) -> None:
        """One round: what fits is written and synced together, what waited too long is refused."""
        batch: List[_Queued] = []
        late: List[_Queued] = []
        if self.queue:
            self._measure()
        with self.changed:
            room = self.settings.spool_bytes - self.used - self.elsewhere
            now = time.monotonic()
            size = 0
            while self.queue and not late and size < _BATCH_BYTES:
                first = self.queue[0]
                if len(first.line) <= room:
                    room -= len(first.line)
                    size += len(first.line)
                    batch.append(self.queue.popleft())
                elif first.deadline <= now:
                    late.append(self.queue.popleft())
                else:
                    break
            if not batch and not late:
                self.changed.wait(min(max(0.0, self.queue[0].deadline - now), _IDLE) if self.queue else None)
                return
            self.queued -= sum(len(q.line) for q in batch + late)
            self.counts["refused"] += len(late)
        error: Optional[BaseException] = None
        if batch:
            try:
                self._commit(b"".join(q.line for q in batch))
            except OSError as e:
                error = SpoolError("the event is not in the spool: %s" % _cause(e))
                self.counts["refused"] += len(batch)
        self._tell_full(bool(late), bool(batch) and error is None)
        for q in batch:
            _resolve(q.done, error)
        for q in late:
            _resolve(q.done, SpoolError("the event is refused: the spool is full, and the relay took nothing in time"))
        if error is not None:
            raise error

    def _commit(self, data: bytes) -> None:
        with self.writing:
            if self.fd < 0:
                number = self.own.next
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self.own.next = number + 1
                self.fd = os.open(self.own.file(number), flags, 0o600)
                self.written = 0
                try:
                    _sync_directory(self.own.path)
                except OSError:
                    self._retire()
                    raise
                self.own.segments.append((number, 0))
            try:
                _write_all(self.fd, data)
                os.fsync(self.fd)
            except OSError:
                # After a failed sync nobody knows what the disk holds: on with another file.
                try:
                    os.ftruncate(self.fd, self.written)
                except OSError:
                    pass
                self._retire()
                raise
            self.written += len(data)
            with self.changed:
                self.own.segments[-1] = (self.own.segments[-1][0], self.written)
                self.used += len(data)
                self.idle = False
                self.changed.notify_all()
            if self.written >= self.segment_bytes:
                self._retire()

    def _retire(self) -> None:
        """Ends the open segment. Under writing."""
        os.close(self.fd)
        self.fd = -1

    def _tell_full(self, refused: bool, wrote: bool) -> None:
        if refused and not self.full:
            self.full = True
            _log.error(
                "auditrelay: the spool is full (%d bytes, %d of them beside the unsent): the newest audit events are refused and lost here",
                self.settings.spool_bytes, self.elsewhere,
            )
        elif wrote and self.full and not refused:
            self.full = False
            _log.warning("auditrelay: the spool has room again; %d events were refused so far", self.counts["refused"])

    # Sending

    def _send(self) -> None:
        """One round: a batch from each source in turn, or a wait."""
        if time.monotonic() - self.looked >= _IDLE:
            self._adopt()
        busy = False
        sources = [self.own] + self.adopted
        first = self.turn % len(sources)
        self.turn += 1
        for source in sources[first:] + sources[:first]:
            delay = 0.0
            try:
                while source.segments and source.offset >= source.segments[0][1]:
                    if not self._finish_segment(source):
                        break
                if source.segments and source.offset < source.segments[0][1]:
                    busy = True
                    self._send_batch(source)
                elif source is not self.own:
                    self.adopted.remove(source)
                    source.close(remove=True)
            except _Stall as stall:
                delay = self._backoff(stall)
            if delay > 0:
                self._pause(delay)
                return
        if not busy:
            with self.changed:
                self.idle = self.used <= 0
                self.changed.notify_all()
                if not self.stopped:
                    self.changed.wait(_IDLE if self.idle else 0.02)

    def _finish_segment(self, source: _Source) -> bool:
        """Deletes the oldest segment if all of it is sent and no more comes into it.
        False says: not now."""
        if source is self.own and len(source.segments) == 1:
            # The last one may be open, or have been a moment ago.
            if not self.idle or not self.writing.acquire(blocking=False):
                return False
            try:
                if source.offset < source.segments[0][1]:
                    return False
                if self.fd >= 0:
                    # What was delivered does not lie about once nothing new comes.
                    self._retire()
                source.remove_first()
            finally:
                self.writing.release()
        elif source.offset >= source.segments[0][1]:
            source.remove_first()
        return True

    def _send_batch(self, source: _Source) -> None:
        try:
            records = source.read()
        except FileNotFoundError:
            records = []
        if not records:
            _log.error("auditrelay: a part of the spool is gone, which nobody but the logger should delete")
            self._settle(source, source.segments[0][1])
            return
        if not records[0].whole:
            self._set_damaged_aside(source, records[0])
            return
        batch = []
        for record in records[: self.size_limit]:
            if not record.whole:
                break
            batch.append(record)
        settled, stall = self._post(source, batch)
        if settled:
            self.failures = 0
            self.size_limit = min(self.size_limit * 2, _BATCH_EVENTS)
            self._settle(source, batch[settled - 1].end)
        if stall is not None:
            raise stall
        self._tell_state("")

    def _settle(self, source: _Source, offset: int) -> None:
        before = source.offset
        source.advance(offset)
        with self.changed:
            self.used -= offset - before
            self.changed.notify_all()

    def _set_damaged_aside(self, source: _Source, record: _Record) -> None:
        number, size = source.segments[0]
        if record.end >= size and not record.data.endswith(b"\n"):
            # Cut off by the end of its process: its hook never returned.
            self.counts["torn"] += 1
            _log.warning("auditrelay: the spool ends with a piece of an event, which was never acknowledged; it is dropped")
        else:
            _keep_aside(os.path.join(self.settings.spool, "damaged"), "%s-%d-%d" % (source.name, number, record.offset), record.data)
            self.counts["damaged"] += 1
            self._set_aside(len(record.data))
            _log.error("auditrelay: a record of the spool is damaged; it is kept in damaged/ there")
        self._settle(source, record.end)

    def _set_aside(self, size: int) -> None:
        self.aside += max(size, _BLOCK)
        with self.changed:
            self.elsewhere += max(size, _BLOCK)

    def _post(self, source: _Source, batch: List[_Record]) -> Tuple[int, Optional[_Stall]]:
        """Sends a batch. Returns how many of its first are done with, and why not all."""
        status, retry_after, answer = self._exchange(b"".join(r.data + b"\n" for r in batch))
        by_index: Dict[int, Dict[str, Any]] = {}
        results = answer.get("results")
        for r in results if isinstance(results, list) else []:
            if isinstance(r, dict) and isinstance(r.get("index"), int):
                by_index[r["index"]] = r
        settled = 0
        if status in (200, 207, 400, 409, 413, 422, 503, 500, 408):
            for i, record in enumerate(batch):
                result = by_index.get(i)
                if result is None:
                    break
                why = result.get("error")
                if isinstance(why, dict):
                    if why.get("reason") in ("internal", "unavailable", "busy"):
                        break
                    self._reject(source, record, why)
                elif status in (200, 207, 500, 503, 408) and result.get("id") == _id_of(record.data):
                    self.counts["duplicates" if result.get("duplicate") else "delivered"] += 1
                else:
                    break  # no answer of a relay's
                settled += 1
        if settled == len(batch):
            return settled, None
        if status in (408, 425, 429) or status >= 500:
            return settled, _Stall("status %d" % status, retry_after)
        if status == 413 and len(batch) > 1:
            self.size_limit = max(1, len(batch) // 2)
            return settled, (None if settled else _Stall("", -1))
        why = answer.get("error")
        if status in (400, 413, 422) and isinstance(why, dict) and why.get("reason") in _OF_THE_EVENT and not settled:
            # The relay's own word on the body as a whole.
            if len(batch) > 1:
                self.size_limit = max(1, len(batch) // 2)
                return 0, _Stall("", -1)
            self._reject(source, batch[0], why)
            return 1, None
        if settled:
            return settled, None  # what comes next is told by its own answer
        told = "status %d" % status if status >= 400 else "status %d, which is not a relay's answer to events," % status
        return 0, _Stall(told, retry_after, steady=True)

    def _reject(self, source: _Source, record: _Record, why: Dict[str, Any]) -> None:
        """What the relay will never take is kept beside the spool, for a person."""
        reason = re.sub(r"[^a-z0-9_]", "", str(why.get("reason", "")))[:32] or "unknown"
        name = "%s-%d-%d.%s.json" % (source.name, source.segments[0][0], record.offset, reason)
        _keep_aside(os.path.join(self.settings.spool, "rejected"), name, record.data + b"\n")
        self._set_aside(len(record.data))
        self.counts["rejected"] += 1
        _log.error("auditrelay: the relay refused an audit event for good (%s); it is kept in rejected/%s of the spool", reason, name)

    def _exchange(self, body: bytes) -> Tuple[int, float, Dict[str, Any]]:
        s = self.settings
        headers = {"Content-Type": "application/x-ndjson", "User-Agent": "auditrelay-litellm-logger"}
        token = s.token
        try:
            if s.token_file:  # read every time, so that a new one needs no restart
                with open(s.token_file, encoding="ascii") as f:
                    token = f.read(65536).strip()
            if token:
                headers["Authorization"] = "Bearer " + token
            try:
                reused = self.connection is not None and self.connection.sock is not None
                response, content = self._request(body, headers)
            except (OSError, http.client.HTTPException):
                if not reused:
                    raise
                self._hang_up()  # it may have been closed for lying idle, which is no failure
                response, content = self._request(body, headers)
            after = _seconds(response.getheader("Retry-After"))
        except (OSError, http.client.HTTPException, ValueError) as e:
            self._hang_up()
            raise _Stall("no answer: %s" % _cause(e)) from None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        return response.status, after, answer if isinstance(answer, dict) else {}

    def _request(self, body: bytes, headers: Dict[str, str]) -> Tuple[http.client.HTTPResponse, bytes]:
        s = self.settings
        if self.connection is None:
            if s.tls is not None:
                self.connection = http.client.HTTPSConnection(str(s.url.hostname), s.url.port, timeout=s.timeout, context=s.tls)
            else:
                self.connection = http.client.HTTPConnection(str(s.url.hostname), s.url.port, timeout=s.timeout)
        self.connection.request("POST", s.url.path.rstrip("/") + "/v1/events", body, headers)
        response = self.connection.getresponse()
        content = response.read(_MAX_ANSWER + 1)
        if len(content) > _MAX_ANSWER or response.will_close:
            self._hang_up()
        return response, content

    def _hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _backoff(self, stall: _Stall) -> float:
        if stall.retry_after < 0:
            return 0.0  # the same again at once, in smaller pieces
        self.failures += 1
        self.counts["failed_tries"] += 1
        self._tell_state(str(stall))
        most = self.settings.backoff_max
        if stall.steady:  # a person has to act: no need to hurry
            return most
        return max(stall.retry_after, random.uniform(0, min(most, 0.1 * 2 ** min(self.failures, 30))), 0.001)

    def _tell_state(self, why: str) -> None:
        if bool(why) != bool(self.state):
            if why:
                _log.error("auditrelay: audit events wait in the spool: %s from %s; trying again until it works", why, self.settings.url.netloc)
            else:
                _log.warning("auditrelay: audit events go out again to %s", self.settings.url.netloc)
        self.state = why

    def _pause(self, delay: float) -> None:
        end = time.monotonic() + delay
        with self.changed:
            while not self.stopped:
                if self.closing:  # at the end of the process there is no time for long pauses
                    end = min(end, time.monotonic() + 0.2)
                left = end - time.monotonic()
                if left <= 0:
                    return
                self.changed.wait(left)

    def close(self, deadline: float) -> None:
        """Sends what is left until the deadline; the rest stays for the next process."""
        end = time.monotonic() + deadline
        with self.changed:
            if self.closing:
                return
            self.closing = True
            self.changed.notify_all()
            while (self.queue or self.used > 0 or not self.idle) and time.monotonic() < end:
                self.changed.wait(max(0.0, min(end - time.monotonic(), 0.1)))
            self.stopped = True
            self.changed.notify_all()
            for q in self.queue:
                _resolve(q.done, SpoolError("the event is not in the spool: the process ends"))
            self.queue.clear()
        for thread in self.threads:
            thread.join(max(0.1, end - time.monotonic()))
        if self.used > 0:
            _log.warning("auditrelay: %d bytes of audit events stay in the spool for the next start", self.used)
        if any(thread.is_alive() for thread in self.threads):
            return  # in a request; the locks go with the process
        if self.fd >= 0:
            self._retire()
        self._hang_up()
        for source in [self.own] + self.adopted:
            source.close(remove=source.pending() <= 0 and self._emptied(source))

    @staticmethod
    def _emptied(source: _Source) -> bool:
        while source.segments:
            source.remove_first()
        return True

    def forget(self) -> None:
        """In a forked child: what is open belongs to the parent."""
        for source in [self.own] + self.adopted:
            source.forget()
        if self.fd >= 0:
            _close(self.fd)
        if self.connection is not None and self.connection.sock is not None:
            os.close(self.connection.sock.detach())


# Reasons that tell of the event, not of the way it was sent.
_OF_THE_EVENT = frozenset(
    "too_large body_too_large too_many_events ratio syntax trailing utf8 not_object frame truncated".split()
)


def _id_of(event: bytes) -> Any:
    id = json.loads(event).get("id")
    return id if isinstance(id, str) else math.nan  # which nothing equals


def _seconds(header: Optional[str]) -> float:
    """Retry-After in seconds, or as a date; at most five minutes."""
    if not header:
        return 0.0
    try:
        value = float(header)
    except ValueError:
        try:
            value = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return min(max(value, 0.0), 300.0) if value == value else 0.0


def _cause(e: BaseException) -> str:
    """An error's kind and number: its text may quote what should not be logged."""
    if isinstance(e, OSError) and e.errno and not isinstance(e, ssl.SSLError):
        return "%s (%s)" % (type(e).__name__, os.strerror(e.errno))
    return str(e) if isinstance(e, SpoolError) else type(e).__name__


def _resolve(done: "concurrent.futures.Future[None]", error: Optional[BaseException]) -> None:
    if not done.set_running_or_notify_cancel():
        return  # the one who waited is gone; the event stays
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


# ----------------------------------------------------------------------- logger


class AuditRelayLogger(CustomLogger):
    """Hands LiteLLM's audit events to an auditrelay. Safe for threads and loops.

    Configured by AUDITRELAY_* variables, which are checked here, so that a
    mistake shows when LiteLLM starts. Threads and the worker's directory come
    with the first event, or at once where an earlier process left something. They
    belong to one process: after a fork each has its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settings = _settings()
        self._check_spool()
        self._lock = threading.Lock()
        self._worker: Optional[_Worker] = None
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: me() and me()._forked())
        atexit.register(lambda: me() and me().close())
        if any(name.startswith("worker-") for name in os.listdir(self._settings.spool)):
            self._running()

    def _check_spool(self) -> None:
        path = self._settings.spool
        os.makedirs(path, 0o700, exist_ok=True)
        try:
            _sync_directory(os.path.dirname(path))
        except OSError:
            pass  # not ours to open
        if os.stat(path).st_mode & 0o022:
            raise ValueError("AUDITRELAY_SPOOL: others can write to %s; name a directory below it, which is then made with mode 0700" % path)
        if not os.access(path, os.W_OK | os.X_OK):
            raise ValueError("AUDITRELAY_SPOOL: %s cannot be written to" % path)

    def _forked(self) -> None:
        self._lock = threading.Lock()  # the old one may be held by a thread that is not here
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.forget()

    def _running(self) -> _Worker:
        with self._lock:
            if self._worker is None:
                try:
                    self._worker = _Worker(self._settings)
                except OSError as e:
                    raise SpoolError("the spool cannot be used: %s" % _cause(e)) from None
            return self._worker

    @staticmethod
    def _line(audit_log: Any) -> bytes:
        try:
            event = _encode(audit_log)
        except Exception as e:
            _log.error("auditrelay: an audit event cannot be written as JSON: %s", type(e).__name__)
            raise SpoolError("the event cannot be written as JSON: %s" % type(e).__name__) from None
        if len(event) > _MAX_EVENT:
            _log.error("auditrelay: an audit event of %d bytes is larger than any relay takes", len(event))
            raise SpoolError("the event has %d bytes, more than any relay takes" % len(event))
        return event

    async def async_log_audit_log_event(self, audit_log: Any) -> None:
        """Returns when the event is durable in the spool. SpoolError says that it is
        not, after a bounded wait; LiteLLM writes that to its log and goes on."""
        event = self._line(audit_log)
        worker = self._worker
        if worker is None:  # starting one waits for the disk
            worker = await asyncio.get_running_loop().run_in_executor(None, self._running)
        try:
            await asyncio.wait_for(asyncio.wrap_future(worker.append(event)), self._settings.spool_wait + _DISK)
        except asyncio.TimeoutError:
            raise SpoolError(_UNKNOWN) from None

    def log_audit_log_event(self, audit_log: Any) -> None:
        """The same without an event loop; blocks."""
        try:
            self._running().append(self._line(audit_log)).result(self._settings.spool_wait + _DISK)
        except concurrent.futures.TimeoutError:
            raise SpoolError(_UNKNOWN) from None

    def stats(self) -> Dict[str, Any]:
        """Counts since the first event of this process, what is unsent, and why."""
        worker = self._worker
        if worker is None:
            return {"pending_bytes": 0, "stalled": ""}
        with worker.changed:
            return dict(worker.counts, pending_bytes=worker.used, stalled=worker.state)

    def close(self) -> None:
        """Sends what is left for at most AUDITRELAY_DRAIN seconds. Called at exit."""
        worker = self._worker
        if worker is not None:
            worker.close(self._settings.drain)


relay = AuditRelayLogger()
