"""A person plays the whole story in a real browser: alert, acknowledge, rollback, refusal, approval, result."""

import re

import pytest
from playwright.sync_api import Page, expect

from .conftest import Stage, shoot

pytestmark = pytest.mark.browser


def become(page: Page, name: str) -> None:
    page.locator("#act-as").click()
    page.get_by_role("menuitemradio", name=re.compile(name)).click()
    expect(page.locator("#act-as")).to_contain_text(name)


def test_alert_to_verified_rollback(stage: Stage) -> None:
    """The requester cannot approve; another person can, after a confirm dialog; everybody sees the result."""
    with stage.looking() as page:
        stage.player.alert(int(stage.ws.clock.now()))
        stream, thread = page.locator("#stream"), page.locator("#thread")
        expect(stream.get_by_role("heading", name="P1 intent_classifier")).to_be_visible()
        expect(stream.get_by_text("0.41, under the critical bound")).to_be_visible()
        shoot(page, "1-alert")

        page.get_by_role("button", name="Acknowledge").click()
        expect(stream.get_by_text("@Alice Moreau")).to_be_visible()
        expect(stream.get_by_role("button", name="Acknowledge")).to_have_count(0)

        box = page.get_by_role("textbox", name=re.compile("Message #ml-oncall"))
        box.fill("/mlops rollback intent_classifier")
        box.press("Enter")
        expect(stream.locator(".ephemeral")).to_contain_text("Planning the rollback")
        expect(stream.locator(".ephemeral")).to_contain_text("Only visible to you")

        stream.get_by_role("button", name=re.compile("4 replies")).click()
        expect(thread.get_by_text("v2 is the last known-good version")).to_be_visible()
        shoot(page, "2-approval-card")
        thread.get_by_role("button", name="Approve").click()
        dialog = page.get_by_role("alertdialog", name="Roll back now?")
        expect(dialog).to_contain_text("intent_classifier goes from v3 to v2")
        shoot(page, "3-confirm")
        dialog.get_by_role("button", name="Not yet").click()
        expect(dialog).to_have_count(0)
        assert stage.player.heard == []

        thread.get_by_role("button", name="Approve").click()
        dialog.get_by_role("button", name="Roll back").click()
        refusal = thread.locator(".ephemeral")
        expect(refusal).to_contain_text("somebody else has to approve")
        shoot(page, "4-refused")

        become(page, "Bob Osei")
        expect(refusal).to_have_count(0)
        thread.get_by_role("button", name="Approve").click()
        dialog.get_by_role("button", name="Roll back").click()
        expect(thread.get_by_text("Rolled back to v2")).to_be_visible()
        expect(thread.get_by_role("cell", name="0.93")).to_be_visible()
        expect(page.locator("#guide")).to_contain_text("All done")
        shoot(page, "5-result")
        assert stage.player.heard == ["alice", "bob"]


def test_form_keeps_words_over_an_error(stage: Stage) -> None:
    """Reject opens a form; an error stands beside its field, and what was typed stays."""
    stage.player.alert(int(stage.ws.clock.now()))
    stage.ws.as_("alice").types("/mlops rollback intent_classifier", channel="#ml-oncall")
    with stage.looking("bob") as page:
        page.get_by_role("button", name=re.compile("replies")).click()
        page.locator("#thread").get_by_role("button", name="Reject").click()
        form = page.get_by_role("dialog", name="Reject the rollback")
        reason = form.get_by_role("textbox", name="Reason")
        expect(reason).to_be_focused()
        form.get_by_role("button", name="Reject it").click()
        expect(form).to_contain_text("Please complete this required field")
        reason.fill("no")
        form.get_by_label("The manager").check()
        form.get_by_role("combobox", name="Kind").select_option("Too risky")
        form.get_by_role("button", name="Reject it").click()
        expect(form).to_contain_text("Say a little more")
        expect(reason).to_have_value("no")
        expect(form.get_by_label("The manager")).to_be_checked()
        shoot(page, "6-form-error")
        reason.fill("v2 has the same fault")
        form.get_by_role("button", name="Reject it").click()
        expect(form).to_have_count(0)
        expect(page.locator("#thread").get_by_text("Rejected: v2 has the same fault")).to_be_visible()


def test_home_lightbox_overflow_and_files(stage: Stage) -> None:
    """The Home tab opens, a chart grows when clicked, an overflow menu answers in private."""
    stage.player.alert(int(stage.ws.clock.now()))
    with stage.looking() as page:
        page.get_by_role("button", name="More actions", exact=True).click()
        page.get_by_role("menuitem", name="Snooze 1 hour").click()
        expect(page.locator("#stream .ephemeral")).to_contain_text("You chose snooze")
        page.get_by_role("button", name=re.compile("replies")).click()
        page.get_by_role("button", name=re.compile("Enlarge: Accuracy falls")).click()
        picture = page.get_by_role("dialog").get_by_role("img")
        expect(picture).to_be_visible()
        assert picture.evaluate("img => img.naturalWidth") == 520
        shoot(page, "7-lightbox")
        page.keyboard.press("Escape")
        expect(picture).to_have_count(0)
        page.locator("#sidebar").get_by_role("button", name="Home").click()
        expect(page.get_by_role("heading", name="What needs you")).to_be_visible()
        shoot(page, "8-home")
