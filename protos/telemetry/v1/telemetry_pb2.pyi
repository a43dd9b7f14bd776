from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAUGE: _ClassVar[Kind]
    COUNTER: _ClassVar[Kind]

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNKNOWN: _ClassVar[State]
    STATE_UP: _ClassVar[State]
    STATE_DEGRADED: _ClassVar[State]
    STATE_DOWN: _ClassVar[State]

class GapReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAP_UNSPECIFIED: _ClassVar[GapReason]
    GAP_SPOOL_FULL: _ClassVar[GapReason]
    GAP_TOO_OLD: _ClassVar[GapReason]
    GAP_CORRUPT: _ClassVar[GapReason]
    GAP_CONFLICT: _ClassVar[GapReason]
    GAP_RESYNC: _ClassVar[GapReason]
    GAP_REFUSED: _ClassVar[GapReason]
GAUGE: Kind
COUNTER: Kind
STATE_UNKNOWN: State
STATE_UP: State
STATE_DEGRADED: State
STATE_DOWN: State
GAP_UNSPECIFIED: GapReason
GAP_SPOOL_FULL: GapReason
GAP_TOO_OLD: GapReason
GAP_CORRUPT: GapReason
GAP_CONFLICT: GapReason
GAP_RESYNC: GapReason
GAP_REFUSED: GapReason

