"""The DICOM conformance statement, written from the tables the product runs on: ``docs/dicom-conformance.md``.

``tests/docs.py`` writes it; ``tests/test_conformance.py`` holds it against a running listener. What is said of a
service is asked of its provider: SOP classes, transfer syntaxes, roles, extended negotiation, statuses.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from flask import Flask
from pydicom.uid import UID

from pacs_bridge import (
    character_set,
    commitment,
    hall,
    performed_step,
    pixels,
    ports,
    query_attributes,
    scp,
    scu_query,
    spool,
    tls_context,
    ups,
)
from pacs_bridge.extract import STORAGE_CLASSES, TRANSFER_SYNTAXES
from pacs_bridge.listener import Limits
from pacs_bridge.provider import Provider
from pacs_bridge.retrieval import PLAIN
from viewer import dicomweb_accept
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.listen import providers
from worklist.roof import Roof
from worklist.web_routes import route_table

ROOT = Path(__file__).parents[1]
VERIFICATION = "1.2.840.10008.1.1"
# What each service is called, and the modules whose constants are its statuses.
SERVICES = {
    "echo": ("连通测试 Verification", ()),
    "store": ("存储 Storage", ("ports", "scp")),
    "find": ("查询 Query", ("find_scp",)),
    "move": ("转发 Retrieve by C-MOVE", ("move_scp", "retrieval")),
    "get": ("取回 Retrieve by C-GET", ("get_scp", "retrieval")),
    "commitment": ("存储承诺 Storage Commitment", ("commitment_scp", "commitment")),
    "worklist": ("检查工作列表 Modality Worklist", ("mwl_scp",)),
    "mpps": ("检查步骤 Modality Performed Procedure Step", ("mpps_scp", "performed_step")),
    "ups": ("统一工作步骤 Unified Procedure Step", ("ups_scp", "ups", "ups_rules")),
}
REJECTIONS = {
    "CALLED_AE_UNKNOWN": "被叫 AE 不是本机 / the called AE title is not ours",
    "CALLING_AE_UNKNOWN": "主叫 AE、地址或证书未登记 / calling AE title, address or certificate not registered",
    "TEMPORARY_CONGESTION": "暂时无法服务 / cannot serve for the moment",
    "LOCAL_LIMIT_EXCEEDED": "超出关联上限；不断失败的来源、TLS 连接及同时过多者，不作应答即关闭"
    " / over the limits of associations; sources that keep failing, TLS callers and a crowd are hung up on instead",
}
# PS3.8 Table 9-18.
CONTEXT_RESULTS = (
    (0, "接受 accepted"), (1, "该设备未获准使用此服务 the service is not this device's"),
    (3, "不支持的抽象语法 abstract syntax not supported"), (4, "不支持的传输语法 no transfer syntax supported"),
)  # fmt: skip
_STATUS = re.compile(r"^([A-Z][A-Z_, ]*) = ((?:0x[0-9A-F]{4})(?:, 0x[0-9A-F]{4})*)\b", re.MULTILINE)
_NO_STATUS = frozenset(("MOST_COUNTED",))
_NORMALISED = frozenset(("commitment", "mpps"))  # DIMSE-N: a data set that cannot be read is an invalid value
_NOT_OF = {"get": (0xA801,)}  # of the module that both retrieves share


def office() -> tuple[Provider, ...]:
    """Every provider of the listener, over a database that is never opened."""

    class Blobs:  # providers keep it for later; none touches it before a request
        pass

    return providers(Roof(Settings(), Database("sqlite:///never-opened"), Blobs()))  # type: ignore[arg-type]


def storage_classes() -> list[str]:
    """What storage takes without being another service's."""
    served = {uid for one in office() for uid in one.abstract_syntaxes}
    return sorted((uid for uid in STORAGE_CLASSES if uid not in served and scp.is_storage(uid)), key=_by_number)


def statement(app: Flask) -> str:
    """The whole document."""
    parts = [
        *_introduction(), *_network(), *_services(), *_storage(), *_as_user(), *_events(), *_queries(),
        *_characters(),
        *_pixels(), *_web(app), *_security(),
    ]  # fmt: skip
    return "\n".join(parts)


