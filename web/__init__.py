"""What a person sees: templates, built assets, catalogues and the manual, as folders on disk.

No code of the collector lives here; `collector.edges.http` reads these folders.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
LOCALES = ROOT / "locales"
DOCS = ROOT / "docs"
