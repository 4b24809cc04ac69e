"""The power fails at every moment of a reception: what was acknowledged must be on the disk.

The listener runs under strace while instances arrive. From the record of its writes, syncs, renames and names the
disk is made again as it would be after each cut: a file has the bytes of its last fsync, a directory the names of its
last fsync; everything else is gone. A second disk keeps, by chance, some of what was not synced, as real disks do.
On each of them the product's own ``verify`` looks at everything, and the rows are compared with what was acknowledged.
"""

import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from pacs_bridge.scu import store_files
from tests.peers.dcmtk import require
from tests.peers.instances import new_instance
from tests.peers.product import REPOSITORY, until
from tests.peers.roles import Roles, roles_of_a_county

PER_ASSOCIATION = 25
_CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,"
    "rmdir,fsync,fdatasync,sync_file_range,ftruncate,truncate,sendto,sendmsg,link,linkat,fallocate"
)
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)", re.DOTALL)
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")


@dataclass
class Outcome:
    """``problems`` is empty when every promise held."""

    seed: int
    n_instances: int
    n_acknowledged: int = 0
    n_operations: int = 0
    n_cuts: int = 0
    n_verified: int = 0
    duration_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.n_instances} instances, {self.n_acknowledged} acknowledged; every cut point of {self.n_operations} "
            f"recorded operations: {self.n_cuts} different disks, un-synced writes lost or kept by chance; rows and "
            f"files compared on each, teleread verify run on {self.n_verified}; {len(self.problems)} problems; "
            f"seed {self.seed}, {self.duration_s:.0f} s"
        )


class Operation(NamedTuple):
    """One thing done to the disk, or an acknowledgement (``act`` "acknowledge", ``path`` the SOP Instance UID)."""

    act: str  # create write truncate sync sync_folder rename unlink mkdir acknowledge
    path: str
    data: bytes = b""
    offset: int = -1  # -1: at the end
    other: str = ""


# --- the record ---------------------------------------------------------------------------------------------------


