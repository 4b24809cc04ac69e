"""What the documents say about the code, written from the code: ``python -m tests.docs``.

``docs/states.md``, ``docs/api.md``, ``docs/commands.md`` and ``docs/dicom-conformance.md`` whole; in README.md what stands between markers.
``tests/test_docs.py`` fails when a file says something else than this.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask

from reports import delivery, report
from tests import conformance
from worklist import commitment, workitem
from worklist.__main__ import _parser
from worklist.access import ACTS_BY_ROLE
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.openapi import DESCRIBED_PREFIXES, openapi
from worklist.roof import clock
from worklist.web import WebServices, create_web
from worklist.web_routes import Route, route_table
from worklist.webserver import BLUEPRINTS

ROOT = Path(__file__).parents[1]
MADE_BY = "<!-- 由代码生成，请勿手改 / made from the code, not by hand: make docs -->\n"

SETTINGS_ZH = {
    "TELEREAD_DATA_DIR": "文件、密钥与 SQLite 数据库所在目录",
    "TELEREAD_DATABASE_URL": "SQLAlchemy 数据库地址；留空：数据目录中的 SQLite",
    "TELEREAD_BLOB_URL": "影像文件存放处；file: 即数据目录",
    "TELEREAD_ARCHIVE": "归档系统：local:（仅本机）、local:/路径、orthanc+http(s)://… 或 dicomweb+http(s)://…；含密码时用 TELEREAD_ARCHIVE_FILE",
    "TELEREAD_ARCHIVE_SITES": "归档系统中出现的影像归属：AE=机构代码，逗号分隔，* 为其余；留空：按登记的设备",
    "TELEREAD_CACHE_BYTES": "已归档的文件在本机最多保留多少字节；留空：全部保留",
    "TELEREAD_HTTP_HOST": "网页服务监听地址",
    "TELEREAD_HTTP_PORT": "网页服务端口",
    "TELEREAD_OHIF_PORT": "OHIF 高级阅片器的端口（先运行 teleread ohif install）；留空：不启用",
    "TELEREAD_PUBLIC_URL": "印在二维码中的网址；留空：由地址与端口组成",
    "TELEREAD_TLS_CERT": "服务器证书（PEM）",
    "TELEREAD_TLS_KEY": "服务器私钥（PEM）",
    "TELEREAD_BEHIND_PROXY": "1：TLS 由前面的代理终止",
    "TELEREAD_DICOM_HOST": "DICOM 监听地址；演示时为 127.0.0.1",
    "TELEREAD_DICOM_PROCESSES": "接收进程数；留空：每核一个，至多 4 个",
    "TELEREAD_DICOM_TLS_PORT": "DICOM TLS 端口；留空：不启用",
    "TELEREAD_DICOM_TLS_CERT": "DICOM TLS 服务器证书（PEM）",
    "TELEREAD_DICOM_TLS_KEY": "DICOM TLS 私钥（PEM）",
    "TELEREAD_DICOM_TLS_CA": "客户端证书所信任的 CA（PEM）",
    "TELEREAD_DICOM_PORT": "DICOM 监听端口",
    "TELEREAD_MAX_FRAME_BYTES": "一帧解码后的最大字节数；更大的不显示",
    "TELEREAD_AE_TITLE": "本机 AE 标题",
    "TELEREAD_DEMO_PASSWORD": "演示用户的密码；留空：随机生成，只显示一次",
    "TELEREAD_DEMO_RETURN_PORT": "QS_PACS 的端口；BS_PACS 为其加一",
    "TELEREAD_LANGUAGE": "用户选择之前的界面语言",
    "TELEREAD_TIMEZONE": "界面与纸面的时区",
}
Table = Mapping[tuple[StrEnum | None, StrEnum], StrEnum]
MACHINES: tuple[tuple[str, str, Table, str], ...] = (
    ("阅片任务", "Workitem", workitem.TRANSITIONS, "worklist/workitem.py"),
    ("诊断报告", "Report", report.TRANSITIONS, "reports/report.py"),
    ("报告回传", "Delivery", delivery.TRANSITIONS, "reports/delivery.py"),
    ("存储承诺", "Commitment", commitment.TRANSITIONS, "worklist/commitment.py"),
)


def states_md() -> str:
    """The transition tables as Mermaid diagrams, and as tables."""
    parts = [
        MADE_BY,
        "# 状态 States\n",
        "每张表只写在一个模块里；表中没有的，就是拒绝，且什么都不改变。\n",
        "Each table stands in one module; what is absent from it is refused and changes nothing.\n",
    ]
    for zh, en, table, source in MACHINES:
        parts += [f"## {zh} {en}\n", f"[`{source}`](../{source})\n", _mermaid(table), _transitions(table)]
    return "\n".join(parts)


def _mermaid(table: Table) -> str:
    moves: dict[tuple[str, str], list[str]] = {}
    for before, move, after in _moves(table):
        moves.setdefault((_state(before), _state(after)), []).append(str(move))
    first, _ = next(iter(table))
    ends = {after for _, after in moves} - {before for before, after in moves if before != after}
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [] if first is None else [f"    [*] --> {_state(first)}"]
    lines += [f"    {before} --> {after} : {', '.join(names)}" for (before, after), names in moves.items()]
    lines += [f"    {state} --> [*]" for state in sorted(ends)]
    return "\n".join([*lines, "```", ""])


def _moves(table: Table) -> Iterator[tuple[StrEnum | None, StrEnum, StrEnum]]:
    """The table's entries; of a report also what they become from its second document version on."""
    for (before, move), after in table.items():
        yield before, move, after
        if isinstance(move, report.ReportMove) and isinstance(before, report.ReportStatus):
            later = report.moved(before, move, document_version=2)
            if later is not after:
                yield before, move, later


