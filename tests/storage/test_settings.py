"""Settings: read once from an environment; secrets never show; a wrong value is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import SettingWrong
from storage.settings import SHIPPED_POLICY, Settings

URL = "postgresql://forbear:hunter2@127.0.0.1/forbear"


def test_defaults_suit_the_embedded_system() -> None:
    settings = Settings.from_env({"FORBEAR_DATABASE_URL": URL})
    assert settings.policy_dir == SHIPPED_POLICY
    assert not settings.test_clock
    assert settings.public_url == settings.portal_url == "http://127.0.0.1:8080"
    assert settings.stripe_webhook_secrets == ()
    assert (settings.stripe_mode, settings.polls) == ("webhook", False)
    assert settings.provisioning_concurrency == 1


def test_everything_is_read_from_its_variable() -> None:
    settings = Settings.from_env(
        {
            "FORBEAR_DATABASE_URL": URL,
            "FORBEAR_REDIS_URL": "redis://r/1",
            "FORBEAR_DATA": "/srv/data",
            "FORBEAR_POLICY_DIR": "/srv/policy",
            "FORBEAR_HOSTS_FILE": "/srv/hosts.yaml",
            "FORBEAR_EDGE_FILE": "/srv/edge.yaml",
            "FORBEAR_EDGE_KEY": "edge-secret",
            "FORBEAR_PORT": "9000",
            "FORBEAR_TEST_CLOCK": "1",
            "FORBEAR_ADMIN_TOKEN": "root-token",
            "FORBEAR_DISCORD_ALERTS_BILLING": "https://discord.test/1",
            "STRIPE_WEBHOOK_SECRET": "whsec_1, whsec_2,",
            "STRIPE_API_KEY": "sk_test_1",
            "FORBEAR_STRIPE_MODE": "both",
            "BILLING_RETENTION_DAYS": "30",
        }
    )
    assert (settings.data_dir, settings.policy_dir) == (Path("/srv/data"), Path("/srv/policy"))
    assert settings.hosts_file == Path("/srv/hosts.yaml")
    assert settings.edge_file == Path("/srv/edge.yaml")
    assert settings.edge_secrets["FORBEAR_EDGE_KEY"] == "edge-secret"
    assert "edge-secret" not in repr(settings)
    assert settings.public_url == "http://127.0.0.1:9000"
    assert settings.test_clock
    assert settings.stripe_webhook_secrets == ("whsec_1", "whsec_2")
    assert (settings.stripe_mode, settings.polls) == ("both", True)
    assert settings.discord_urls == {"alerts-billing": "https://discord.test/1"}
    assert settings.policy_overrides == {"BILLING_RETENTION_DAYS": "30"}


def test_tickets_are_numbered_under_a_prefix_of_ones_own() -> None:
    given = {"FORBEAR_DATABASE_URL": URL, "FORBEAR_TICKET_PREFIX": "ACME2"}
    assert Settings.from_env(given).ticket_prefix == "ACME2"
    for wrong in ("acme", "A-B", "A B", "ELEVENCHARS", "\u00c4"):
        with pytest.raises(SettingWrong, match="FORBEAR_TICKET_PREFIX"):
            Settings.from_env({**given, "FORBEAR_TICKET_PREFIX": wrong})


def test_secrets_never_show() -> None:
    shown = repr(
        Settings.from_env(
            {
                "FORBEAR_DATABASE_URL": URL,
                "FORBEAR_REDIS_URL": "redis://:hunter2@r/1",
                "FORBEAR_ADMIN_TOKEN": "hunter2",
                "FORBEAR_DISCORD_AUDIT_LOG": "https://hunter2",
                "FORBEAR_SMTP_URL": "smtp://u:hunter2@m",
                "STRIPE_WEBHOOK_SECRET": "hunter2",
                "STRIPE_API_KEY": "hunter2",
            }
        )
    )
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "`FORBEAR_DATABASE_URL` is not set"),
        ({"FORBEAR_DATABASE_URL": " "}, "`FORBEAR_DATABASE_URL` is not set"),
        ({"FORBEAR_DATABASE_URL": URL, "FORBEAR_PORT": "http"}, "`FORBEAR_PORT` is `http`, expected a whole number"),
        (
            {"FORBEAR_DATABASE_URL": URL, "FORBEAR_PROVISIONING_CONCURRENCY": "0"},
            "`FORBEAR_PROVISIONING_CONCURRENCY` is `0`, expected at least 1",
        ),
        ({"FORBEAR_DATABASE_URL": URL, "FORBEAR_STRIPE_MODE": "pull"}, "`FORBEAR_STRIPE_MODE` is `pull`, expected"),
        ({"FORBEAR_DATABASE_URL": URL, "FORBEAR_PORT": "-1"}, "`FORBEAR_PORT` is `-1`, expected a whole number"),
    ],
)
def test_wrong_setting_is_named(env: dict[str, str], words: str) -> None:
    with pytest.raises(SettingWrong, match="expected" if "expected" in words else "is not set") as caught:
        Settings.from_env(env)
    assert str(caught.value).startswith(words)


def test_worker_pauses_only_under_the_test_clock() -> None:
    env = {"FORBEAR_DATABASE_URL": URL, "FORBEAR_TEST_PAUSE_AT": "start_server:before_act"}
    assert Settings.from_env(env).test_pause_at == ""
    assert Settings.from_env({**env, "FORBEAR_TEST_CLOCK": "1"}).test_pause_at == "start_server:before_act"
