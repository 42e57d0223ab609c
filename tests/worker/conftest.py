"""Both kinds of wire."""

import pytest

from tests.worker.http.servers import Wire, tls_wire


@pytest.fixture(scope="session")
def tls() -> Wire:
    """Made once: keys take their time."""
    return tls_wire()


@pytest.fixture(params=["http", "https"])
def wire(request: pytest.FixtureRequest, tls: Wire) -> Wire:
    """Plain, and TLS."""
    return tls if request.param == "https" else Wire()
