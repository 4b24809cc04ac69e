"""``teleread tls`` and ``teleread site|device|user add``: administration on the server's own command line. [app]

Whoever runs these may read the data directory anyway; the audit trail calls them ``system``.
"""

import argparse
import getpass
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from reports.certificate import open_authority
from worklist import admin_service, device_service, people_service, store
from worklist.access import Refused
from worklist.account_service import check_password, create_account, hash_password, normal_username
from worklist.base.config import ConfigError, Settings
from worklist.base.i18n import LANGUAGES
from worklist.base.migrate import is_current
from worklist.roof import Roof, clock, open_roof
from worklist.tables import Site
from worklist.tls import certificate_facts, make_device_tls, make_tls
from worklist.web_errors import sentence

_PEER = re.compile(r"(?P<ae>[^@]{1,16})@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\[\]]+):(?P<port>\d{1,5})")


def parse_peer(text: str) -> tuple[str, str, int]:
    """``AE@HOST:PORT`` as (AE title, host, port). Raises ConfigError."""
    found = _PEER.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ConfigError(f"{text!r}: 须为 AE@主机:端口 / must be AE@HOST:PORT, e.g. PACS@10.21.3.5:11112")
    with explained():
        return admin_service.check_ae_title(found["ae"]), found["host"].strip("[]"), int(found["port"])


@contextmanager
def explained() -> Iterator[None]:
    """Refusals of the services become ConfigError with their sentence in both languages."""
    try:
        yield
    except Exception as error:
        code, params = getattr(error, "code", None), getattr(error, "params", None)
        if not isinstance(code, str) or not isinstance(params, dict) or isinstance(error, SQLAlchemyError):
            raise
        raise ConfigError(" / ".join(sentence(code, params, language) for language in LANGUAGES)) from error


@contextmanager
def command_roof(settings: Settings) -> Iterator[Roof]:
    """A roof over a database of the right schema. Raises ConfigError that says how to mend it."""
    roof = open_roof(settings)
    try:
        try:
            current = is_current(roof.db)
        except (SQLAlchemyError, CommandError) as error:
            cause = type(getattr(error, "orig", None) or error).__name__
            raise ConfigError(f"数据库无法访问（{cause}） / the database cannot be reached ({cause})") from error
        if not current:
            raise ConfigError("数据库结构不是当前版本，先运行 teleread migrate / run teleread migrate first")
        yield roof
    finally:
        roof.close()


def tls_command(settings: Settings, hosts: Sequence[str]) -> None:
    """Make a local authority (once) and a server certificate for ``hosts``; says how to use them."""
    with explained():
        files = make_tls(settings.data_path / "tls", hosts, clock())
    print(f"服务器证书 / server certificate for {', '.join(hosts)}:")
    print(f"  TELEREAD_TLS_CERT={files.certificate}")
    print(f"  TELEREAD_TLS_KEY={files.key}")
    print(f"在各工作站安装一次证书机构 / install the authority once on every workstation:\n  {files.authority}")


def device_tls_command(settings: Settings, ae_title: str) -> None:
    """``teleread tls device AE_TITLE``: a certificate for a registered device, known to the listener from now on."""
    with command_roof(settings) as roof, explained(), roof.db.write() as session:
        if store.device_by_ae_title(session, ae_title) is None:
            raise Refused("not_found")
        files = make_device_tls(settings.data_path / "tls", ae_title, roof.now())
        facts = certificate_facts(files.certificate.read_text("ascii"))
        assert facts is not None  # noqa: S101  written just now
        values = {"certificate_sha256": facts[0], "certificate_valid_until": facts[1]}
        device_service.change_device(session, None, ae_title, values, roof.now())
    print(f"设备证书已登记 / device certificate registered: {ae_title}, {facts[1]:%Y-%m-%d}")
    print("此后须以此证书连接；请安全地拷到设备上 / it must come with it from now on; copy to the device safely:")
    print(*(f"  {path}" for path in (files.certificate, files.key, files.authority)), sep="\n")


def add_site_command(settings: Settings, options: argparse.Namespace) -> None:
    """``teleread site add CODE NAME …``."""
    values: dict[str, Any] = {
        "code": options.code, "name_zh": options.name, "name_en": options.name_en or options.name,
        "accession_prefix": options.prefix, "reads": options.reads,
        "signatures_by_modality": parse_signatures(options.signatures),
    }  # fmt: skip
    if options.return_to:
        title, host, port = parse_peer(options.return_to)
        values |= {"return_ae_title": title, "return_host": host, "return_port": port}
    with command_roof(settings) as roof, explained(), roof.db.write() as session:
        admin_service.add_site(session, None, values, roof.now())
    print(f"机构已添加 / site added: {options.code}")


