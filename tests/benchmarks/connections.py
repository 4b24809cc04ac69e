"""What connections cost that do nothing or do harm: CPU, memory, and how long a valid C-ECHO waits meanwhile."""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

from tests.benchmarks import document
from tests.benchmarks.hostile import HOSTILES, Hostile, associate, connect, echo_s, echoing
from tests.benchmarks.processes import cpu_share, own_bytes, tree
from tests.benchmarks.receivers import STOCK
from tests.peers.dcmtk import require
from tests.peers.ports import free_ports
from tests.peers.product import takes_connections, until
from tests.peers.roles import Roles, roles_of_a_county

N, WINDOW_S, N_IDLE = 5, 10.0, 50
MOST_IDLE_SHARE, MOST_GROWTH_MB, MOST_WAIT_S = 0.02, 50, 1.0
Open = Callable[[int, str], object]


@contextmanager
def stock(folder: Path) -> Iterator[tuple[int, int]]:
    """Stock pynetdicom's server: its port and process."""
    (port,) = free_ports(1)
    with subprocess.Popen([sys.executable, "-c", STOCK, str(port)], cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: takes_connections(port), 20, "pynetdicom")
            yield port, process.pid
        finally:
            process.kill()


@contextmanager
def listener(folder: Path) -> Iterator[tuple[Roles, int, int]]:
    """Our listen role as it ships, with TLS; its devices may come from any address of this machine."""
    with roles_of_a_county(folder) as roles:
        (tls_port,) = free_ports(1)
        made = roles.command("tls", "127.0.0.1")
        assert made.returncode == 0, made.stdout + made.stderr
        tls = roles.data_dir / "tls"
        roles.environ |= {
            "TELEREAD_DICOM_TLS_PORT": str(tls_port), "TELEREAD_DICOM_TLS_CERT": str(tls / "server.pem"),
            "TELEREAD_DICOM_TLS_KEY": str(tls / "server.key"), "TELEREAD_DICOM_TLS_CA": str(tls / "authority.pem"),
        }  # fmt: skip
        with sqlite3.connect(roles.data_dir / "teleread.sqlite3") as database:
            database.execute("UPDATE device SET address_range = '127.0.0.0/8' WHERE ae_title = 'QS_CT'")
        database.close()
        roles.start("listen")
        until(lambda: takes_connections(tls_port), 20, "the TLS port")
        yield roles, roles.process_id("listen"), tls_port


def idle_share(port: int, process: int, open_one: Open) -> float:
    """CPU as a share of one core while 50 connections of two sources do nothing."""
    with ExitStack() as stack:
        for number in range(N_IDLE):
            stack.enter_context(open_one(port, f"127.0.1.{number % 2 + 1}"))  # type: ignore[arg-type]
        time.sleep(0.5)
        return cpu_share(process, WINDOW_S)


def idle_rows(work: Path, roles: Roles, process: int) -> Iterator[tuple[str, str, str, int, bool]]:
    kinds: dict[str, Open] = {"associations": associate, "plain TCP connections": connect}
    none = cpu_share(process, WINDOW_S)
    yield f"no connection: CPU of all listener processes over {WINDOW_S:.0f} s", "—", f"{none:.1%}", 1, True
    shares: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in kinds}
    for _ in range(N):  # in turn: what else the machine does meets both
        for kind, open_one in kinds.items():
            shares[kind][0].append(idle_share(roles.dicom_port, process, open_one))
            with stock(work) as (port, stock_process):
                shares[kind][1].append(idle_share(port, stock_process, open_one))
    for kind, (ours, theirs) in shares.items():
        yield (
            f"{N_IDLE} idle {kind}: CPU of all listener processes over {WINDOW_S:.0f} s", "≤ 2 % of a core",
            f"{_shares(ours)}; stock pynetdicom {_shares(theirs)}", N, statistics.median(ours) <= MOST_IDLE_SHARE,
        )  # fmt: skip


def _shares(values: list[float]) -> str:
    return f"{statistics.median(values):.1%} ({min(values):.1%}–{max(values):.1%})"


def attacked(hostile: Hostile, roles: Roles, process: int, tls_port: int) -> tuple[float, list[float], list[str]]:
    """Highest growth of memory in MB, the waits of C-ECHOs (bare sockets and DCMTK), and what was not answered."""
    before = highest = own_bytes(tree(process)) / 1e6
    stop, port = threading.Event(), tls_port if hostile.is_tls else roles.dicom_port
    with ExitStack() as stack, echoing(roles.dicom_port, hostile.spares) as waits:
        thread = threading.Thread(target=hostile.attack, args=(port, stack, stop))
        thread.start()
        until_s = time.monotonic() + hostile.seconds
        while time.monotonic() < until_s:
            waits.seconds.append(_echoscu_s(roles.dicom_port, waits.failed))
            highest = max(highest, own_bytes(tree(process)) / 1e6)
        stop.set()
        thread.join()
    return highest - before, waits.seconds, waits.failed


def _echoscu_s(port: int, failed: list[str]) -> float:
    began_s = time.monotonic()
    command = [require("echoscu"), "-aet", "QS_CT", "-aec", "TELEREAD", "127.0.0.1", str(port)]
    environ = {**os.environ, "TCP_NODELAY": "1"}
    if subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False).returncode:
        failed.append("echoscu")
    return time.monotonic() - began_s


def hostile_rows(roles: Roles, process: int, tls_port: int) -> Iterator[tuple[str, str, str, int, bool]]:
    for _ in range(100):  # warm: pages that a process writes are its own from then on, hostile peers or not
        echo_s(roles.dicom_port, "127.0.0.1")
    for hostile in HOSTILES:
        growth, waits, failed = attacked(hostile, roles, process, tls_port)
        value = f"+{max(0.0, growth):.0f} MB; {max(waits):.2f} s (median {statistics.median(waits):.3f} s)"
        value += f"; {len(failed)} not answered" if failed else ""
        is_well = growth < MOST_GROWTH_MB and max(waits) <= MOST_WAIT_S and not failed
        yield f"{hostile.name}: memory; longest wait of a valid C-ECHO", "< 50 MB; ≤ 1 s", value, len(waits), is_well
    with sqlite3.connect(roles.data_dir / "teleread.sqlite3") as database:
        query = "SELECT count(*) FROM audit_event WHERE act = 'association.open' AND result != 'ok'"
        (n_rows,) = database.execute(query).fetchone()
    database.close()
    yield "rows of refusals in the audit trail after all of these", "—", str(n_rows), 1, True


def main() -> int:
    """Measure, print the rows, write them down; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.connections", description=__doc__)
    parser.add_argument("--only", choices=("idle", "hostile"), help="these only, and nothing is written")
    only = parser.parse_args().only
    rows, is_well = [], True
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="teleread-connections-")))
        roles, process, tls_port = stack.enter_context(listener(work / "county"))
        parts = [] if only == "hostile" else [idle_rows(work, roles, process)]
        parts += [] if only == "idle" else [hostile_rows(roles, process, tls_port)]
        for what, target, value, count, met in chain(*parts):
            is_well &= met
            rows.append(f"| {what} | {target} | {value} | {count} |")
            print(rows[-1] + ("" if met else " MISSED"), flush=True)
    if only is None:
        head = f"{document.now()} UTC, commit {document.commit()}, {document.machine()}, load {os.getloadavg()[0]:.1f}."
        table = "| what | target | measured: median (lowest–highest) | n |\n|---|---|---|---|"
        document.replace_section("connections", "\n".join([head, "", table, *rows]))
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
