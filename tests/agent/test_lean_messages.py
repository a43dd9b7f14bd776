"""The agent's messages, without protobuf's Python half: the same classes, and the same bytes without its C half."""

from __future__ import annotations

import os
import subprocess
import sys

from protos.telemetry.v1 import telemetry_lean as lean
from protos.telemetry.v1 import telemetry_pb2 as full

PYTHON_HALF = "google.protobuf.text_format"
ENCODE = """
import sys
from protos.telemetry.v1 import telemetry_lean as pb
hello = pb.Hello(agent_id="a", lanes=[pb.Lane(epoch=b"e", last_seq=3)], clock=pb.Clock(wall_ms=5))
reason = pb.Reason(template="{x}")
result = pb.CheckResult(state=pb.State.Value("STATE_DOWN"), wording=reason)
for one in (pb.AgentFrame(hello=hello), pb.AgentFrame(goodbye=pb.Goodbye(reason=pb.Goodbye.STOP)), result):
    print(one.SerializeToString(deterministic=True).hex())
"""


def run(code: str, **environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_message_and_enumeration_is_there() -> None:
    messages, enums = full.DESCRIPTOR.message_types_by_name, full.DESCRIPTOR.enum_types_by_name
    assert len(messages) > 20
    for name in messages:
        assert getattr(lean, name) is getattr(full, name)
    for name, enum in enums.items():
        assert getattr(lean, name).items() == getattr(full, name).items()
        assert {value.name: getattr(lean, value.name) for value in enum.values} == dict(getattr(full, name).items())


def test_a_running_agent_does_not_load_the_python_half() -> None:
    loaded = run(f"import sys, agent.uplink; print({PYTHON_HALF!r} in sys.modules)")
    assert loaded == "False\n"


def test_without_the_c_library_the_bytes_are_the_same() -> None:
    slow = run(f"{ENCODE}print({PYTHON_HALF!r} in sys.modules)", PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python")
    assert slow == f"{run(ENCODE)}True\n"