def _state(state: StrEnum | None) -> str:
    return "[*]" if state is None else state.value.replace(" ", "_")


def _transitions(table: Table) -> str:
    lines = ["| 从 from | 动作 move | 到 to |", "|---|---|---|"]
    for before, move, after in _moves(table):
        lines.append(f"| {'—' if before is None else before.value} | `{move.value}` | {after.value} |")
    return "\n".join([*lines, ""])


@cache
def web_app() -> Flask:
    """The pages and the API without a database behind them."""
    services = WebServices(db=Database("sqlite:///never-opened"), settings=Settings(), now=clock, blueprints=BLUEPRINTS)
    return create_web(services)


def api_md() -> str:
    """Every route of the API: who may call it, what it takes, what it answers."""
    app = web_app()
    described = openapi(app)["paths"]
    parts = [
        MADE_BY,
        "# HTTP API\n",
        "`Authorization: Bearer <token>`（`POST /api/login` 取得）或浏览器会话。机器可读：`GET /api/openapi.json`。"
        "错误只有一种形状：`{\"error\": {\"code\", \"message\", \"details\"}}`；外机构的对象是 404，不是 403。\n",
        "`Authorization: Bearer <token>` (from `POST /api/login`) or a browser session. For machines:"
        " `GET /api/openapi.json`. Errors have one shape; another site's object is 404, not 403.\n",
        "`GET /api/events` 是事件流（text/event-stream），`Last-Event-ID` 之后续传，不丢失。"
        " `GET /api/events` is the event stream; it goes on after `Last-Event-ID` without loss.\n",
    ]
    for route in _described(app):
        for method in route.methods:
            parts.append(_operation_md(route, method, described))
    return "\n".join(parts)


def _described(app: Flask) -> Iterator[Route]:
    return (route for route in route_table(app) if route.rule.startswith(DESCRIBED_PREFIXES))


