"""What a test needs and the machine lacks: said aloud in a skip, and under CI=true a failure."""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Ends the test that needs it."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
