"""Names of servers as hostname labels: always safe, always this server's own."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.edge.labels import LABEL, MOST_OF_NAME, label_of

SERVER = "0f1e2d3c-4b5a-4000-8000-00000000abcd"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("My World", "my-world-0f1e2d3c4b"),
        ("Größe & Öl", "groe-ol-0f1e2d3c4b"),
        ("世界", "server-0f1e2d3c4b"),
        ("", "server-0f1e2d3c4b"),
        ("--xn--evil--", "xn-evil-0f1e2d3c4b"),
        ("a\nb IN A 6.6.6.6", "a-b-in-a-6-6-6-6-0f1e2d3c4b"),
        ('x" = "6.6.6.6:1"\n[evil]', "x-6-6-6-6-1-evil-0f1e2d3c4b"),
        ("*.@ $INCLUDE /etc/passwd ;", "include-etc-passwd-0f1e2d3c4b"),
        ("a" * 39 + "-" + "b", "a" * 39 + "-0f1e2d3c4b"),
        ("a" * MOST_OF_NAME + "b", "a" * MOST_OF_NAME + "-0f1e2d3c4b"),
    ],
)
def test_any_name_becomes_a_safe_label(name: str, label: str) -> None:
    assert label_of(name, SERVER) == label


@given(st.text())
def test_no_name_breaks_out_of_a_label(name: str) -> None:
    for mark in (10, 22):
        assert LABEL.fullmatch(label_of(name, SERVER, mark))


def test_servers_of_one_name_have_labels_of_their_own() -> None:
    assert len({label_of("world", str(uuid4())) for _ in range(100)}) == 100


def test_no_customer_can_be_called_like_a_name_of_the_operator() -> None:
    for name in ("www", "mail", "_forbear", "ns1"):
        assert label_of(name, SERVER) != name
