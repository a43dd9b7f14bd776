"""The agent's version, written out: asking the package's metadata would cost the agent megabytes."""

VERSION = "0.1.0"
