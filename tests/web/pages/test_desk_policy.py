"""The policy and its notices at the desk: what is shown is what is in force, and looking changes nothing."""

from __future__ import annotations

import re

from engine.load import bundle, load_texts
from storage import policies
from storage.settings import SHIPPED_POLICY
from tests.web.pages.browser import Browser
from tests.web.site import Site


def test_policy_shows_pictures_promises_and_its_digest(site: Site, desk: Browser) -> None:
    with site.database.begin() as conn:
        policy = policies.in_force(conn)
    shown = desk.open("/admin/policy")
    assert policy.digest in shown.text
    assert all(guarantee.says in shown.text for guarantee in policy.guarantees)
    pictures = re.findall(r'src="(/admin/policy/pictures/\w+)"', shown.answer.text)
    assert len(pictures) == len(policy.machines)
    for path in pictures:
        answer = desk.client.get(path)
        assert answer.headers["content-type"].startswith("image/svg+xml")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    assert desk.client.get("/admin/policy/pictures/nothing").status_code == 404


def test_promises_are_proved_and_remembered(desk: Browser) -> None:
    first = desk.open("/admin/policy/proofs").text
    assert "Nobody is suspended for debt unless a final warning was delivered" in first
    assert "holds" in first
    assert "broken" not in first
    again = desk.open("/admin/policy/proofs")
    assert again.answer.elapsed.total_seconds() < 1
    assert again.text == first


def test_another_deployed_policy_is_compared_and_its_impact_shown(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "allowed", billing="past_due")
    texts = bundle(SHIPPED_POLICY)
    with site.database.begin() as conn:
        shipped = policies.in_force(conn)
        other = load_texts(texts, {"BILLING_WARNING_GRACE_HOURS": "30"})
        policies.deploy(conn, other, texts, {"BILLING_WARNING_GRACE_HOURS": "30"}, "test", note="more patience")
    try:
        assert "more patience" in desk.open("/admin/policy").text
        diff = desk.open(f"/admin/policy/diff?old={shipped.digest}&new={other.digest}").text
        assert "at once before, after 1d6h now" in diff
        trace = site.trace()
        impact = desk.open(f"/admin/policy/impact?to={shipped.digest}")
        assert "accounts were looked at" in impact.text
        assert {**site.trace(), "sessions": ""} == {**trace, "sessions": ""}
        for path in ("diff?old=x&new=y", "impact?to=x", "impact"):
            assert desk.open(f"/admin/policy/{path}").answer.status_code == 404
    finally:
        with site.database.begin() as conn:
            policies.deploy(conn, shipped, texts, {}, "test")


def test_every_notice_is_shown_as_it_would_be_sent(site: Site, desk: Browser) -> None:
    with site.database.begin() as conn:
        policy = policies.in_force(conn)
    shown = desk.open("/admin/notices").text
    assert all(name in shown for name in policy.notices)
    assert "Hello Ada Example" in shown
    assert "{" not in desk.answer.text.partition("<main")[2].partition("</main>")[0]


def test_every_notice_is_shown_by_itself_where_nothing_can_run(site: Site, desk: Browser, browser: Browser) -> None:
    with site.database.begin() as conn:
        policy = policies.in_force(conn)
    frames = re.findall(r'<iframe[^>]* src="([^"]+)" sandbox=""', desk.open("/admin/notices").answer.text)
    assert len(frames) == len(policy.notices)
    assert "frame-src 'self'" in desk.answer.headers["content-security-policy"]
    for frame in frames:
        answer = desk.open(frame).answer
        rules = answer.headers["content-security-policy"]
        assert answer.status_code == 200
        assert rules.startswith("default-src 'none'; style-src 'sha256-")
        assert rules.endswith("; sandbox; frame-ancestors 'self'")
        assert "unsafe" not in rules
        assert "Ada Example" in answer.text
    assert desk.open("/admin/notices/send_nothing").answer.status_code == 404
    assert "frame-src" not in desk.open("/admin").answer.headers["content-security-policy"]
    assert browser.open(frames[0]).path == "/sign-in"