def statuses(service: str) -> dict[int, str]:
    """Status or failure reason → its name in the code, of one service."""
    found = {ports.SUCCESS: "SUCCESS"}
    for name in SERVICES[service][1]:
        path = ROOT / "pacs_bridge" / f"{name}.py"
        for names, values in _STATUS.findall(path.read_text("utf-8") if path.exists() else ""):
            pairs = zip(names.split(", "), values.split(", "), strict=False)
            found |= {int(value, 16): key.strip("_") for key, value in pairs if key not in _NO_STATUS}
    if service not in ("echo", "store"):  # what the frame around every provider answers (``scp.Services``)
        found |= {ports.NOT_AUTHORISED: "NOT_AUTHORISED", ports.OUT_OF_RESOURCES: "OUT_OF_RESOURCES"}
        found |= {ports.PROCESSING_FAILURE: "PROCESSING_FAILURE"}
        found |= {0x0106: "INVALID_VALUE"} if service in _NORMALISED else {ports.CANNOT_UNDERSTAND: "CANNOT_UNDERSTAND"}
    for value in _NOT_OF.get(service, ()):
        found.pop(value, None)
    return dict(sorted(found.items()))


def extended_of(provider: Provider, sop_class: str) -> str:
    """The answer to a wish for everything, byte by byte; "" for none."""
    answer = provider.extended(sop_class, b"\x01" * 6)
    return answer.hex(" ") if answer is not None else ""


def heading(zh: str, en: str, level: int = 2) -> str:
    return f"{'#' * level} {zh} {en}\n"


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([*lines, ""])


def _by_number(uid: str) -> list[int]:
    return [int(part) for part in uid.split(".")]


def _name(uid: str) -> str:
    return UID(uid).name.replace(" (Retired)", "（已废止 retired）")


def _named(uids: Iterable[str]) -> str:
    return table(("名称 name", "UID"), [(_name(uid), f"`{uid}`") for uid in sorted(uids, key=_by_number)])


# The parts ------------------------------------------------------------------------------------------------------


def _introduction() -> Iterator[str]:
    yield "<!-- 由代码生成，请勿手改 / made from the code, not by hand: make docs -->\n"
    yield "# DICOM 一致性声明 DICOM conformance statement\n"
    yield (
        "按 PS3.2 的内容编写，逐项取自程序自身的表；`tests/test_conformance.py` 用真实的对端逐条核对。"
        "装置须由管理员登记（AE 标题与地址范围，或客户端证书），每台装置只能用登记给它的服务。\n"
    )
    yield (
        "Written after PS3.2, taken entry by entry from the tables the program runs on; `tests/test_conformance.py`"
        " holds every claim against a running listener. Devices are registered by an administrator (AE title and address"
        " range, or client certificate); a device uses the services it was registered with and no others.\n"
    )


def _network() -> Iterator[str]:
    limits, settings = Limits(), Settings()
    yield heading("应用实体与关联", "Application entity and associations")
    yield table(("项 item", "值 value"), [
        ("AE 标题 AE title", f"`{settings.ae_title}` (`TELEREAD_AE_TITLE`)"),
        ("端口 port", f"{settings.dicom_port} (`TELEREAD_DICOM_PORT`); TLS: `TELEREAD_DICOM_TLS_PORT`"),
        ("Implementation Class UID", f"`{spool.IMPLEMENTATION_CLASS_UID}`"),
        ("Implementation Version Name", f"`{spool.IMPLEMENTATION_VERSION_NAME}`"),
        ("应用上下文 application context", "`1.2.840.10008.3.1.1.1`"),
        ("接收 PDU 上限 largest PDU received", f"{limits.max_pdu_bytes} bytes"),
        ("表示上下文 presentation contexts", "128"),
        ("关联总数 associations in all", limits.max_connections),
        ("每来源关联 associations of one source", limits.max_connections_per_source),
        ("握手时限 time for the association request", f"{limits.handshake_timeout_s:g} s"),
        ("静默时限 silence allowed", f"{limits.network_timeout_s:g} s"),
        ("异步操作窗口 asynchronous operations", "1/1，不协商 not negotiated"),
        ("用户身份协商 user identity negotiation", "不支持 not supported"),
    ])  # fmt: skip
    yield heading("拒绝", "Refusals", 3)
    rows = [("/".join(map(str, getattr(hall if hasattr(hall, name) else scp, name))), text) for name, text in REJECTIONS.items()]
    yield table(("结果/来源/原因 result/source/reason", "何时 when"), rows)
    yield table(("表示上下文 context result", "何时 when"), CONTEXT_RESULTS)


