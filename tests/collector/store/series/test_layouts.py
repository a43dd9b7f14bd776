"""Layouts as they are read: labels in one form."""

from __future__ import annotations

import unicodedata

import pytest

from collector.domain.errors import InvalidInput
from collector.store.series.layouts import decode
from protos.telemetry.v1 import telemetry_pb2 as pb

COMPOSED = "/srv/caf\u00e9"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


def layout(*mounts: str) -> bytes:
    series = [pb.Series(name="node_filesystem_avail_bytes", labels=["mountpoint", mount]) for mount in mounts]
    return pb.Layout(series=series, interval_ms=10_000).SerializeToString()


@pytest.mark.parametrize("mount", [COMPOSED, DECOMPOSED])
def test_labels_are_kept_in_the_form_that_keyboards_make(mount: str) -> None:
    assert DECOMPOSED != COMPOSED
    assert decode(layout(mount)).columns[0].labels == (("mountpoint", COMPOSED),)


def test_two_forms_of_one_label_are_the_same_series_twice() -> None:
    with pytest.raises(InvalidInput, match="the same series twice"):
        decode(layout(COMPOSED, DECOMPOSED))
