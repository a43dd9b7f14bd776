"""Generates the wire code from the .proto files, or checks that what is committed is current.

Generated with the oldest toolchain that our dependency bounds allow: generated code refuses to import under an older
runtime than its own, so the newest generator would raise everybody's floor.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path.relative_to(ROOT) for path in ROOT.glob("protos/**/*.proto"))
TOOLCHAIN = ("grpcio-tools==1.72.1", "protobuf==6.30.2", "setuptools<81")
ENVIRONMENT = ROOT / ".venv" / "protoc"


def toolchain() -> Path:
    """The interpreter of the generator's own environment, made on first use."""
    interpreter = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *TOOLCHAIN], check=True)
        (ENVIRONMENT / ".installed").touch()
    return interpreter


def generate(target: Path) -> list[Path]:
    """Write the generated modules below `target` and return their paths relative to it."""
    command = [str(toolchain()), "-m", "grpc_tools.protoc", "-I", str(ROOT)]
    command += [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([*command, *map(str, SOURCES)], check=True, cwd=ROOT)
    return sorted(path.relative_to(target) for path in target.glob("protos/**/*_pb2*"))


def main() -> int:
    """Generate in place, or with --check compare and name what differs."""
    if "--check" not in sys.argv:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        stale = [
            path
            for path in generate(fresh)
            if not (ROOT / path).exists() or (ROOT / path).read_bytes() != (fresh / path).read_bytes()
        ]
    for path in stale:
        print(f"{path} is not what its .proto says: run `make protos`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
