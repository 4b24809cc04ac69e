"""The conformance statement against a running listener: all that it claims is accepted, all else is refused."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation, SOPClassExtendedNegotiation
from pynetdicom.presentation import build_context

from pacs_bridge.listener import Listener
from tests import conformance
from tests.docs import web_app
from tests.peers import dcmtk
from tests.peers.listening import allow
from tests.peers.township import Township, township
from worklist.base.db import Database

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
STATEMENT = (conformance.ROOT / "docs" / "dicom-conformance.md").read_text("utf-8")
PUBLIC = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "SOP Class"}
# A media directory and print's "stored" classes sit under other roots; what storage takes is the statement's own list.
STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT")
        yield made


def chapter(title: str) -> str:
    """The text under one heading, up to the next of its level or above."""
    level, rest = re.split(rf"^(#+) {re.escape(title)}.*$", STATEMENT, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def uids(text: str) -> list[str]:
    return re.findall(r"`(1\.2\.[0-9.]+)`", text)


def services_claimed() -> dict[str, str]:
    """SOP class → service, of the table of services."""
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| [^|]+ \| `([0-9.]+)` \|", chapter("作为提供方的服务"), re.MULTILINE)
    return {uid: service for service, uid in rows}


def answers(
    port: int, proposed: Sequence[tuple[str, Sequence[str]]], negotiation: Sequence[Any] = (), calling: str = "QS_CT"
) -> tuple[dict[tuple[str, str], int], Any]:
    """((SOP class, first syntax) → result, the association), proposed by stock pynetdicom; released."""
    results: dict[tuple[str, str], int] = {}
    association: Any = None
    for start in range(0, len(proposed), 128):
        ae = AE(calling)
        contexts = [build_context(UID(sop_class), [UID(one) for one in syntaxes])
                    for sop_class, syntaxes in proposed[start : start + 128]]  # fmt: skip
        association = ae.associate("127.0.0.1", port, contexts, ae_title="TELEREAD", ext_neg=list(negotiation))
        for context in (*association.accepted_contexts, *association.rejected_contexts):
            asked = contexts[(context.context_id or 1) // 2]  # numbered 1, 3, 5 … in order
            results[str(asked.abstract_syntax), str(asked.transfer_syntax[0])] = int(context.result or 0)
        if association.is_established:
            association.release()
    return results, association


def test_every_claimed_class_is_accepted_and_no_other(listener: Listener) -> None:
    claimed = {*services_claimed(), *uids(chapter("存储类"))}
    assert len(claimed) > 150
    results, _ = answers(listener.port, [(uid, (IMPLICIT,)) for uid in sorted(PUBLIC | claimed)])
    assert {uid for uid, _ in results} == PUBLIC | claimed
    accepted = {uid for (uid, _), result in results.items() if result == 0}
    unnamed = {uid for uid in accepted - claimed if not uid.startswith(STORAGE_ROOT)}
    assert claimed - accepted == set()
    assert unnamed == set()
    assert {result for (uid, _), result in results.items() if uid not in accepted} == {3}


def test_every_claimed_transfer_syntax_is_accepted_and_no_other(listener: Listener) -> None:
    of_storage = uids(chapter("传输语法"))
    of_services = uids(re.split("传输语法 Their", chapter("作为提供方的服务"))[1].partition("###")[0])
    ct, unknown = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.6"
    classes = [uid for uid, service in services_claimed().items() if service != "echo"]
    proposed = [(ct, (one,)) for one in (*of_storage, unknown)]
    proposed += [(uid, (one,)) for uid in classes for one in (*of_services, unknown)]
    results, _ = answers(listener.port, proposed)
    assert len(results) == len(proposed)
    assert {key for key, result in results.items() if result == 4} == {(uid, unknown) for uid in (ct, *classes)}
    assert {result for (_, syntax), result in results.items() if syntax != unknown} == {0}


def test_the_peers_preference_decides_and_big_endian_comes_last(listener: Listener) -> None:
    big = "1.2.840.10008.1.2.2"
    for offered, chosen in (((IMPLICIT, EXPLICIT), IMPLICIT), ((big, EXPLICIT), EXPLICIT), ((big,), big)):
        _, association = answers(listener.port, [("1.2.840.10008.5.1.4.1.1.2", offered)])
        assert [str(one.transfer_syntax[0]) for one in association.accepted_contexts] == [chosen]


def test_extended_negotiation_is_answered_as_claimed(listener: Listener) -> None:
    rows = re.findall(r"`([0-9.]+)` \| [^|]+ \| ([0-9a-f ]+) \|$", chapter("作为提供方的服务"), re.MULTILINE)
    assert len(rows) > 5
    for uid, claimed in rows:
        wish = SOPClassExtendedNegotiation()
        wish.sop_class_uid, wish.service_class_application_information = UID(uid), b"\x01" * 6
        _, association = answers(listener.port, [(uid, (IMPLICIT,))], [wish])
        assert {str(key): value.hex(" ") for key, value in association.acceptor.sop_class_extended.items()} == {uid: claimed}


def test_roles_are_given_as_claimed(listener: Listener) -> None:
    """C-GET's storage and commitment's results: the peer as provider; nowhere else."""
    takers = set(uids(chapter("角色选择")))
    classes = [*services_claimed(), "1.2.840.10008.5.1.4.1.1.2"]
    for uid in classes:
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = UID(uid), True, True
        _, association = answers(listener.port, [(uid, (IMPLICIT,))], [role])
        (context,) = association.accepted_contexts
        assert context.as_scp == (uid in takers or uid not in services_claimed()), uid


def test_a_device_without_a_service_is_refused_it(listener: Listener, county: Township) -> None:
    claimed = services_claimed()
    for service in sorted(set(claimed.values())):
        allow(county, "QS_CT", services=[one for one in set(claimed.values()) | {"store"} if one != service])
        results, _ = answers(listener.port, [(uid, (IMPLICIT,)) for uid in claimed])
        assert {uid for (uid, _), result in results.items() if result == 1} == {
            uid for uid, of in claimed.items() if of == service
        }


def test_what_needs_trust_is_refused_without_it(listener: Listener, county: Township) -> None:
    allow(county, "QS_CT", exception_reason=None)
    needing = set(re.findall(r"`([0-9.]+)` \| 证书或书面例外", chapter("作为提供方的服务")))
    assert len(needing) > 5
    results, _ = answers(listener.port, [(uid, (IMPLICIT,)) for uid in services_claimed()])
    assert {uid for (uid, _), result in results.items() if result == 1} == needing


def test_refusals_are_those_of_the_statement(listener: Listener) -> None:
    assert "1/1/3" in chapter("拒绝")
    assert "1/1/7" in chapter("拒绝")
    refused = dcmtk.run("echoscu", "-v", "-aet", "NOBODY", "-aec", "TELEREAD", "127.0.0.1", str(listener.port))
    assert "Calling AE Title Not Recognized" in refused.stderr + refused.stdout
    refused = dcmtk.run("echoscu", "-v", "-aet", "QS_CT", "-aec", "OTHER", "127.0.0.1", str(listener.port))
    assert "Called AE Title Not Recognized" in refused.stderr + refused.stdout


def test_the_listener_says_who_it_is(listener: Listener) -> None:
    _, association = answers(listener.port, [(conformance.VERIFICATION, (IMPLICIT,))])
    said = association.acceptor
    assert f"`{said.implementation_class_uid}`" in chapter("应用实体与关联")
    assert f"`{said.implementation_version_name}`" in chapter("应用实体与关联")
    assert f"| {said.maximum_length} bytes |" in chapter("应用实体与关联")


def test_a_hundred_and_twenty_eight_contexts(listener: Listener) -> None:
    results, association = answers(listener.port, [(f"{STORAGE_ROOT}7.{n}", (IMPLICIT,)) for n in range(1, 129)])
    assert len(association.accepted_contexts) == len(results) == 128


def test_every_service_of_the_listener_is_described() -> None:
    assert {one.service for one in conformance.office()} <= set(conformance.SERVICES)
    for service in services_claimed().values():
        assert conformance.statuses(service)
        for name in conformance.SERVICES[service][1]:
            assert (conformance.ROOT / "pacs_bridge" / f"{name}.py").exists()


def test_every_route_of_dicomweb_is_in_the_statement() -> None:
    rules = [rule for rule in web_app().url_map.iter_rules() if rule.rule.startswith("/dicom-web")]
    assert len(rules) > 20
    for rule in rules:
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        assert f" {path}`" in chapter("DICOMweb"), path