def parse_signatures(text: str) -> dict[str, int]:
    """``CT=2,*=1`` as {"CT": 2, "*": 1}; what is not named needs one. Raises ConfigError."""
    rule = {"*": 1}
    for part in filter(None, text.split(",")):
        modality, _, number = part.strip().partition("=")
        if not re.fullmatch(r"\*|[A-Z]{2,16}", modality) or number not in ("1", "2"):
            raise ConfigError(f"--signatures {text!r}: 须如 CT=2,*=1 / must be like CT=2,*=1, each 1 or 2")
        rule[modality] = int(number)
    return rule


def add_device_command(settings: Settings, options: argparse.Namespace) -> None:
    """``teleread device add AE_TITLE …``."""
    if options.modality not in device_service.TYPES:
        raise ConfigError(f"--modality {options.modality!r}: {' '.join(device_service.TYPES)}")
    values: dict[str, Any] = {
        "ae_title": options.ae_title, "site": options.site, "modality": options.modality, "name": options.name,
        "address_range": options.address, "quiet_time_s": options.quiet_time_s,
    }  # fmt: skip
    values |= _device_extras(options)
    with command_roof(settings) as roof, explained(), roof.db.write() as session:
        device = device_service.add_device(session, None, values, roof.now())
        line = f"{device.ae_title} {device.address_range}, {device.quiet_time_s} s"
    print(f"设备已添加 / device added: {line}")


def _device_extras(options: argparse.Namespace) -> dict[str, Any]:
    """What was given beyond the necessary. Raises ConfigError."""
    values: dict[str, Any] = {}
    if options.services:
        values["services"] = [name.strip() for name in options.services.split(",") if name.strip()]
    if options.certificate:
        try:
            facts = certificate_facts(options.certificate.read_text("ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--certificate {options.certificate}: 无法读取 / cannot be read") from error
        if facts is None:
            raise ConfigError(f"--certificate {options.certificate}: 不是 PEM 证书 / is no PEM certificate")
        values["certificate_sha256"], values["certificate_valid_until"] = facts
    if options.reached_at:
        host, _, port = options.reached_at.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigError(f"--reached-at {options.reached_at!r}: 须为 主机:端口 / must be HOST:PORT")
        values |= {"host": host.strip("[]"), "port": int(port)}
    if options.character_set:
        values["character_set"] = options.character_set
    if options.exception:
        values["exception_reason"] = options.exception
    return values


def add_user_command(settings: Settings, options: argparse.Namespace) -> None:
    """``teleread user add USERNAME NAME …``; a licence also brings a signing key under a PIN.

    Password (and PIN) are asked on the terminal, or read as the first (and second) line of standard input.
    """
    username = normal_username(options.username)
    licence_until = _licence_until(options)
    with command_roof(settings) as roof, explained():
        site_id = _site_id(roof, options.site)
        password = _secret("密码 / password")
        check_password(password, username)
        pin = ""
        if options.licence:
            pin = _secret("签名密码 / sign PIN")
            people_service.check_pin(pin, password)
        _add_user(roof, options, username, site_id, password, pin, licence_until)
    print(f"用户已添加 / user added: {username}" + (" + 签名证书 / signing key" if pin else ""))


def _licence_until(options: argparse.Namespace) -> date | None:
    if not options.licence:
        return None
    try:
        return date.fromisoformat(options.licence_until)
    except ValueError:
        raise ConfigError("--licence-until: 须为 YYYY-MM-DD / must be YYYY-MM-DD") from None


def _site_id(roof: Roof, code: str) -> int:
    with roof.db.read() as session:
        site: Site | None = store.site_by_code(session, code)
    if site is None:
        raise ConfigError(f"--site {code}: 未知机构 / unknown site")
    return site.id


def _add_user(
    roof: Roof, options: argparse.Namespace, username: str, site_id: int, password: str, pin: str,
    licence_until: date | None,
) -> None:  # fmt: skip
    """The slow hash and the key before the transaction; account, licence and key in one."""
    now, hashed = roof.now(), hash_password(password)
    made = None
    if pin:
        authority = open_authority(roof.keys_dir, now)
        may_review = people_service.may_review(options.role)
        made = authority.new_doctor_key(options.name, options.licence, may_review, pin, now)
    with roof.db.write() as session:
        account = create_account(
            session, None, username=username, password_hash=hashed, name=options.name, role=options.role,
            site_id=site_id, kinds=tuple(filter(None, options.kinds.split(","))), now=now,
        )  # fmt: skip
        if made is not None:
            people_service.change_licence(
                session, None, account, now, licence_number=options.licence, licence_valid_until=licence_until
            )
            session.flush()
            person = people_service.person_by_username(session, username)
            people_service.keep_key(session, None, person, made, now, now.astimezone(roof.settings.zone).date())


def _secret(prompt: str) -> str:
    """Asked twice on a terminal; else the next line of standard input. Raises ConfigError."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line.strip("\r\n"):
            raise ConfigError(f"{prompt}: 标准输入中没有 / not on standard input")
        return line.rstrip("\r\n")
    first = getpass.getpass(f"{prompt}: ")
    if first != getpass.getpass(f"{prompt} (再次 / again): "):
        raise ConfigError(f"{prompt}: 两次输入不一致 / the two entries differ")
    return first
