"""The loop once with PostgreSQL under the whole product."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.postgres import PostgresServer
from tests.peers.product import Product, running_product
from tests.scenarios import test_api_loop


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Product]:
    url = postgres_server.url(postgres_server.create())
    with running_product(tmp_path_factory.mktemp("product"), database_url=url) as running:
        yield running


def test_dr_with_one_signature_on_postgresql(product: Product, tmp_path: Path) -> None:
    test_api_loop.test_dr_with_one_signature(product, tmp_path)


def test_ct_with_two_signatures_on_postgresql(product: Product, tmp_path: Path) -> None:
    test_api_loop.test_ct_with_two_signatures(product, tmp_path)