def record(roles: Roles, paths: list[Path], trace: Path) -> dict[str, Path]:
    """Send the files to a listener under strace; what it acknowledged to the sender."""
    command = [
        require("strace"), "-f", "-y", "-xx", "-s", "2000000", "-qq", "-e", "signal=none", "-o", str(trace),
        "-e", f"trace={_CALLS}", sys.executable, "-m", "worklist", "listen",
    ]  # fmt: skip
    with (roles.folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=roles.environ, stdout=log, stderr=log)
    try:
        until(lambda: _answers(roles.dicom_port), 90, "the traced listener")
        sent = {}
        for start in range(0, len(paths), PER_ASSOCIATION):
            group = paths[start : start + PER_ASSOCIATION]
            for result in store_files(group, "127.0.0.1", roles.dicom_port, "TELEREAD", "QS_CT"):
                assert result.outcome == "accepted", result
                sent[result.sop_instance_uid] = result.path
    finally:
        for child in _children(process.pid):  # strace itself would only let go of it
            os.kill(child, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            for child in _children(process.pid):
                os.kill(child, signal.SIGKILL)
            process.wait(30)
    return sent


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _children(process_id: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def operations(trace: Path, root: Path) -> Iterator[Operation]:
    """What the record says about files below ``root``, in the order in which the calls ended.

    An acknowledgement counts from the moment its sending began: the earliest at which the sender may know.
    """
    begun: dict[str, tuple[str, str]] = {}
    with trace.open("r", encoding="ascii", errors="replace") as stream:
        for raw in stream:
            line = raw.rstrip("\n")
            if found := _UNFINISHED.match(line):
                process, call, arguments = found.groups()
                begun[process] = call, arguments
                if call in ("sendto", "sendmsg"):
                    yield from _acknowledged(arguments)
            elif found := _RESUMED.match(line):
                process, call, rest = found.groups()
                _, arguments = begun.pop(process, (call, ""))
                whole = _LINE.match(f"{process} {call}({arguments}{rest}")
                if whole and call not in ("sendto", "sendmsg"):
                    yield from _operation(call, whole[3], int(whole[4]), str(root))
            elif whole := _LINE.match(line):
                if whole[2] in ("sendto", "sendmsg"):
                    yield from _acknowledged(whole[3])
                else:
                    yield from _operation(whole[2], whole[3], int(whole[4]), str(root))


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _strings(arguments: str) -> list[bytes]:
    return [_plain(one) for one in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', arguments)]


def _descriptors(arguments: str) -> list[str]:
    """Paths that strace wrote behind descriptors."""
    return [_plain(one).decode() for one in re.findall(r"<((?:\\x[0-9a-f]{2})+)>", arguments)]


def _operation(call: str, arguments: str, status: int, root: str) -> Iterator[Operation]:  # noqa: PLR0912  a table
    if status < 0:
        return
    files = [path for path in _descriptors(arguments) if path.startswith(root)]
    names = [one.decode() for one in _strings(arguments)] if call in _BY_NAME else []
    if call in _BY_NAME:
        assert all(name.startswith("/") for name in names), (call, names)
        if not names or not names[0].startswith(root):
            return
        if call == "openat":
            if "O_CREAT" in arguments:
                yield Operation("create", names[0])
            if "O_TRUNC" in arguments:
                yield Operation("truncate", names[0], offset=0)
        elif call.startswith("rename"):
            yield Operation("rename", names[0], other=names[1])
        elif call.startswith("mkdir"):
            yield Operation("mkdir", names[0])
        elif call in ("unlink", "unlinkat", "rmdir"):
            yield Operation("unlink", names[0])
        else:
            raise AssertionError(f"a call that is not replayed: {call}")
    elif not files or "(deleted)" in arguments:
        return
    elif call == "write":
        yield Operation("write", files[0], _strings(arguments)[0][:status])
    elif call == "pwrite64":
        yield Operation("write", files[0], _strings(arguments)[0][:status], int(arguments.rpartition(",")[2]))
    elif call in ("fsync", "fdatasync"):
        yield Operation("sync", files[0])
    elif call == "ftruncate":
        yield Operation("truncate", files[0], offset=int(arguments.rpartition(",")[2]))
    elif call not in ("sync_file_range", "fallocate"):
        raise AssertionError(f"a call that is not replayed: {call}")


_BY_NAME = (
    "openat", "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "truncate",
    "link", "linkat",
)  # fmt: skip


def _acknowledged(arguments: str) -> Iterator[Operation]:
    """SOP Instance UIDs of C-STORE-RSP messages with status 0000H in what was sent (PS3.7 9.3.1.2, PS3.8 9.3.5)."""
    for data in _strings(arguments):
        if len(data) > 12 and data[0] == 4 and data[11] & 1:
            command = _elements(data[12:])
            if command.get(0x0100) == b"\x01\x80" and command.get(0x0900) == b"\0\0":
                yield Operation("acknowledge", command[0x1000].rstrip(b"\0 ").decode())


def _elements(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, at)
        if group != 0:
            break
        found[element] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found


# --- the disk -----------------------------------------------------------------------------------------------------


class _File:
    """``synced``: what a cut leaves for certain. ``pending``: writes and cuts since then."""

    def __init__(self, content: bytes = b"") -> None:
        self.now, self.synced = bytearray(content), bytes(content)
        self.pending: list[Operation] = []

    def apply(self, one: Operation) -> None:
        self.pending.append(one)
        _apply(self.now, one)

    def sync(self) -> None:
        self.synced, self.pending = bytes(self.now), []

    def after_cut(self, chance: random.Random | None) -> bytes:
        if chance is None or not self.pending:
            return self.synced
        content = bytearray(self.synced)
        for one in self.pending:
            if chance.random() < 0.5:
                _apply(content, one)
        return bytes(content)


def _apply(content: bytearray, one: Operation) -> None:
    if one.act == "truncate":
        del content[one.offset :]
        content.extend(b"\0" * (one.offset - len(content)))
        return
    at = len(content) if one.offset < 0 else one.offset
    content.extend(b"\0" * (at - len(content)))
    content[at : at + len(one.data)] = one.data


class Disk:
    """A tree of files in memory: as it is, and as each cut would leave it. Begins as ``before`` is."""

    def __init__(self, root: Path, before: Path) -> None:
        self.root = str(root)
        self._now: dict[str, dict[str, _File | None]] = {}  # folder -> name -> file; None: a folder
        for folder, folders, names in os.walk(before):
            entries: dict[str, _File | None] = dict.fromkeys(folders)
            entries |= {name: _File(Path(folder, name).read_bytes()) for name in names}
            self._now[self.root + folder[len(str(before)) :]] = entries
        self._synced = {folder: dict(entries) for folder, entries in self._now.items()}

    def do(self, one: Operation) -> None:
        folder, name = one.path.rpartition("/")[::2]
        entries = self._now.get(folder, {})
        if one.act == "create":
            if name not in entries:
                entries[name] = _File()
        elif one.act == "mkdir":
            entries[name], self._now[one.path] = None, {}
            self._synced.setdefault(one.path, {})
        elif one.act == "unlink":
            entries.pop(name, None)
        elif one.act == "rename":
            to_folder, to_name = one.other.rpartition("/")[::2]
            self._now[to_folder][to_name] = entries.pop(name)
        elif one.act == "sync":
            if one.path in self._now:
                self._synced[one.path] = dict(self._now[one.path])
            elif (file := entries.get(name)) is not None:
                file.sync()
        elif (file := entries.get(name)) is not None:
            file.apply(one)

    def after_cut(self, chance: random.Random | None = None) -> dict[str, bytes | None]:
        """Path below the root to content (None: a folder). ``chance``: some of what was not synced is there too."""
        found: dict[str, bytes | None] = {}
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            entries = dict(self._synced.get(folder, {}))
            if chance is not None:
                for name, entry in self._now.get(folder, {}).items():
                    if name not in entries and chance.random() < 0.5:
                        entries[name] = entry
                for name in [one for one in entries if one not in self._now.get(folder, {})]:
                    if chance.random() < 0.5:
                        del entries[name]
            for name, entry in entries.items():
                path = f"{folder}/{name}"
                if entry is None:
                    waiting.append(path)
                    found[path[len(self.root) + 1 :]] = None
                else:
                    found[path[len(self.root) + 1 :]] = entry.after_cut(chance)
        return found


def write_disk(content: dict[str, bytes | None], root: Path) -> None:
    """The disk as files, for the product to start on."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o700, parents=True)
    for name in sorted(content):
        data, path = content[name], root / name
        if data is None:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not name.endswith("-shm"):  # SQLite makes its own again after a start
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)


# --- the campaign -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """A reception that can be replayed: the disk before it, what was done to it, what the sender heard."""

    roles: Roles
    before: Path
    trace: Path
    n_instances: int
    n_acknowledged: int

    def operations(self) -> Iterator[Operation]:
        return operations(self.trace, self.roles.data_dir)


@contextmanager
def recorded(folder: Path, *, seed: int, n_instances: int) -> Iterator[Recording]:
    """Receive instances by two processes under strace."""
    with roles_of_a_county(folder / "product") as roles:
        roles.environ["TELEREAD_DICOM_PROCESSES"] = "2"
        shutil.copytree(roles.data_dir, folder / "before")
        sent = record(roles, _files(folder / "sent", n_instances, random.Random(seed)), folder / "trace")
        yield Recording(roles, folder / "before", folder / "trace", n_instances, len(sent))


def run_power_cuts(
    folder: Path, *, seed: int, n_instances: int, verify_every: int, say: Callable[[str], None]
) -> Outcome:
    """Record, replay, compare. ``verify_every``: after so many syncs the product's own verify runs as well."""
    started = time.monotonic()
    with recorded(folder, seed=seed, n_instances=n_instances) as recording:
        outcome = replay(recording, recording.operations(), folder / "cut", seed, verify_every, say)
    outcome.duration_s = time.monotonic() - started
    return outcome


def _files(folder: Path, count: int, chance: random.Random) -> list[Path]:
    folder.mkdir()
    made = []
    uids: dict[str, str] = {}
    for number in range(count):
        dataset = new_instance(side=chance.choice((16, 32)), InstanceNumber=number, PatientID=f"CUT-{number // 60}", **uids)
        if number % 60 == 0:
            uids = {name: str(dataset[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID")}
        path = folder / f"{number:05}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        made.append(path)
        if number % 60 == 59:
            uids = {}
    return made


class _Judge:
    """Puts each disk before the product and its promises."""

    def __init__(self, roles: Roles, root: Path, outcome: Outcome) -> None:
        self._roles, self._root, self._outcome = roles, root, outcome
        self._whole: dict[str, bytes] = {}  # files whose digest was computed once, compared by their bytes afterwards
        self.acknowledged: set[str] = set()

    def compare(self, content: dict[str, bytes | None], where: str) -> None:
        """Rows of the index after its own recovery, against files by their digest and what was acknowledged."""
        self._outcome.n_cuts += 1
        write_disk({name: data for name, data in content.items() if name.startswith("teleread.sqlite3")}, self._root)
        try:
            with closing(sqlite3.connect(self._root / "teleread.sqlite3")) as connection:
                rows = dict(connection.execute("SELECT sop_instance_uid, blob_key FROM instance").fetchall())
                if self._outcome.n_cuts % 50 == 0 and connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    self._problem(where, "the index is damaged")
        except sqlite3.DatabaseError as error:  # whatever was acknowledged lies in it: all of it is lost
            return self._problem(where, f"the index is lost: {error}")
        for uid in self.acknowledged - rows.keys():
            self._problem(where, f"acknowledged and lost: {uid}")
        for uid, key in rows.items():
            if not self._is_whole(key, content.get(f"blobs/objects/{key[:2]}/{key}")):
                self._problem(where, f"row without its file: {uid}")
        return None

    def _is_whole(self, key: str, data: bytes | None) -> bool:
        if data is None or (key not in self._whole and blake3(data).hexdigest() != key):
            return False
        return self._whole.setdefault(key, data) == data

    def verify(self, content: dict[str, bytes | None], where: str) -> None:
        """The product's own command on this disk; afterwards every file has its row and every row its file."""
        write_disk(content, self._root)
        self._outcome.n_verified += 1
        environ = {**self._roles.environ, "TELEREAD_DATA_DIR": str(self._root)}
        ran = subprocess.run(
            [sys.executable, "-m", "worklist", "verify", "--json"], cwd=REPOSITORY, env=environ, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        if ran.returncode != 0:
            self._problem(where, f"verify says {ran.stdout[-300:]}{ran.stderr[-300:]}")
        with closing(sqlite3.connect(self._root / "teleread.sqlite3")) as connection:
            rows = {uid for (uid,) in connection.execute("SELECT sop_instance_uid FROM instance")}
            keys = connection.execute("SELECT blob_key FROM instance UNION SELECT blob_key FROM quarantine")
            named = {key for (key,) in keys}
        stored = {path.name for path in (self._root / "blobs" / "objects").rglob("*") if path.is_file()}
        for uid in self.acknowledged - rows:
            self._problem(where, f"lost after verify: {uid}")
        for key in stored ^ named:
            self._problem(where, f"{'file without a row' if key in stored else 'row without a file'} after verify: {key}")

    def _problem(self, where: str, what: str) -> None:
        self._outcome.problems.append(f"{where}: {what}")


def replay(
    recording: Recording, done: Iterable[Operation], root: Path, seed: int, verify_every: int,
    say: Callable[[str], None],
) -> Outcome:  # fmt: skip
    """Between two syncs every cut leaves the same certain bytes, so what was acknowledged until the later one counts."""
    chance = random.Random(seed)
    outcome = Outcome(seed, recording.n_instances, recording.n_acknowledged)
    disk, judge = Disk(recording.roles.data_dir, recording.before), _Judge(recording.roles, root, outcome)

    def cut(*, is_last: bool = False) -> None:
        where = f"before operation {outcome.n_operations}"
        certain, kept = disk.after_cut(), disk.after_cut(chance)
        judge.compare(certain, f"{where}, nothing un-synced")
        judge.compare(kept, f"{where}, some un-synced")
        if is_last or outcome.n_cuts // 2 % verify_every == 0:
            judge.verify(chance.choice((certain, kept)), where)
        if outcome.n_cuts % 500 == 0:
            say(f"{outcome.n_cuts} disks, {len(judge.acknowledged)} acknowledged, {len(outcome.problems)} problems")

    for one in done:
        outcome.n_operations += 1
        if one.act == "acknowledge":
            judge.acknowledged.add(one.path)
            continue
        if one.act == "sync":
            cut()
        disk.do(one)
    cut(is_last=True)
    if len(judge.acknowledged) != outcome.n_acknowledged:
        heard = outcome.n_acknowledged
        outcome.problems.append(f"{len(judge.acknowledged)} acknowledgements in the record, {heard} heard")
    return outcome