def _services() -> Iterator[str]:
    yield heading("作为提供方的服务", "Services as provider (SCP)")
    rows: list[tuple[str, ...]] = [
        (SERVICES["echo"][0], "`echo`", _name(VERIFICATION), f"`{VERIFICATION}`", "—", "—")
    ]
    for one in office():
        for uid in sorted(one.abstract_syntaxes, key=_by_number):
            needs = "证书或书面例外 certificate or written exception" if one.needs_trust else "—"
            rows.append((SERVICES[one.service][0], f"`{one.service}`", _name(uid), f"`{uid}`", needs,
                         extended_of(one, uid) or "—"))  # fmt: skip
    yield table(("服务 service", "登记名 registered as", "SOP Class", "UID", "另需 needs", "扩展协商 extended negotiation"), rows)
    yield (
        "“扩展协商”是对全部字节均为 01 的请求的回答（PS3.4 C.5.1.1、C.5.2.1）。"
        " Extended negotiation: our answer to a request whose bytes are all 01.\n"
    )
    syntaxes = {one.transfer_syntaxes(uid) for one in office() for uid in one.abstract_syntaxes}
    yield "这些服务的传输语法 Their transfer syntaxes:\n"
    for found in sorted(syntaxes, key=len):
        yield _named(found)
    takers = sorted({uid for one in office() for uid in one.abstract_syntaxes if one.takes_peer_as_provider(uid)})
    yield heading("角色选择", "SCP/SCU role selection", 3)
    yield table(("SOP Class", "对端可为 SCP peer may be SCP"), [
        *((f"{_name(uid)} `{uid}`", "结果在其关联上返回 results on its own association") for uid in takers),
        ("所有存储类 every storage class", "C-GET，须获准 `get` for C-GET, where the device has `get`"),
    ])  # fmt: skip
    yield heading("状态码", "Statuses", 3)
    yield table(("服务 service", "状态或失败原因 status or failure reason", "含义 meaning"), [
        (SERVICES[service][0], f"{value:04X}", name.lower().replace("_", " "))
        for service in SERVICES if service in ("echo", "store") or _serves(service)
        for value, name in statuses(service).items()
    ])  # fmt: skip


def _serves(service: str) -> bool:
    return any(one.service == service for one in office())


def _storage() -> Iterator[str]:
    yield heading("存储", "Storage")
    yield (
        "按收到的字节原样保存：任何传输语法都不改写；索引提交、文件落盘之后才回答 0000。未知的公共存储类进入隔离区，由管理员处理；"
        "私有类同样保存。Big Endian 只在别无选择时接受。\n"
    )
    yield (
        "Objects are kept byte for byte in the transfer syntax they came in; 0000 is said after file and index are durable."
        " Unknown storage classes and private ones are taken and put before an administrator. Big endian is chosen only"
        " where nothing else is offered. Coercion: none; Level 2 (full).\n"
    )
    yield heading("存储类", "Storage SOP classes", 3)
    yield _named(storage_classes())
    yield heading("传输语法", "Transfer syntaxes of storage", 3)
    yield _named(TRANSFER_SYNTAXES)


def _as_user() -> Iterator[str]:
    yield heading("作为使用方", "Services as user (SCU)")
    ours = (scu_query.STUDY_ROOT_FIND, scu_query.STUDY_ROOT_MOVE, scu_query.STUDY_ROOT_GET, scu_query.PATIENT_ROOT_FIND)
    yield table(("SOP Class", "UID", "何时 when"), [
        (_name(VERIFICATION), f"`{VERIFICATION}`", "`teleread echo`，设备页的“测试” the device page's test"),
        ("所有存储类 every storage class", "—", "报告回传、C-MOVE、`teleread send` report delivery, C-MOVE"),
        (_name(commitment.SOP_CLASS), f"`{commitment.SOP_CLASS}`", "报告回传后请求归档确认，`teleread send --commit` after a report was delivered"),
        *((_name(uid), f"`{uid}`", "`teleread find`") for uid in ours),
    ])  # fmt: skip
    names = "、".join(f"{_name(uid)} `{uid}`" for uid in PLAIN)
    yield (
        f"C-MOVE、C-GET、报告回传与 `teleread send` 先按原传输语法送出；对方不接受时解压为 {names}；"
        "仍不可行则该实例计为失败（B000 与失败清单；`teleread send` 逐个列出）。\n"
        "C-MOVE, C-GET, report delivery and `teleread send` send as stored first, else decompressed to one of these;"
        " what cannot be is a failed sub-operation (B000 with the failed list), a line of `teleread send`.\n"
    )


