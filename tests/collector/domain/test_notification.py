from __future__ import annotations

import pytest

from collector.domain.notification import Channel, Notification, is_recoverable, retry_ms


def test_pauses_grow_to_five_minutes_and_stay_there() -> None:
    pauses = [retry_ms(attempts, chance=0.0) // 1000 for attempts in range(1, 9)]
    assert pauses == [5, 15, 30, 60, 120, 300, 300, 300]


def test_chance_adds_at_most_a_tenth() -> None:
    assert retry_ms(1, chance=1.0) == 5_500


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7_000), (86_400.0, 300_000), (-5.0, 0)])
def test_a_receiver_is_waited_for_up_to_five_minutes(asked: float, waits: int) -> None:
    assert retry_ms(1, chance=0.5, retry_after_seconds=asked) == waits


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 599])
def test_a_receiver_in_trouble_is_tried_again(status: int) -> None:
    assert is_recoverable(status)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 422])
def test_a_refusal_is_final(status: int) -> None:
    assert not is_recoverable(status)


def test_a_channel_wants_what_is_severe_enough_and_ends_only_where_asked() -> None:
    quiet = Channel(1, "c", "webhook", "https://x.example/", minimum_severity="critical", send_resolved=False)
    assert quiet.wants("firing", "critical")
    assert not quiet.wants("firing", "warning")
    assert not quiet.wants("resolved", "critical")


def test_a_secret_is_not_in_the_text_of_a_channel() -> None:
    assert "whsec" not in repr(Channel(1, "c", "webhook", "https://x.example/", secret="whsec_abc"))


def test_a_notification_survives_the_outbox_unchanged() -> None:
    told = Notification("firing", 7, "abc", {"alertname": "x"}, {"summary": "„ä“"}, 5, None)
    assert Notification.from_json(told.to_json()) == told
