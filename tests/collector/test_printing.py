"""What commands print for people."""

from __future__ import annotations

from collector.printing import amount, moment, table


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() -> None:
    assert table([("host", "state"), ("web-1", "silent"), ("db", "")]) == ["host   state", "web-1  silent", "db"]


def test_only_the_last_column_is_wrapped_and_only_in_a_terminal() -> None:
    rows = [("rule", "summary"), ("disk", "The file system / of web-1 is full in about three hours.")]
    assert len(table(rows)) == 2
    assert table(rows, width=40) == [
        "rule  summary",
        "disk  The file system / of web-1 is full",
        "      in about three hours.",
    ]


def test_wide_letters_take_two_columns() -> None:
    assert table([("東京", "x"), ("web", "y")]) == ["東京  x", "web   y"]


def test_a_name_from_outside_cannot_steer_the_terminal_or_add_a_line() -> None:
    assert table([("web\x1b[31m", "a\nb\u202e")]) == ["web [31m  a b"]


def test_bytes_and_times_are_short() -> None:
    assert (amount(0), amount(1023), amount(1536), amount(1 << 60)) == ("0 B", "1023 B", "1.5 KiB", "1048576.0 TiB")
    assert (moment(None), moment(0)) == ("never", "1970-01-01 00:00:00Z")
