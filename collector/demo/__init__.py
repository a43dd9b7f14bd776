"""A filled instance to look at: a small Indonesian trader that does not exist, with a month that never was.

    organisation  registers, from one YAML document      fleet    the machines, and checks of their own
    story         outages, slow hours, silence           machine  the rows that a machine would have measured
    results       what the checks found                  host     one simulated host, from history to live
    identity      enrolment                              stream   delivery over mutual TLS
    flow          fill, then live                        terminal what is shown while it fills
    ports         free ones beside a collector that runs already
    run           all of it, as `sigap demo`

Everything goes through the doors that agents and people use, so that it shows the product and not a picture of it. Used
by `sigap demo` only; every page says that its numbers are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.demo.flow import Instance, Summary, fill, live
from collector.demo.ports import beside_others
from collector.demo.run import run
from collector.demo.terminal import Terminal

__all__ = ["SETTINGS", "Instance", "Summary", "Terminal", "beside_others", "fill", "live", "run"]

SETTINGS: Mapping[str, Any] = {"store__raw_days": 35}
"""Settings that the demo needs, as flags for `config.load`: its history is raw rows, older than usual ones are kept."""
