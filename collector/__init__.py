"""The collector: stores what agents saw, decides what it means, tells people, answers questions.

    edges.rpc ─▶ flows.ingest ─▶ store.series            edges.http   pages, JSON, /metrics
                      │               │
                      ▼               ▼
               flows.evaluate    domain: status ─▶ outage ─▶ sla
                      │
                      ▼
                flows.alert ─▶ store.outbox ─▶ flows.deliver ─▶ notify.*

The domain decides, the store remembers, flows act, edges ask, and the import order is the data flow. `app` composes,
`config` holds every setting, `metrics` every metric about ourselves.
"""

import os

# gRPC's core writes lines of its own to standard error unless it is told so before its import; we say what matters.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