def _operation_md(route: Route, method: str, described: Mapping[str, Any]) -> str:
    path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", route.rule)
    operation = described[path][method.lower()]
    lines = [f"### `{method} {path}`\n", f"{operation['summary']}.\n" if operation["summary"] else ""]
    roles = sorted(role for role in ACTS_BY_ROLE if route.declaration.allows(role))
    who = "任何人 anyone" if route.declaration.is_public else "、".join(f"`{role}`" for role in roles)
    lines.append(f"- 谁 who: {who}")
    if query := [entry["name"] for entry in operation["parameters"] if entry["in"] == "query"]:
        lines.append("- 查询 query: " + ", ".join(f"`{name}`" for name in query))
    if body := operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema"):
        lines.append(f"- 正文 body: {_fields(body)}")
    answers = [f"{status} {answer['description']}" for status, answer in operation["responses"].items()]
    lines.append("- 回答 answers: " + "; ".join(answers))
    return "\n".join([line for line in lines if line] + [""])


def _fields(schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    names = [f"`{name}`" + ("" if name in required else "?") for name in schema.get("properties", {})]
    return ", ".join(names) if names else "`{}`"


def commands_md() -> str:
    """Every command with its arguments, and every setting."""
    lines = [MADE_BY, "# 命令与设置 Commands and settings\n", "## 命令 Commands\n"]
    lines += ["| 命令 command | 说明 |", "|---|---|"]
    lines += [f"| `teleread {name}` | {text} |" for name, text in commands()]
    lines += ["", "## 设置 Settings\n", "环境变量，或写在 `teleread.toml`；`…_FILE` 从文件读取。", ""]
    lines += ["Environment variables, or `teleread.toml`; `…_FILE` reads the value from a file.\n", settings_table()]
    return "\n".join(lines)


def commands(parser: argparse.ArgumentParser | None = None, before: str = "") -> Iterator[tuple[str, str]]:
    """(``send FILES… --to AE@HOST:PORT``, help) of each command, in the order of ``teleread --help``."""
    parser = parser or _parser()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                inner = list(commands(command, f"{before}{name} "))
                text = command.description or parser.description or ""
                yield from inner or [(f"{before}{name}{_arguments(command)}", text)]


def _arguments(command: argparse.ArgumentParser) -> str:
    words = []
    for action in command._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        value = str(action.metavar or action.dest).upper() + ("…" if action.nargs in ("*", "+") else "")
        if action.choices and not action.option_strings:
            value = "/".join(map(str, action.choices))
        word = value if not action.option_strings else action.option_strings[-1] + (f" {value}" if action.nargs != 0 else "")
        words.append(word if action.required and action.nargs not in ("*", "?") else f"[{word}]")
    return "".join(f" {word}" for word in words).replace("|", "\\|")


def settings_table() -> str:
    """Name, default, meaning of each setting in both languages."""
    lines = ["| 设置 setting | 默认 default | 说明 |", "|---|---|---|"]
    for setting in fields(Settings):
        name, default = setting.metadata["name"], setting.default
        shown = f"`{default}`" if default else "—"
        lines.append(f"| `{name}` | {shown} | {SETTINGS_ZH[name]}<br>{setting.metadata['help']} |")
    return "\n".join([*lines, ""])


def between(text: str, name: str, block: str) -> str:
    """``text`` with ``block`` between the markers of ``name``. Raises ValueError where they are missing."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    head, found, rest = text.partition(start)
    _, also, tail = rest.partition(end)
    if not (found and also):
        raise ValueError(f"no markers {start} … {end}")
    return f"{head}{start}\n{block}\n{end}{tail}"


def documents() -> dict[Path, str]:
    """Every file this writes, with what belongs in it."""
    readme = ROOT / "README.md"
    return {
        ROOT / "docs" / "states.md": states_md(),
        ROOT / "docs" / "api.md": api_md(),
        ROOT / "docs" / "commands.md": commands_md(),
        ROOT / "docs" / "dicom-conformance.md": conformance.statement(web_app()),
        readme: between(readme.read_text("utf-8"), "settings", settings_table()),
    }


def main() -> int:
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
