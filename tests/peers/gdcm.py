"""GDCM's gdcmscu as the other end, by way of ``relay(..., keeps_release=True)``: see there why."""

import re
import subprocess

from tests.peers import dcmtk


def gdcmscu(port: int, mode: str, *arguments: str, calling: str = "QS_CT") -> subprocess.CompletedProcess[str]:
    return dcmtk.run("gdcmscu", mode, "--aetitle", calling, "--call", "TELEREAD", "127.0.0.1", str(port), *arguments)


def find(port: int, root: str, level: str, *keys: str) -> list[dict[str, str]]:
    """What a C-FIND was answered: values by tag (``0010,0010``). ``root``: study | patient."""
    wanted = [word for key in keys for word in ("--key", key)]
    result = gdcmscu(port, "--find", f"--{root}root", f"--{level}", "-V", *wanted)
    assert result.returncode == 0, result.stderr
    said = result.stdout + result.stderr
    assert "Find was successful" in said
    _, *answers = re.split(r"Find Response: \d+\n", said)
    return [
        {tag: value.strip() for tag, value in re.findall(r"^\(([0-9a-f,]{9})\) \S+ \(..\) \[?(.*?)\]? +# ", one, re.M)}
        for one in answers
    ]
