"""What promtool finds in the agent's own text, beside what it finds in node_exporter's on the same host."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .test_beside_node_exporter import address, text_of

__all__ = ["address"]

pytestmark = [
    pytest.mark.counterpart,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of Debian's prometheus"),
]
CHECKS = """
[[checks]]
name = "web"
kind = "http"
url = "http://{address}/metrics"
[[checks]]
name = "port"
kind = "tcp"
address = "{address}"
[[checks]]
name = "cert"
kind = "tls"
address = "{address}"
[[checks]]
name = "name"
kind = "dns"
query = "example.org"
server = "{address}"
timeout_seconds = 1
retries = 0
[[checks]]
name = "agent"
kind = "process"
process = "python"
[[checks]]
name = "backup"
kind = "file"
path = "/etc/hostname"
[[checks]]
name = "here"
kind = "ping"
host = "127.0.0.1"
count = 1
"""


def complaints(text: str) -> set[str]:
    """What promtool says, line by line; it must be able to read the text."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    # 3: there are complaints; 1: it is no exposition at all.
    assert done.returncode in (0, 3), done.stderr
    return set((done.stdout + done.stderr).splitlines())


def test_nothing_is_wrong_with_our_metrics_that_is_not_with_node_exporters(address: str, tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(CHECKS.format(address=address))
    command = [sys.executable, "-m", "agent", "once", "--config", str(tmp_path / "agent.toml")]
    ours = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for kind in ("http", "tcp", "tls", "dns", "process", "file"):
        assert f'kind="{kind}"' in ours
    assert complaints(ours) - complaints(text_of(address)) == set()