class AgentFrame(_message.Message):
    __slots__ = ("hello", "layout", "batch", "gap", "lane_end", "ping", "goodbye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    LANE_END_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    layout: LayoutDeclaration
    batch: Batch
    gap: Gap
    lane_end: LaneEnd
    ping: Ping
    goodbye: Goodbye
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., layout: _Optional[_Union[LayoutDeclaration, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., lane_end: _Optional[_Union[LaneEnd, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class CollectorFrame(_message.Message):
    __slots__ = ("welcome", "ack", "nack", "resync", "pong", "checks", "fenced", "refused", "checkpoint")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    FENCED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    nack: Nack
    resync: Resync
    pong: Pong
    checks: CheckSet
    fenced: Fenced
    refused: Refused
    checkpoint: Checkpoint
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., nack: _Optional[_Union[Nack, _Mapping]] = ..., resync: _Optional[_Union[Resync, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., checks: _Optional[_Union[CheckSet, _Mapping]] = ..., fenced: _Optional[_Union[Fenced, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_min", "protocol_max", "agent_id", "agent_version", "host_name", "boot_id", "clean_shutdown", "lanes", "clock", "accepts_checks", "spool_bytes", "spool_limit_bytes", "last_checkpoint", "drained")
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    CLEAN_SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_CHECKS_FIELD_NUMBER: _ClassVar[int]
    SPOOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    protocol_min: int
    protocol_max: int
    agent_id: str
    agent_version: str
    host_name: str
    boot_id: str
    clean_shutdown: bool
    lanes: _containers.RepeatedCompositeFieldContainer[Lane]
    clock: Clock
    accepts_checks: bool
    spool_bytes: int
    spool_limit_bytes: int
    last_checkpoint: Checkpoint
    drained: _containers.RepeatedCompositeFieldContainer[Lane]
    def __init__(self, protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., agent_id: _Optional[str] = ..., agent_version: _Optional[str] = ..., host_name: _Optional[str] = ..., boot_id: _Optional[str] = ..., clean_shutdown: bool = ..., lanes: _Optional[_Iterable[_Union[Lane, _Mapping]]] = ..., clock: _Optional[_Union[Clock, _Mapping]] = ..., accepts_checks: bool = ..., spool_bytes: _Optional[int] = ..., spool_limit_bytes: _Optional[int] = ..., last_checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., drained: _Optional[_Iterable[_Union[Lane, _Mapping]]] = ...) -> None: ...

class Lane(_message.Message):
    __slots__ = ("epoch", "first_seq", "last_seq", "bytes", "oldest_wall_ms", "live", "last_digest", "newest_wall_ms")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    LAST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NEWEST_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    first_seq: int
    last_seq: int
    bytes: int
    oldest_wall_ms: int
    live: bool
    last_digest: bytes
    newest_wall_ms: int
    def __init__(self, epoch: _Optional[bytes] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., bytes: _Optional[int] = ..., oldest_wall_ms: _Optional[int] = ..., live: bool = ..., last_digest: _Optional[bytes] = ..., newest_wall_ms: _Optional[int] = ...) -> None: ...

class Clock(_message.Message):
    __slots__ = ("wall_ms", "boottime_ns", "ntp_state", "estimated_error_ms")
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    BOOTTIME_NS_FIELD_NUMBER: _ClassVar[int]
    NTP_STATE_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    wall_ms: int
    boottime_ns: int
    ntp_state: str
    estimated_error_ms: float
    def __init__(self, wall_ms: _Optional[int] = ..., boottime_ns: _Optional[int] = ..., ntp_state: _Optional[str] = ..., estimated_error_ms: _Optional[float] = ...) -> None: ...

class LayoutDeclaration(_message.Message):
    __slots__ = ("id", "layout")
    ID_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    id: int
    layout: bytes
    def __init__(self, id: _Optional[int] = ..., layout: _Optional[bytes] = ...) -> None: ...

class Layout(_message.Message):
    __slots__ = ("series", "interval_ms")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[Series]
    interval_ms: int
    def __init__(self, series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ..., interval_ms: _Optional[int] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("name", "labels", "unit", "kind", "help")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    HELP_FIELD_NUMBER: _ClassVar[int]
    name: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    unit: str
    kind: Kind
    help: str
    def __init__(self, name: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., unit: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., help: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("epoch", "seq", "wall_ms", "boottime_ns", "boot_id", "codec", "raw_length", "payload", "digest", "previous_digest", "signature", "backfill")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    BOOTTIME_NS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    RAW_LENGTH_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    seq: int
    wall_ms: int
    boottime_ns: int
    boot_id: str
    codec: int
    raw_length: int
    payload: bytes
    digest: bytes
    previous_digest: bytes
    signature: bytes
    backfill: bool
    def __init__(self, epoch: _Optional[bytes] = ..., seq: _Optional[int] = ..., wall_ms: _Optional[int] = ..., boottime_ns: _Optional[int] = ..., boot_id: _Optional[str] = ..., codec: _Optional[int] = ..., raw_length: _Optional[int] = ..., payload: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., previous_digest: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., backfill: bool = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("rows", "results", "documents")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    results: _containers.RepeatedCompositeFieldContainer[CheckResult]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[CheckResult, _Mapping]]] = ..., documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("layout_id", "wall_ms", "values")
    LAYOUT_ID_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    layout_id: int
    wall_ms: int
    values: bytes
    def __init__(self, layout_id: _Optional[int] = ..., wall_ms: _Optional[int] = ..., values: _Optional[bytes] = ...) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("check_id", "wall_ms", "state", "latency_seconds", "reason", "since_ms", "attempts", "interval_ms", "timeout_ms", "wording")
    CHECK_ID_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    WORDING_FIELD_NUMBER: _ClassVar[int]
    check_id: str
    wall_ms: int
    state: State
    latency_seconds: float
    reason: str
    since_ms: int
    attempts: int
    interval_ms: int
    timeout_ms: int
    wording: Reason
    def __init__(self, check_id: _Optional[str] = ..., wall_ms: _Optional[int] = ..., state: _Optional[_Union[State, str]] = ..., latency_seconds: _Optional[float] = ..., reason: _Optional[str] = ..., since_ms: _Optional[int] = ..., attempts: _Optional[int] = ..., interval_ms: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., wording: _Optional[_Union[Reason, _Mapping]] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("template", "text", "whole", "number", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Reason
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Reason, _Mapping]] = ...) -> None: ...
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    template: str
    text: str
    whole: int
    number: float
    values: _containers.MessageMap[str, Reason]
    def __init__(self, template: _Optional[str] = ..., text: _Optional[str] = ..., whole: _Optional[int] = ..., number: _Optional[float] = ..., values: _Optional[_Mapping[str, Reason]] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("kind", "wall_ms", "body")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    wall_ms: int
    body: bytes
    def __init__(self, kind: _Optional[str] = ..., wall_ms: _Optional[int] = ..., body: _Optional[bytes] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("epoch", "from_seq", "to_seq", "reason", "samples", "from_wall_ms", "to_wall_ms", "last_digest")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    TO_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FROM_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    TO_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    from_seq: int
    to_seq: int
    reason: GapReason
    samples: int
    from_wall_ms: int
    to_wall_ms: int
    last_digest: bytes
    def __init__(self, epoch: _Optional[bytes] = ..., from_seq: _Optional[int] = ..., to_seq: _Optional[int] = ..., reason: _Optional[_Union[GapReason, str]] = ..., samples: _Optional[int] = ..., from_wall_ms: _Optional[int] = ..., to_wall_ms: _Optional[int] = ..., last_digest: _Optional[bytes] = ...) -> None: ...

class LaneEnd(_message.Message):
    __slots__ = ("epoch", "last_seq", "digest")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    last_seq: int
    digest: bytes
    def __init__(self, epoch: _Optional[bytes] = ..., last_seq: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("wall_ms", "boottime_ns")
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    BOOTTIME_NS_FIELD_NUMBER: _ClassVar[int]
    wall_ms: int
    boottime_ns: int
    def __init__(self, wall_ms: _Optional[int] = ..., boottime_ns: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("ping_wall_ms", "ping_boottime_ns", "collector_wall_ms")
    PING_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    PING_BOOTTIME_NS_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    ping_wall_ms: int
    ping_boottime_ns: int
    collector_wall_ms: int
    def __init__(self, ping_wall_ms: _Optional[int] = ..., ping_boottime_ns: _Optional[int] = ..., collector_wall_ms: _Optional[int] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STOP: _ClassVar[Goodbye.Reason]
        REBOOT: _ClassVar[Goodbye.Reason]
        UPGRADE: _ClassVar[Goodbye.Reason]
    STOP: Goodbye.Reason
    REBOOT: Goodbye.Reason
    UPGRADE: Goodbye.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: Goodbye.Reason
    def __init__(self, reason: _Optional[_Union[Goodbye.Reason, str]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session", "server_time_ms", "cursors", "limits", "protocol")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    CURSORS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    session: int
    server_time_ms: int
    cursors: _containers.RepeatedCompositeFieldContainer[Cursor]
    limits: Limits
    protocol: int
    def __init__(self, session: _Optional[int] = ..., server_time_ms: _Optional[int] = ..., cursors: _Optional[_Iterable[_Union[Cursor, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., protocol: _Optional[int] = ...) -> None: ...

class Cursor(_message.Message):
    __slots__ = ("epoch", "acked_seq", "digest")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    acked_seq: int
    digest: bytes
    def __init__(self, epoch: _Optional[bytes] = ..., acked_seq: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("window_batches", "window_bytes", "max_frame_bytes", "backfill_batches_per_second", "backfill_window_batches")
    WINDOW_BATCHES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_BATCHES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_WINDOW_BATCHES_FIELD_NUMBER: _ClassVar[int]
    window_batches: int
    window_bytes: int
    max_frame_bytes: int
    backfill_batches_per_second: float
    backfill_window_batches: int
    def __init__(self, window_batches: _Optional[int] = ..., window_bytes: _Optional[int] = ..., max_frame_bytes: _Optional[int] = ..., backfill_batches_per_second: _Optional[float] = ..., backfill_window_batches: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("epoch", "acked_seq")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    acked_seq: int
    def __init__(self, epoch: _Optional[bytes] = ..., acked_seq: _Optional[int] = ...) -> None: ...

class Nack(_message.Message):
    __slots__ = ("epoch", "expected_seq", "reason", "retry_after_ms")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    expected_seq: int
    reason: str
    retry_after_ms: int
    def __init__(self, epoch: _Optional[bytes] = ..., expected_seq: _Optional[int] = ..., reason: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Resync(_message.Message):
    __slots__ = ("epoch", "reason", "acked_seq")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    reason: str
    acked_seq: int
    def __init__(self, epoch: _Optional[bytes] = ..., reason: _Optional[str] = ..., acked_seq: _Optional[int] = ...) -> None: ...

class Fenced(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: int
    def __init__(self, session: _Optional[int] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("code", "message", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retry_after_ms: int
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class CheckSet(_message.Message):
    __slots__ = ("version", "checks")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    version: int
    checks: _containers.RepeatedCompositeFieldContainer[CheckDefinition]
    def __init__(self, version: _Optional[int] = ..., checks: _Optional[_Iterable[_Union[CheckDefinition, _Mapping]]] = ...) -> None: ...

class CheckDefinition(_message.Message):
    __slots__ = ("id", "kind", "name", "options")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    name: str
    options: bytes
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., options: _Optional[bytes] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("tree_size", "root", "signature")
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    tree_size: int
    root: bytes
    signature: bytes
    def __init__(self, tree_size: _Optional[int] = ..., root: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class AuthorityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AuthorityResponse(_message.Message):
    __slots__ = ("authority",)
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    authority: bytes
    def __init__(self, authority: _Optional[bytes] = ...) -> None: ...

class EnrolRequest(_message.Message):
    __slots__ = ("token", "certificate_request", "host_name", "agent_version")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    token: str
    certificate_request: bytes
    host_name: str
    agent_version: str
    def __init__(self, token: _Optional[str] = ..., certificate_request: _Optional[bytes] = ..., host_name: _Optional[str] = ..., agent_version: _Optional[str] = ...) -> None: ...

class EnrolResponse(_message.Message):
    __slots__ = ("agent_id", "certificate", "authority", "not_after_ms", "telemetry_address")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    certificate: bytes
    authority: bytes
    not_after_ms: int
    telemetry_address: str
    def __init__(self, agent_id: _Optional[str] = ..., certificate: _Optional[bytes] = ..., authority: _Optional[bytes] = ..., not_after_ms: _Optional[int] = ..., telemetry_address: _Optional[str] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("certificate_request",)
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    certificate_request: bytes
    def __init__(self, certificate_request: _Optional[bytes] = ...) -> None: ...
