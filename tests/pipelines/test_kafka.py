"""How topics are named, and what a client is told."""

import pytest
from apache_beam.utils.timestamp import Timestamp

from pipelines.kafka import EARLIEST, LATEST, KafkaError, Topic


def test_a_url_names_a_topic() -> None:
    assert Topic.of("kafka://localhost:9092/texts") == Topic("localhost:9092", "texts", EARLIEST)
    two = Topic.of("kafka://a:1,b:2/my.topic?from=latest&security.protocol=SSL&client.id=me")
    assert two == Topic(
        "a:1,b:2", "my.topic", LATEST, {"security.protocol": "SSL", "client.id": "me"}
    )
    assert Topic.of("kafka://h/t?from=2026-01-02T03:04:05Z").start == Timestamp(1767323045)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("kafka://localhost:9092", "names no topic: expected kafka://host:port/topic"),
        ("kafka:///texts", "names no topic"),
        ("kafka://h:1/a/b", "names no topic"),
        ("http://h:1/a", "names no topic"),
        ("kafka://h:1/a?from=soon", "from=soon is not earliest or latest, and .* has no zone"),
    ],
)
def test_what_names_none_is_told(url: str, told: str) -> None:
    with pytest.raises(KafkaError, match=told):
        Topic.of(url)


def test_settings_of_the_user_win() -> None:
    topic = Topic("h:1", "t", settings={"linger.ms": "9"})
    assert topic.config(linger_ms=2, acks="all") == {
        "bootstrap.servers": "h:1",
        "linger.ms": "9",
        "acks": "all",
    }
