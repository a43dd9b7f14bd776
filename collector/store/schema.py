"""Every table on one page. Register tables are derived from `collector.domain.registers.REGISTERS`.

Times are Unix milliseconds in UTC (`…_ms`). Nothing here reads or writes. Longer than other files on purpose: who wants
to know what is stored reads one page.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from collector.domain.registers import REGISTERS
from collector.store.register_table import derive

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite numbers rows by itself only in a column that is exactly INTEGER PRIMARY KEY.
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")

meta = Table("meta", METADATA, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))

# ── who may send ────────────────────────────────────────────────────────────────────────────────────────────────────

agent = Table(
    "agent",
    METADATA,
    Column("id", String(36), primary_key=True),  # UUID, in the certificate's URI SAN
    Column("host_id", Integer, nullable=False, index=True),  # register `host`
    Column("host_name", String(253), nullable=False),
    Column("status", String(16), nullable=False),  # active, revoked
    Column("version", String(32), nullable=False, default=""),
    Column("session", BigInteger, nullable=False, default=0),  # fencing token: only the newest session writes
    Column("boot_id", String(64), nullable=False, default=""),
    Column("enrolled_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger),  # last frame
    Column("last_row_ms", BigInteger),  # newest observation
    Column("accepts_checks", Boolean, nullable=False, default=False),
    Column("spool_bytes", BigInteger, nullable=False, default=0),
    Column("spool_limit_bytes", BigInteger, nullable=False, default=0),
    Column("clock_offset_ms", Float, nullable=False, default=0.0),  # agent minus collector
    Column("ntp_state", String(16), nullable=False, default=""),
    Column("goodbye", String(16), nullable=False, default=""),  # why it left on purpose; empty while connected or lost
    Column("revoked_ms", BigInteger),
    Column("revoked_by", String(128), nullable=False, default=""),
    Column("revoked_why", String(500), nullable=False, default=""),
)

agent_certificate = Table(
    "agent_certificate",
    METADATA,
    Column("fingerprint", String(64), primary_key=True),  # SHA-256 of the DER, hex
    Column("agent_id", String(36), ForeignKey("agent.id"), nullable=False, index=True),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

enrolment_token = Table(
    "enrolment_token",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),  # SHA-256, hex
    Column("host_name", String(253), nullable=False, default=""),  # empty: any host
    Column("created_by", String(128), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("agent_id", String(36)),
)

# ── what arrived ────────────────────────────────────────────────────────────────────────────────────────────────────

lane = Table(
    "lane",
    METADATA,
    Column("agent_id", String(36), ForeignKey("agent.id"), primary_key=True),
    Column("epoch", LargeBinary(16), primary_key=True),
    Column("acked_seq", BigInteger, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # of acked_seq
    Column("marks", LargeBinary(512), nullable=False),  # of the open segment, see collector.chain.Lane
    Column("opened_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),  # a tombstone: a resurrected epoch is recognised
    Index("ix_lane_ended", "ended_ms"),
)

lane_segment = Table(
    "lane_segment",
    METADATA,
    # Beginnings of the digests of 64 batches each: enough to tell a duplicate from a conflict.
    Column("agent_id", String(36), primary_key=True),
    Column("epoch", LargeBinary(16), primary_key=True),
    Column("segment", BigInteger, primary_key=True, autoincrement=False),
    Column("marks", LargeBinary(512), nullable=False),
)

gap = Table(
    "gap",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("agent_id", String(36), ForeignKey("agent.id"), nullable=False, index=True),
    Column("epoch", LargeBinary(16), nullable=False),
    Column("from_seq", BigInteger, nullable=False),
    Column("to_seq", BigInteger, nullable=False),
    Column("reason", String(24), nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("detail", String(200), nullable=False, default=""),  # what was wrong, where the collector knows more
    Column("wording", Text, nullable=False, default=""),
)

quarantine = Table(
    "quarantine",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("agent_id", String(36), nullable=False, index=True),
    Column("epoch", LargeBinary(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
)

document = Table(
    "document",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("host_id", Integer, nullable=False),
    Column("kind", String(32), nullable=False),  # processes, host, proposals, checks
    Column("wall_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON
    Index("ix_document_host_kind_wall", "host_id", "kind", "wall_ms"),
)

# ── time series ─────────────────────────────────────────────────────────────────────────────────────────────────────

series_layout = Table(
    "series_layout",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # the wire's fixed64 as signed
    Column("body", LargeBinary, nullable=False),  # serialised Layout
    Column("first_seen_ms", BigInteger, nullable=False),
)

journal = Table(
    "journal",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=False),  # without holes; the newest is never deleted
    Column("received_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # rows of one group commit, see store.series.journal
)

block = Table(
    "block",
    METADATA,
    # All rows of one host and layout in one window of time; at most one block per window.
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("resolution_ms", BigInteger, nullable=False),  # 0 raw, 300000, 3600000
    Column("host_id", Integer, nullable=False),
    Column("layout_id", BigInteger, nullable=False),
    Column("window_ms", BigInteger, nullable=False),  # start of the window, see store.series.tiers
    Column("row_count", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the rows' times, see store.series.block
    Index("uq_block_place", "resolution_ms", "host_id", "window_ms", "layout_id", unique=True),
    Index("ix_block_age", "resolution_ms", "window_ms"),
)

block_family = Table(
    "block_family",
    METADATA,
    # The columns of one metric in a block.
    Column("block_id", ROW_ID, ForeignKey("block.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("family", String(128), primary_key=True),  # metric name
    Column("body", LargeBinary, nullable=False),  # see store.series.block
)

# ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────────

check_binding = Table(
    "check_binding",
    METADATA,
    Column("agent_id", String(36), primary_key=True),
    Column("wire_id", String(128), primary_key=True),  # check_id on the wire
    Column("check_id", Integer, nullable=False, index=True),  # register `check`
)

unbound_result = Table(
    "unbound_result",
    METADATA,
    # Results of checks that the register does not know yet; part of the record once it does.
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("agent_id", String(36), nullable=False),
    Column("host_id", Integer, nullable=False),
    Column("wire_id", String(128), nullable=False),  # check_id on the wire
    Column("live", Boolean, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # JSON: the result
    Index("ix_unbound_result_of", "agent_id", "wire_id"),
    Index("ix_unbound_result_age", "received_ms"),
)

status_span = Table(
    "status_span",
    METADATA,
    # The record of status: one row per stretch of equal evidence. What no span covers is unknown.
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("check_id", Integer, nullable=False),
    Column("since_ms", BigInteger, nullable=False),  # inclusive
    Column("until_ms", BigInteger, nullable=False),  # exclusive; how far the evidence reaches
    Column("first_ms", BigInteger, nullable=False),  # the oldest result in it
    Column("last_ms", BigInteger, nullable=False),  # the newest
    Column("state", String(16), nullable=False),  # up, degraded, down, unknown
    Column("reason", String(500), nullable=False),
    Column("wording", Text, nullable=False, default=""),  # JSON: what the reason is made of, for other languages
    Column("known_ms", BigInteger, nullable=False),  # when we came to know
    Column("holes", Text, nullable=False, default="[]"),  # JSON: beats without a result that it bridges
    # By the end, so that the newest spans are found without reading the older ones.
    Index("ix_status_span_find", "check_id", "until_ms"),
)

status_now = Table(
    "status_now",
    METADATA,
    # The newest transition of each subject, so that nothing searches history for the present.
    Column("subject", String(16), primary_key=True),  # check, host, service
    Column("subject_id", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("known_ms", BigInteger, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("wording", Text, nullable=False, default=""),
)

service_composition = Table(
    "service_composition",
    METADATA,
    # What a service was made of, and since when: an edit today never changes last month.
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("service_id", Integer, nullable=False, index=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # JSON: members, roll_up, k, objective, time_zone
)

transition = Table(
    "transition",
    METADATA,
    # Every change of state of a check, host or service as it became known, for people and alerts.
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("subject", String(16), nullable=False),  # check, host, service
    Column("subject_id", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("known_ms", BigInteger, nullable=False),
    Column("before", String(16), nullable=False),
    Column("after", String(16), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("wording", Text, nullable=False, default=""),
    Index("ix_transition_find", "subject", "subject_id", "at_ms"),
    Index("ix_transition_at", "at_ms"),
)

# ── alerts and their delivery ───────────────────────────────────────────────────────────────────────────────────────

alert = Table(
    "alert",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("rule_id", Integer, nullable=False, index=True),
    Column("fingerprint", String(32), nullable=False, index=True),
    Column("subject", String(16), nullable=False),  # host, check, service
    Column("subject_id", Integer, nullable=False),
    Column("host_id", Integer),
    Column("state", String(16), nullable=False),  # pending, firing, resolved
    Column("severity", String(16), nullable=False),
    Column("labels", Text, nullable=False),  # JSON
    Column("annotations", Text, nullable=False),  # JSON
    Column("value", Float),
    Column("pending_ms", BigInteger, nullable=False),
    Column("fired_ms", BigInteger),
    Column("resolved_ms", BigInteger),
    Column("last_ms", BigInteger, nullable=False),  # newest observation that was judged
    Column("hole_since_ms", BigInteger),  # while pending: observations that are missing so far, so not counted
    Column("hole_until_ms", BigInteger),
    Column("heard_ms", BigInteger),  # of the newest observation: when it came, when the next is due, how long it counts
    Column("step_ms", BigInteger, nullable=False, default=0),
    Column("reach_ms", BigInteger, nullable=False, default=0),
    Column("acknowledged_ms", BigInteger),
    Column("acknowledged_by", String(128)),
    Index("ix_alert_state", "state", "fired_ms"),
)

alert_event = Table(
    "alert_event",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("alert_id", BigInteger, nullable=False, index=True),
    Column("kind", String(16), nullable=False),  # firing, resolved, acknowledged, frozen
    Column("at_ms", BigInteger, nullable=False),
    Column("known_ms", BigInteger, nullable=False),
    Column("detail", String(500), nullable=False),
    Column("wording", Text, nullable=False, default=""),
)

outbox = Table(
    "outbox",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("message_id", String(64), nullable=False, unique=True),  # webhook-id: constant over retries
    Column("channel_id", Integer, nullable=False),
    Column("alert_id", BigInteger),  # null: a test message
    Column("event", String(16), nullable=False),  # firing, resolved, test
    Column("body", Text, nullable=False),  # JSON notification, rendered by the notifier at the time of sending
    Column("state", String(16), nullable=False),  # waiting, delivered, dead, dismissed
    Column("created_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("lease_ms", BigInteger, nullable=False, default=0),  # claimed until
    Column("attempts", Integer, nullable=False, default=0),
    Column("delivered_ms", BigInteger),
    Column("last_error", String(500), nullable=False, default=""),
    Column("wording", Text, nullable=False, default=""),
    Index("ix_outbox_due", "state", "due_ms"),
    Index("ix_outbox_order", "alert_id", "channel_id", "id"),
)

delivery = Table(
    "delivery",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("outbox_id", BigInteger, ForeignKey("outbox.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("took_ms", BigInteger, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("status", Integer),
    Column("detail", String(500), nullable=False),
    Column("wording", Text, nullable=False, default=""),
)

# ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────────

person_account = Table(
    "account",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("password_hash", String(256), nullable=False, default=""),  # argon2id; empty: signs in by link only
    Column("role", String(16), nullable=False),  # admin, operator, viewer
    Column("language", String(8), nullable=False, default="en"),
    Column("theme", String(8), nullable=False, default="auto"),
    Column("active", Boolean, nullable=False, default=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("signed_in_ms", BigInteger),
    Column("version", Integer, nullable=False, default=1),
)

session = Table(
    "session",
    METADATA,
    Column("token_hash", String(64), primary_key=True),  # SHA-256, hex
    Column("account_id", Integer, ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("address", String(64), nullable=False, default=""),
    Column("agent", String(200), nullable=False, default=""),
)

sign_in_link = Table(
    "sign_in_link",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("purpose", String(16), nullable=False),  # setup, sign-in, reset
    Column("account_id", Integer),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)

api_token = Table(
    "api_token",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("account_id", Integer, ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
    Column("scope", String(16), nullable=False),  # read, write, admin
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("used_ms", BigInteger),
    Column("revoked_ms", BigInteger),
)

sign_in_failure = Table(
    "sign_in_failure",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("who", String(200), nullable=False, index=True),  # account name or address
    Column("at_ms", BigInteger, nullable=False),
)

# ── registers ───────────────────────────────────────────────────────────────────────────────────────────────────────

change = Table(
    "change",
    METADATA,
    # Append only: every change of every record, by whom, from what to what and why.
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", String(128), nullable=False),
    Column("register", String(32), nullable=False),
    Column("record_id", Integer, nullable=False),
    Column("record_key", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("action", String(32), nullable=False),  # create, edit, delete, or a life-cycle transition
    Column("before", Text, nullable=False),  # JSON of the changed fields
    Column("after", Text, nullable=False),
    Column("why", String(500), nullable=False, default=""),
    Index("ix_change_record", "register", "record_id", "version"),
    Index("ix_change_at", "at_ms"),
)

link = Table(
    "link",
    METADATA,
    # References from a list field of one record to others.
    Column("register", String(32), primary_key=True),
    Column("record_id", Integer, primary_key=True),
    Column("field", String(48), primary_key=True),
    Column("target_id", Integer, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("target_register", String(32), nullable=False),
    Index("ix_link_target", "target_register", "target_id"),
)

register_tables = {name: derive(register, METADATA) for name, register in REGISTERS.items()}
