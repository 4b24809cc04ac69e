"""A listener killed between a commitment request and its result: the device hears it after the restart, once."""

import time
from pathlib import Path

from sqlalchemy import select, update

from tests.peers.dcmjs import script
from tests.peers.dcmtk import storescu
from tests.peers.instances import write_instance
from tests.peers.ports import free_port
from tests.peers.product import until
from tests.peers.roles import roles_of_a_county
from worklist.base.db import Database
from worklist.commitment_tables import CommitmentTransaction
from worklist.migrations.metadata import metadata
from worklist.tables import Device

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_a_result_outlives_the_listener(tmp_path: Path) -> None:
    metadata()
    (tmp_path / "sent").mkdir()
    path = write_instance(tmp_path / "sent", side=16)
    with roles_of_a_county(tmp_path / "county") as roles:
        (database_file,) = roles.data_dir.glob("*.sqlite3")
        database, port = Database(f"sqlite:///{database_file}"), free_port()
        values = {"services": ["echo", "store", "commitment"], "exception_reason": "test", "host": "127.0.0.1", "port": port}
        with database.write() as session:
            session.execute(update(Device).where(Device.ae_title == "QS_CT").values(**values))
        roles.start("listen")
        assert storescu(roles.dicom_port, "QS_CT", [path]).returncode == 0
        asked = {"from": "QS_CT", "to": "TELEREAD", "transaction": "1.2.3.9", "lingerMs": 20000}
        uid = path.name.partition("-")[0]
        with script("commitment.js", "ask", port=roles.dicom_port, references=[[CT, uid]], **asked) as modality:
            assert modality.wait("action")["action"] == 0
            roles.kill("listen")
            assert not modality.all("event")
        with script("commitment.js", "hear", port=port) as device:
            device.wait("listening")
            roles.start("listen")
            roles.start("work")
            assert device.wait("event", 40)["event"] == 1

            def state() -> str:
                with database.read() as session:
                    return session.scalars(select(CommitmentTransaction.state)).one()

            until(lambda: state() == "TOLD", 10, "the acknowledgement to be noted")
            time.sleep(2)
            assert len(device.all("event")) == 1
        database.dispose()
