"""The tutorial of the manual, pasted as it stands: whoever follows it sees what it says."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_ports
from tests.system.product import SIGAP, Product, product, wait_for

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
MAKES = re.search(r"sigap up --data (\w+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
TOLD_SECONDS = 30.0


class Pasted:
    """The commands of one language, on ports and in a folder that are free here."""

    def __init__(self, language: str, running: Product) -> None:
        text = (DOCS / language / "tutorial.md").read_text(encoding="utf-8")
        shop, receiver = free_ports(2)
        for ours, theirs in (("8000", shop), ("9000", receiver), ("/tmp/", f"{running.folder}/")):
            text = text.replace(ours, str(theirs))
        assert MAKES is not None
        assert f'"$PWD/{MAKES[1]}"' in text, "commands must find the collector that `make run` started"
        text = text.replace(f"$PWD/{MAKES[1]}", str(running.folder))
        text = text.replace("$PWD/.venv/bin", str(Path(SIGAP).parent)).replace("\npython3 ", "\nexec python3 ")
        self.start, self.shop, self.receiver, self.describe, self.alerts = re.findall(
            r"```sh\n(.*?)```", text, re.DOTALL
        )
        self._environment = running.environment
        self._exports = next(line for line in self.describe.splitlines() if line.startswith("export "))

    def run(self, commands: str) -> str:
        """What the commands print; they have to succeed."""
        done = subprocess.run(
            ["sh", "-ec", f"{self._exports}\n{commands}"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, commands: str) -> Iterator[list[str]]:
        """Start what does not end by itself; the lines that it prints, as they come."""
        lines: list[str] = []
        with subprocess.Popen(
            ["sh", "-ec", commands], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            reader = threading.Thread(target=lines.extend, args=(process.stdout,))
            reader.start()
            try:
                yield lines
            finally:
                process.terminate()
                reader.join()


def told(lines: list[str], word: str) -> bool:
    return any(line.startswith(f"{word} shop.http ") for line in lines)


@pytest.mark.parametrize("language", ["en", "id"])
def test_tutorial_shows_a_service_that_dies_and_comes_back(language: str) -> None:
    with product() as running:
        pasted = Pasted(language, running)
        assert pasted.start == "make run\n"
        with pasted.running(pasted.receiver) as heard:
            with pasted.running(pasted.shop):
                assert "shop.http" in pasted.run(pasted.describe)
                wait_for(lambda: running.check_state("shop.http") == "up", TOLD_SECONDS, "the shop is up")
            wait_for(lambda: told(heard, "firing"), TOLD_SECONDS, "the receiver hears of the outage")
            assert "check-down" in pasted.run(pasted.alerts)
            with pasted.running(pasted.shop):
                wait_for(lambda: told(heard, "resolved"), TOLD_SECONDS, "the receiver hears of its end")
