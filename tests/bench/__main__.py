"""`python -m tests.bench [name…]`: what it costs, one line per figure, beside the peers where there are any."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from tests.bench import agent_cost, ingest, pages, store
from tests.bench.figure import Figure

BENCHES: dict[str, Callable[[], Iterator[Figure]]] = {
    "agent": agent_cost.run,
    "store": store.run,
    "ingest": ingest.run,
    "pages": pages.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"No such benchmark: {', '.join(unknown)}. There are: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        for figure in BENCHES[name]():
            print(f"{name:<8} {figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
