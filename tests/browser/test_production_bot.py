"""The production bot, a real model server and a real alert, played in the browser from the alert to the proof."""

import re

import pytest
from playwright.sync_api import Browser, expect

from playground import parts
from playground.demo.town import Town

from .conftest import open_page, shoot
from .test_story import become

pytestmark = pytest.mark.browser
REAL_MS = 60_000  # real scrapes, a real alert, real proof


@pytest.mark.timeout(240)
def test_newcomer_plays_the_demo(browser: Browser) -> None:
    """What the strip on the page says is what can be done, with nothing else to read. Slack calls in over HTTP here."""
    with Town(cache_dir=parts.cache_dir().parent / "trained", limits="off", slack_mode="http") as town:
        assert town.stack is not None
        town.wait_until_proven()
        town.stack.go_bad()
        with open_page(browser, town.workspace.url) as page:
            guide, stream, thread = page.locator("#guide"), page.locator("#stream"), page.locator("#thread")
            acknowledge = stream.get_by_role("button", name="Acknowledge")
            acknowledge.wait_for(timeout=REAL_MS)
            expect(stream).to_contain_text("intent_classifier")
            expect(stream.get_by_text(re.compile("[4-9] replies"))).to_be_visible(timeout=REAL_MS)
            shoot(page, "real-1-alert")
            acknowledge.click()
            expect(stream).to_contain_text("@Alice Moreau is on it")
            page.get_by_role("button", name="Type it for me").click()
            box = page.get_by_role("textbox", name=re.compile("Message #"))
            expect(box).to_have_value("/mlops rollback intent_classifier")
            box.press("Enter")
            announced = stream.locator(".ephemeral", has_text="The card comes into the thread")
            expect(announced).to_be_visible(timeout=REAL_MS)
            stream.locator(".thread-bar").click()
            approve = thread.get_by_role("button", name="Approve")
            approve.wait_for(timeout=REAL_MS)
            shoot(page, "real-2-card")
            approve.click()
            confirm = page.get_by_role("alertdialog")
            shoot(page, "real-3-confirm")
            confirm.get_by_role("button").last.click()
            expect(thread.get_by_text("somebody else must approve it")).to_be_visible()
            shoot(page, "real-4-refused")

            guide.get_by_role("button", name="Become Bob Osei").click()
            expect(page.locator("#act-as")).to_contain_text("Bob Osei")
            approve.click()
            confirm.get_by_role("button").last.click()
            expect(stream).to_contain_text("verified", timeout=REAL_MS)
            expect(thread.get_by_text(re.compile("says that it serves v2")).last).to_be_visible()
            expect(guide).to_contain_text("All done")
            expect(thread.get_by_role("button", name="Undo")).to_be_visible()
            shoot(page, "real-5-verified")
            become(page, "Carol Tanaka")
            page.locator("#sidebar").get_by_role("button", name="Home").click()
            expect(page.locator("#home")).to_contain_text("Waiting for an approval")
        with open_page(browser, f"{town.workspace.url}/?as=alice", width=390, scheme="dark") as page:
            expect(page.locator("#stream")).to_contain_text("verified")
            shoot(page, "real-6-narrow-dark")
        assert town.workspace.lint == []
        assert town.workspace.failures == []
