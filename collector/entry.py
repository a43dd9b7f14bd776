"""The `sigap` program: the command line where the collector's packages are installed, else how to install them.

The base install is the agent, so this file imports nothing that only the extra `collector` brings.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from collector.__main__ import main as command_line
    except ModuleNotFoundError as error:
        sys.exit(
            f"sigap: the package {error.name!r} is missing; the base install is the agent only.\n"
            "  Install the collector: pipx install 'sigap[collector]'"
        )
    command_line()