def _events() -> Iterator[str]:
    yield heading("主动发出的事件", "Event reports (SCP, on associations of ours)", 3)
    notified, ups_events = performed_step.NOTIFICATION_SOP_CLASS, ups.EVENT
    yield table(("SOP Class", "UID", "事件 event types", "发给谁 to whom"), [
        (_name(ups_events), f"`{ups_events}`", "1 2 3 4 5", "UPS 订阅者；4（RESTARTED WARM START、GOING DOWN）发给全局订阅者"
         " subscribers; type 4 to those who subscribed to everything"),
        (_name(notified), f"`{notified}`", "1 2 3 4", "勾选“MPPS 通知”的本机构装置 devices of the site with “MPPS notices”"),
        (_name(commitment.SOP_CLASS), f"`{commitment.SOP_CLASS}`", "1 2", "请求者 whoever asked"),
    ])  # fmt: skip
    yield (
        "对方不在、拒绝连接、类别或 SCP 角色、或中断时重试 72 小时，管理页可见；没有应答的不算送达。\n"
        "A peer that is away, refuses association, class or SCP role, or aborts is tried for 72 hours, in sight of the"
        " administrator; what was not answered has not arrived.\n"
    )


def _queries() -> Iterator[str]:
    yield heading("查询的属性", "Attributes of queries")
    yield (
        "C-FIND 与 QIDO-RS 共用。通配符、日期与时间区间、UID 列表、序列键；姓名可用汉字、拼音与首字母；"
        "表外的键使响应为 FF01。 Shared by C-FIND and QIDO-RS: wildcards, ranges, UID lists, sequence keys; names by"
        " characters, pinyin and initials; a key outside this table makes the responses FF01.\n"
    )
    rows = [
        (f"`{path}`", found.level, found.kind, "是 yes" if found.is_matched else "仅返回 returned only")
        for path, found in query_attributes.ATTRIBUTES.items()
    ]
    yield table(("属性 attribute", "层级 level", "类型 kind", "匹配 matched"), rows)


def _characters() -> Iterator[str]:
    yield heading("字符集", "Character sets")
    yield (
        "读取 (0008,0005) 的下列术语与 ISO 2022 转义；没有标签或标签不实的 GB 字节按设备登记的后备字符集读取，并在界面上注明存疑。"
        "回答用设备登记的字符集；其中写不出的姓名以拼音写入字母组，绝不写成问号。\n"
    )
    yield (
        "Read: these terms of (0008,0005), and ISO 2022 escapes; unlabelled or wrongly labelled GB bytes by the device's"
        " declared fallback, shown as doubtful. Answers are written in the device's registered set; a name it cannot hold"
        " goes out as pinyin in the alphabetic group, never as question marks.\n"
    )
    rows = [(f"`{term}`" if term else "（空 empty）", codec) for term, codec in character_set._PYTHON_CODEC.items()]
    escapes = {**character_set._BY_ESCAPE, **character_set._BY_ESCAPE_G0}
    rows += [(f"`ESC {escape.decode()}`", codec) for escape, codec in escapes.items()]
    yield table(("术语或转义 term or escape", "读作 read as"), rows)


