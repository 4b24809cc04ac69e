"""Where the server may listen."""

import pytest

from worklist.bind import bind_refusal, is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST.", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback_is_always_allowed(host: str) -> None:
    assert is_loopback(host)
    for demo in (False, True):
        assert bind_refusal(host, has_tls=False, is_behind_proxy=False, is_demo=demo) is None


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "",
        "::",
        "192.168.1.5",
        "fe80::1%eth0",
        "reader.county.example",
        "localhost.evil.example",
        "1.127.0.0",
    ],
)
def test_beyond_loopback_needs_tls_or_a_proxy_and_is_no_demo(host: str) -> None:
    assert not is_loopback(host)
    refusal = bind_refusal(host, has_tls=False, is_behind_proxy=False, is_demo=False)
    assert refusal is not None
    assert "TELEREAD_BEHIND_PROXY=1" in refusal
    assert "拒绝启动" in refusal
    assert bind_refusal(host, has_tls=True, is_behind_proxy=False, is_demo=False) is None
    assert bind_refusal(host, has_tls=False, is_behind_proxy=True, is_demo=False) is None
    assert "--demo" in (bind_refusal(host, has_tls=True, is_behind_proxy=True, is_demo=True) or "")
