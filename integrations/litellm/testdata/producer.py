"""Plays LiteLLM: resolves the callback by its dotted name and dispatches events.

Commands come as JSON lines on standard input. What is acknowledged is printed
the moment a hook returns, so that whoever reads knows it when this is killed.
"""

import asyncio
import datetime
import importlib
import json
import os
import resource
import sys
import threading
import time
import uuid

out = threading.Lock()


def say(**line):
    with out:
        os.write(1, (json.dumps(line) + "\n").encode())


class Shadow:
    """What the disk would hold if the power went now: what was synced, no more."""

    def __init__(self):
        self.files, self.folders, self.sync, self.lock = {}, {}, os.fsync, threading.Lock()
        os.fsync = self.fsync

    def fsync(self, fd):
        time.sleep(0.02)  # a slow disk: what is told before it is synced is not in the image
        path = os.readlink("/proc/self/fd/%d" % fd)
        with self.lock:
            if os.path.isdir(path):
                names = {}
                for name in os.listdir(path):
                    try:
                        names[name] = os.stat(os.path.join(path, name)).st_ino
                    except FileNotFoundError:
                        pass
                self.folders[path] = names
            else:
                with open("/proc/self/fd/%d" % fd, "rb") as f:
                    self.files[os.fstat(fd).st_ino] = f.read()
        self.sync(fd)

    def image(self, path, to):
        os.makedirs(to, 0o700)
        for name, inode in self.folders.get(path, {}).items():
            inner = os.path.join(path, name)
            if inner in self.folders:
                self.image(inner, os.path.join(to, name))
            elif os.path.isdir(inner):
                os.makedirs(os.path.join(to, name), 0o700)
            else:
                with open(os.path.join(to, name), "wb") as f:
                    f.write(self.files.get(inode, b""))


if os.environ.get("FILE_BYTES"):  # a disk that takes no more: writes break off in the middle
    most = int(os.environ["FILE_BYTES"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
shadow = Shadow() if os.environ.get("SHADOW") else None
module, _, name = os.environ["CALLBACK"].partition(".")
callback = getattr(importlib.import_module(module), name)


def event(id, over):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    e = {
        "id": id, "updated_at": now, "changed_by": "admin", "changed_by_api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "action": "updated", "table_name": "LiteLLM_TeamTable", "object_id": "team-1",
        "before_value": '{"max_budget": NaN}', "updated_values": '{"max_budget": 10.0, "note": "do-not-log-me"}',
        "object_alias": None,
    }
    e.update(over)
    return e


def told(id, error):
    if error is None:
        say(ack=id)
    else:
        say(fail=id, error="%s: %s" % (type(error).__name__, error))


async def dispatch(id, over):
    # As LiteLLM does: a task, whose failure is written down and no more.
    try:
        await asyncio.create_task(callback.async_log_audit_log_event(event(id, over)))
        told(id, None)
    except Exception as e:
        told(id, e)


stopping = threading.Event()


async def log(c):
    ids = iter(range(c.get("from", 0), c.get("from", 0) + c["count"]))

    async def one():
        for i in ids:
            if stopping.is_set():
                return
            await dispatch("%s-%d" % (c["prefix"], i), c.get("event", {}))
            await asyncio.sleep(c.get("pause", 0))

    await asyncio.gather(*(one() for _ in range(c.get("tasks", 8))))


class Unprintable:
    def __str__(self):
        raise RuntimeError("do-not-log-me")


def odd():
    loop = {"x": 1}
    loop["loop"] = loop
    return {
        "nan": {"before_value": {"budget": float("nan"), "n": [float("inf")]}, "extra": float("-inf")},
        "types": {"extra": {"at": datetime.datetime(2026, 1, 2), "u": uuid.UUID(int=7), "s": {1}, "b": b"x", "t": (1, 2)}},
        "keys": {"extra": {(1, 2): "tuple", 3: "int", None: "none"}},
        "loop": {"updated_values": loop},
        "unprintable": {"extra": Unprintable()},
        "text": {"object_alias": "\u00e4\U0001f600\n\u2028\x00"},
        "surrogate": {"object_alias": "\ud83d"},
        "big": {"updated_values": json.dumps({"x": "y" * 900_000})},
        "huge": {"updated_values": json.dumps({"x": "y" * 1_100_000})},
    }


def in_child(c):
    pid = os.fork()
    if pid == 0:
        for i in range(c["count"]):
            try:
                callback.log_audit_log_event(event("%s-%d" % (c["prefix"], i), {}))
                say(ack="%s-%d" % (c["prefix"], i))
            except BaseException as e:
                say(fail=str(i), error=repr(e))
        if c.get("close"):
            callback.close()
        os._exit(0)
    os.waitpid(pid, 0)


async def main():
    loop = asyncio.get_running_loop()
    background = []
    say(ready=True)
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        c = json.loads(line)
        if c["op"] == "log":
            await log(c)
        elif c["op"] == "background":
            background.append(asyncio.create_task(log(c)))
        elif c["op"] == "stop":
            stopping.set()
            await asyncio.gather(*background)
        elif c["op"] == "sync":
            for i in range(c["count"]):
                await loop.run_in_executor(None, callback.log_audit_log_event, event("%s-%d" % (c["prefix"], i), {}))
                say(ack="%s-%d" % (c["prefix"], i))
        elif c["op"] == "odd":
            for id, over in odd().items():
                await dispatch(id, over)
        elif c["op"] == "fork":
            in_child(c)
        elif c["op"] == "image":
            with shadow.lock:
                shadow.image(os.environ["AUDITRELAY_SPOOL"], c["to"])
        elif c["op"] == "stats":
            say(stats=callback.stats())
        elif c["op"] == "exit":
            return
        say(done=c["op"])


asyncio.run(main())
