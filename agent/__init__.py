"""The agent: samples one host and ships what it saw.

    probes ─▶ sampler ─▶ spool ─▶ uplink ══ gRPC, mutual TLS ══▶ collector
                           ▲                                        │
                           └──────── ack after commit: delete ◀─────┘

`sample` says what an observation is; `probes` make them, one file each; `sampler` runs every probe on its beat and
never lets one delay another; `spool` keeps what was assigned a number until the collector has committed it; `protocol`
is the agent's half of the delivery protocol without any I/O; `wire` translates to protobuf; `uplink` holds the one
long stream.

The agent listens nowhere, executes nothing and cannot be commanded. It shares nothing with the collector but `protos`.
"""
