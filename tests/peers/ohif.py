"""OHIF's published files for a product of the tests: fetched by npm once, then kept beside the virtual environment."""

import os
import shutil
from pathlib import Path

from tests.peers.lacking import lacking
from worklist.base.config import ConfigError, Settings
from worklist.ohif import VERSION
from worklist.ohif_install import install

KEPT = Path(__file__).resolve().parents[2] / ".venv" / "ohif-files"


def ohif_in(data_dir: Path) -> None:
    """Put it where the product looks. `lacking` without npm's registry."""
    try:
        made = install(Settings(data_dir=str(KEPT)), None)
    except ConfigError as error:
        lacking(f"OHIF is missing: {error}")
    shutil.copytree(made, data_dir / "ohif" / VERSION, copy_function=os.link)
