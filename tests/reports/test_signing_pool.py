"""The pool of signing processes: real processes, killed, stopped, given wrong PINs; and where the PIN is not."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reports.pdf import stamp
from reports.signing_pool import SigningPool, SigningRefusedError, SigningUnavailableError
from reports.verify import verify_report
from reports.verify_command import read_trust
from tests.reports.paper import PIN, REVIEWER_PIN, ZONE, clinic, prepared, request

TIMEOUT_S = 20.0  # of the tests' own pool: two cores, other work beside


@pytest.fixture(scope="module")
def pool() -> Iterator[SigningPool]:
    signing = SigningPool(clinic().authority.directory, n_processes=2, timeout_s=TIMEOUT_S)
    signing.warm_up()
    yield signing
    signing.close()


def one_process(timeout_s: float) -> SigningPool:
    signing = SigningPool(clinic().authority.directory, n_processes=1, timeout_s=timeout_s)
    signing.warm_up()
    return signing


def test_two_doctors_sign_one_report(pool: SigningPool) -> None:
    at = clinic()
    mark = stamp("report_doctor", False, "陈知远", at.now, at.author.serial, ZONE)
    started = time.perf_counter()
    once = pool.sign(request(prepared(2), stamp_pdf=mark))
    print(f"sign B-T through the pool: {(time.perf_counter() - started) * 1000:.0f} ms")
    twice = pool.sign(
        request(
            once, REVIEWER_PIN, field_name="reviewer", encrypted_pkcs8=at.reviewer.encrypted_pkcs8,
            certificate_pem=at.reviewer.certificate_pem, signer_name="周敏仪",
        )
    )  # fmt: skip
    result = verify_report(twice, read_trust(at.authority.ca_path), at.now)
    assert result.is_valid, result.reasons


def test_refusals_carry_codes_and_leave_the_process_alive(pool: SigningPool) -> None:
    before = sorted(pool.pids)
    other = clinic().reviewer
    cases = [
        (request(prepared(2), "wrong"), "wrong_pin"),
        (request(prepared(2), expected_sha256="0" * 64), "digest_mismatch"),
        (request(prepared(2), certificate_pem=other.certificate_pem), "key_mismatch"),
        (request(prepared(2), field_name="reviewer"), "earlier_field_empty"),
        (request(b"not a pdf"), "signing_failed"),
        (request(prepared(2), encrypted_pkcs8=b"\x30\x00"), "signing_failed"),
    ]
    for asked, code in cases:
        with pytest.raises(SigningRefusedError) as refused:
            pool.sign(asked)
        assert refused.value.code == code
    assert sorted(pool.pids) == before


def test_many_at_once_from_threads(pool: SigningPool) -> None:
    with ThreadPoolExecutor(6) as threads:
        signed = list(threads.map(lambda _: pool.sign(request(prepared(1))), range(6)))
    trust = read_trust(clinic().authority.ca_path)
    assert all(verify_report(pdf, trust, clinic().now).is_valid for pdf in signed)


def test_a_stopped_process_is_late_and_replaced() -> None:
    signing = one_process(1.5)
    try:
        (stuck,) = signing.pids
        os.kill(stuck, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(SigningUnavailableError):
            signing.sign(request(prepared(1)))
        assert 1.0 < time.monotonic() - started < 4
        assert signing.pids != [stuck] and not Path(f"/proc/{stuck}").exists()
        signing.warm_up()
        signing._timeout_s = TIMEOUT_S
        assert len(signing.sign(request(prepared(1)))) > len(prepared(1))
    finally:
        signing.close()


def test_a_process_that_still_loads_is_kept_for_the_next_request() -> None:
    signing = SigningPool(clinic().authority.directory, n_processes=1, timeout_s=0.01)
    try:
        before = signing.pids
        with pytest.raises(SigningUnavailableError):
            signing.sign(request(prepared(1)))
        signing._timeout_s = TIMEOUT_S
        assert signing.sign(request(prepared(1)))
        assert signing.pids == before
    finally:
        signing.close()


def test_killed_while_signing_and_while_idle() -> None:
    signing = one_process(TIMEOUT_S)
    try:
        (first,) = signing.pids
        os.kill(first, signal.SIGSTOP)  # so that the kill surely falls between question and answer
        threading.Timer(0.3, os.kill, (first, signal.SIGKILL)).start()
        started = time.monotonic()
        with pytest.raises(SigningUnavailableError):
            signing.sign(request(prepared(1)))
        assert time.monotonic() - started < 5
        signing.warm_up()
        (second,) = signing.pids
        os.kill(second, signal.SIGKILL)
        with pytest.raises(SigningUnavailableError):
            signing.sign(request(prepared(1)))
        assert signing.sign(request(prepared(1)))
    finally:
        signing.close()


def test_no_free_process_in_time_is_unavailable() -> None:
    signing = one_process(1.0)
    try:
        os.kill(signing.pids[0], signal.SIGSTOP)
        with ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(signing.sign, request(prepared(1))) for _ in range(2)]
            assert all(isinstance(one.exception(), SigningUnavailableError) for one in asked)
    finally:
        signing.close()


def test_closing_ends_the_processes_and_signs_no_more() -> None:
    signing = one_process(2.0)
    pids = signing.pids
    signing.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(SigningUnavailableError):
        signing.sign(request(prepared(1)))


def test_the_pin_is_in_no_argument_environment_or_exception(pool: SigningPool) -> None:
    pin = "Sentinel-9f2c-pin"
    with pytest.raises(SigningRefusedError) as refused:
        pool.sign(request(prepared(1), pin))
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + str(refused.value.params)
    assert pin not in told
    assert pin not in repr(request(prepared(1), pin)) and PIN not in repr(request(prepared(1)))
    for pid in pool.pids:
        for name in ("cmdline", "environ"):
            content = Path(f"/proc/{pid}/{name}").read_bytes()
            assert pin.encode() not in content and PIN.encode() not in content
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits


def test_the_pin_does_not_stay_in_the_memory_of_the_process(pool: SigningPool) -> None:
    """Read /proc/<pid>/mem as root; without that right nobody can, which is the point of not being dumpable."""
    pin = "Sentinel-77b1-memory-pin"
    with pytest.raises(SigningRefusedError):
        pool.sign(request(prepared(1), pin))
    for pid in pool.pids:
        try:
            memory = open(f"/proc/{pid}/mem", "rb")  # noqa: PTH123, SIM115 (closed below)
        except PermissionError:
            continue
        with memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                start, end = (int(edge, 16) for edge in line.split()[0].split("-"))
                if line.split()[1].startswith("rw"):
                    memory.seek(start)
                    try:
                        content = memory.read(end - start)
                    except OSError:
                        continue
                    assert pin.encode() not in content


def test_memory_is_told(pool: SigningPool) -> None:
    for pid in pool.pids:
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except PermissionError:
            continue
        print(next(row for row in rows.splitlines() if row.startswith("Pss:")))
