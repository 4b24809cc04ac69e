"""One product for the scenarios of a module, and the township's PACS beside it."""

from collections.abc import Iterator

import pytest

from tests.peers.product import Product, running_product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(tmp_path_factory.mktemp("product")) as running:
        yield running