def _pixels() -> Iterator[str]:
    yield heading("可显示的像素", "Pixels that can be displayed")
    shown = pixels.NATIVE | pixels.CODESTREAMS | {pixels.RLE}
    yield "解码在受限的进程中进行；其余对象照样保存与送出。 Decoded in processes with limits; the others are kept and sent all the same.\n"
    yield _named(shown)
    kinds = ", ".join(f"`{one}`" for one in sorted(pixels.GREY | pixels.COLOUR))
    yield f"光度解释 photometric interpretations: {kinds}\n"
    bits = ", ".join(str(one) for one in pixels.BITS_ALLOCATED)
    yield (
        f"分配位数 bits allocated: {bits}；浮点 floating point: 32, 64。"
        "灰度按查找表与窗位显示；彩色取 Bits Stored 的最高 8 位，不足 8 位的展满，与 DCMTK 一致。"
        " Grey goes through its look-up tables and windows. Of colour the 8 highest of the stored bits are shown, fewer"
        " fill the range, as DCMTK does.\n"
    )
    yield heading("不予显示的影像及原因", "What is not displayed, and why", 3)
    yield (
        "自相矛盾或残缺的文件，别的工具可能猜测或以黑色补齐后显示（如 High Bit 超出分配位数、声明的帧多于实有的帧、"
        "像素短于声明、传输语法不存在）；这里说明原因而不显示，原文件照样保存、送出。"
        " Files that contradict themselves or are incomplete may be shown by other tools, which guess or fill up with"
        " black (a High Bit beyond the bits allocated, more frames declared than there are, pixels shorter than"
        " declared, a transfer syntax that does not exist). Here the reason is shown instead; the object itself is kept"
        " and sent.\n"
    )
    sentences = json.loads((ROOT / "worklist" / "locale" / "image.json").read_text("utf-8"))
    rows = [(f"`{key.removeprefix('image.')}`", one["zh"], one["en"]) for key, one in sorted(sentences.items())]
    yield table(("代码 code", "原因", "reason"), rows)


def _web(app: Flask) -> Iterator[str]:
    yield heading("DICOMweb", "(PS3.18)")
    yield (
        "Bearer、浏览器会话或 HTTP Basic；可见范围与页面相同，越界即 404。"
        " Bearer token, browser session or HTTP Basic; what is out of sight is 404.\n"
    )
    rows = []
    for route in route_table(app):
        if route.rule.startswith("/dicom-web"):
            path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", route.rule)
            rows += [(f"`{method} {path}`", route.declaration.summary) for method in route.methods]
    yield table(("请求 request", "说明 what"), sorted(rows))
    yield heading("帧的媒体类型", "Media types of frames", 3)
    media = [(kind, ", ".join(f"`{uid}`" for uid in uids)) for kind, uids in dicomweb_accept.SYNTAXES_BY_MEDIA.items()]
    plain = ", ".join(f"`{uid}`" for uid in (dicomweb_accept.EXPLICIT_LITTLE, dicomweb_accept.IMPLICIT_LITTLE))
    yield table(("media type", "transfer-syntax"), [(dicomweb_accept.OCTETS, plain), *media])
    yield (
        f"原样存储的语法总可取得；由本机另制的只有 `{dicomweb_accept.EXPLICIT_LITTLE}` 与 HTJ2K"
        f" `{dicomweb_accept.HTJ2K_LOSSLESS}`。 The stored syntax can always be had; made by us are these two alone.\n"
    )


def _security() -> Iterator[str]:
    yield heading("安全", "Security profiles")
    yield (
        "TLS：PS3.15 B.9 Non-Downgrading BCP 195，TLS 1.2 与 1.3，必须出示客户端证书；证书指纹对应到装置。查询、转发、取回、存储承诺与 UPS"
        " 需要证书或管理员写明理由的例外。证书文件更换后无须重启。\n"
    )
    yield (
        "PS3.15 B.9: TLS 1.2 and 1.3, a client certificate always, its fingerprint names the device. What needs trust (table"
        " above) needs the certificate or an administrator's written exception. Certificates are rotated without a restart."
        " Every refusal and every query or retrieve is in the audit trail, without patient data in logs.\n"
    )
    yield table(("cipher suite (TLS 1.2)",), [(f"`{one}`",) for one in tls_context.CIPHERS.split(":")])
    yield heading("界限", "Bounds")
    rows = [(f"`{one.name}`", f"{getattr(Limits(), one.name):g}") for one in fields(Limits)]
    yield table(("项 item", "值 value"), rows)


if __name__ == "__main__":
    from tests.docs import web_app

    sys.stdout.write(statement(web_app()))
