"""A probe every few seconds is worth no line anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from tests.integration.receivers import wait_until
from tests.integration.served import served
from tests.integration.tasker_databases import make_sqlite

if TYPE_CHECKING:
    from pathlib import Path


def test_probes_write_no_line(tmp_path: Path) -> None:
    """However often and however badly the service is asked, it writes no access log."""
    url = anyio.run(make_sqlite, tmp_path)
    with served(tmp_path, database_url=url) as service:
        for endpoint in ("ready", "live", "status"):
            service.wait_for(endpoint, 200)
        wait_until(lambda: '"verdict"' in service.log)  # a thread writes it
        before = service.log
        for _ in range(20):
            for endpoint in ("ready", "live", "status", "/tasker/metrics", "/tasker/nothing"):
                service.ask(endpoint)
            service.ask("live", "POST")
        assert service.log == before
        assert "GET" not in before
        service.stop()
        assert service.process.stdout is not None
        assert service.process.stdout.read() == ""
