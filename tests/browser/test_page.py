"""What the page promises besides the story: hostile words stay words, keys and small screens work for everybody."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .conftest import Scheme, Stage, shoot
from .player_app import CHANNEL, GALLERY, REASON_FORM, option, plain, section, words

pytestmark = pytest.mark.browser

HOSTILE = (
    '<script>window.pwned=1</script><img src=x onerror="window.pwned=1"> "><svg onload=window.pwned=1> '
    "&lt;b&gt;bold?&lt;/b&gt; <javascript:window.pwned=1|click me> <data:text/html,x|data> ${7*7} {{7*7}} "
    "<https://example.com/\"onmouseover='window.pwned=1'|link> `<i>x</i>` *<b>y</b>* <@U\"><img src=x onerror=1>"
)


def composer(page: Page) -> Any:
    return page.get_by_role("textbox", name=re.compile("Message #"))


def test_hostile_words_stay_words(stage: Stage) -> None:
    """Script in every place that shows a stranger's text: nothing runs, nothing becomes an element or a live link."""
    hostile = plain(HOSTILE[:140])
    menu = {
        "type": "static_select",
        "action_id": "choice",
        "options": [option(HOSTILE[:70], "x")],
        "placeholder": hostile,
    }
    rich = [
        {"type": "text", "text": HOSTILE},
        {"type": "link", "url": "javascript:window.pwned=1", "text": "rich link"},
    ]
    blocks = [
        {"type": "header", "text": hostile},
        section(HOSTILE, fields=[words(HOSTILE)], accessory=menu),
        {"type": "context", "elements": [words(HOSTILE), plain(HOSTILE)]},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": rich}]},
        {"type": "table", "rows": [[{"type": "raw_text", "text": HOSTILE}]]},
        {"type": "image", "image_url": "https://far.example.com/x.png", "alt_text": HOSTILE[:200]},
        {"type": "markdown", "text": f"# {HOSTILE}\n[md](javascript:window.pwned=1)"},
    ]  # fmt: skip
    with stage.looking() as page:
        stage.player._post("hostile", blocks)
        stage.player.client.chat_postMessage(channel=stage.player.channel, text=HOSTILE)
        stage.ws.as_("bob").says(HOSTILE, channel=CHANNEL)
        stream = page.locator("#stream")
        expect(stream.locator(".message")).to_have_count(3)
        expect(stream.get_by_text("<script>window.pwned=1</script>").first).to_be_visible()
        expect(stream.locator("script, svg[onload], img, b, i")).to_have_count(0)
        assert page.evaluate("window.pwned") is None
        links = stream.locator("a[href]").evaluate_all("all => all.map(a => a.protocol)")
        assert set(links) <= {"http:", "https:"}
        assert stream.locator("[onerror], [onload], [onmouseover], [style]").count() == 0
        shoot(page, "hostile")


def test_long_and_broken_markup_is_quick(stage: Stage) -> None:
    """Text made to confuse a parser is drawn within a second."""
    texts = ["*`a`" * 700, "<" * 3000, "_*~" * 1000, ("`" * 7 + "*") * 300, ":" * 3000, "*a _b ~c " * 300]
    with stage.looking() as page:
        for text in texts:
            stage.player.client.chat_postMessage(channel=stage.player.channel, text=text)
        expect(page.locator("#stream .message")).to_have_count(len(texts))
        took_ms = page.evaluate(
            """async (texts) => {
                const { mrkdwn } = await import("/static/mrkdwn.js");
                const start = performance.now();
                for (const text of texts) mrkdwn(text.repeat(10));
                return performance.now() - start;
            }""",
            texts,
        )
        assert took_ms < 1500


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("a *b* c", "<p>a <strong>b</strong> c</p>"),
        ("2*3*4 and snake_case_name", "<p>2*3*4 and snake_case_name</p>"),
        ("*bold _both_*", "<p><strong>bold <em>both</em></strong></p>"),
        ("`*raw*` ~x~", "<p><code>*raw*</code> <s>x</s></p>"),
        ("a &lt;b&gt; &amp;amp;", "<p>a &lt;b&gt; &amp;amp;</p>"),
        ("&gt; one\n&gt; two", "<blockquote>one<br>two</blockquote>"),
        ("```\nx = *1*\n```", '<pre tabindex="0"><code>x = *1*</code></pre>'),
        ("12:30:45 :unknown_one:", "<p>12:30:45 :unknown_one:</p>"),
        ("<!date^0^{date_num}|then>", '<time datetime="1970-01-01T00:00:00.000Z">1970-01-01</time>'),
        ("<!date^zero^{date}|the fallback>", "<p>the fallback</p>"),
        ("hi <@U0|x> <!here>", '<span class="mention">@x</span> <span class="mention here">@here</span>'),
    ],
)
def test_mrkdwn(marked: Page, text: str, markup: str) -> None:
    """Message text becomes what a reader of Slack expects."""
    html = marked.evaluate(
        """async (text) => {
            const { mrkdwn } = await import("/static/mrkdwn.js");
            const box = document.createElement("div");
            box.append(...mrkdwn(text));
            for (const el of box.querySelectorAll("[title]")) el.removeAttribute("title");
            return box.innerHTML;
        }""",
        text,
    )
    assert markup in html


def test_keys_reach_everything(stage: Stage) -> None:
    """Without a mouse: skip link, completion, menu with arrows, message by message, Escape gives the focus back."""
    stage.player.alert(int(stage.ws.clock.now()))
    with stage.looking() as page:
        press = page.keyboard.press
        page.locator(".message").first.wait_for()
        press("Tab")
        press("Tab")
        expect(page.get_by_role("link", name="Skip to the message box")).to_be_focused()
        press("Enter")
        expect(composer(page)).to_be_focused()
        page.keyboard.type("/ml")
        expect(page.get_by_role("option", name="mlops")).to_be_visible()
        press("Tab")
        expect(composer(page)).to_have_value("/mlops ")
        press("Escape")
        page.keyboard.type("nonsense")
        press("Enter")
        expect(page.locator("#stream .ephemeral")).to_contain_text("I do not know nonsense")
        expect(composer(page)).to_be_focused()

        page.locator("#act-as").focus()
        press("Enter")
        expect(page.get_by_role("menuitemradio", name=re.compile("Alice"))).to_be_focused()
        press("ArrowDown")
        press("Escape")
        expect(page.locator("#act-as")).to_be_focused()

        bar = page.get_by_role("button", name=re.compile("2 replies"))
        bar.focus()
        press("Enter")
        expect(page.get_by_role("textbox", name=re.compile("Reply"))).to_be_focused()
        press("Escape")
        expect(page.locator("#thread")).to_be_hidden()
        expect(bar).to_be_focused()
        page.locator("#stream-box").focus()
        press("ArrowUp")
        press("ArrowUp")
        expect(page.locator("#stream .message").first).to_be_focused()


def test_typing_and_reading_are_not_disturbed(stage: Stage) -> None:
    """Messages that arrive leave the half-typed line, the caret and the place one reads at alone."""
    client, channel = stage.player.client, stage.player.channel
    for number in range(30):
        client.chat_postMessage(channel=channel, text=f"line {number}")
    with stage.looking() as page:
        expect(page.get_by_text("line 29")).to_be_visible()
        box = composer(page)
        box.fill("half a thought")
        box.evaluate("field => field.setSelectionRange(4, 4)")
        page.locator("#stream-box").evaluate("box => { box.scrollTop = 100; }")
        page.wait_for_function("() => document.getElementById('stream-box').scrollTop === 100")
        client.chat_postMessage(channel=channel, text="a newcomer")
        expect(page.locator("#stream").get_by_text("a newcomer")).to_be_attached()
        assert page.locator("#stream-box").evaluate("box => box.scrollTop") == 100
        assert box.evaluate("field => [field.value, field.selectionStart]") == ["half a thought", 4]
        expect(box).to_be_focused()


def test_refused_command_is_given_back(stage: Stage) -> None:
    """A command in a thread is refused as Slack does, and the words are not lost."""
    stage.player.alert(int(stage.ws.clock.now()))
    with stage.looking() as page:
        page.get_by_role("button", name=re.compile("2 replies")).click()
        reply = page.get_by_role("textbox", name=re.compile("Reply"))
        reply.fill("/mlops rollback intent_classifier")
        reply.press("Enter")
        expect(page.locator("#notices")).to_contain_text("not supported in threads")
        expect(reply).to_have_value("/mlops rollback intent_classifier")


def test_inspector_clock_and_guide(stage: Stage) -> None:
    """Envelopes can be read and copied, time can be moved, the demo can tell the steps and the verbs."""
    stage.ws.as_("alice").types("/mlops nonsense", channel=CHANNEL)
    before = stage.ws.clock.now()
    with stage.looking() as page:
        page.get_by_role("button", name="Inspector").click()
        page.locator(".wire", has_text="/mlops nonsense").locator("summary").click()
        expect(page.locator(".json").first).to_contain_text('"command": "/mlops"')
        expect(page.get_by_role("button", name="Copy JSON").first).to_be_visible()
        shoot(page, "inspector")
        page.get_by_role("tab", name="From the app").click()
        expect(page.locator(".wire", has_text="auth.test").first).to_be_visible()
        page.get_by_role("button", name="Close inspector").click()

        page.get_by_role("button", name=re.compile("workspace time")).click()
        shoot(page, "clock")
        page.get_by_role("menuitem", name="+ 15 minutes").click()
        expect(page.locator("#notices")).to_contain_text("15 minutes have passed")
        assert stage.ws.clock.now() - before > 14 * 60

        steps = [
            {"text": "First thing", "done": True},
            {"text": "Second thing", "done": False, "go": {"text": "/mlops "}},
        ]
        verbs = {"/mlops": [{"usage": "rollback <model>", "about": "back to the last known-good version"}]}
        page.request.post(f"{stage.ws.url}/_sim/config", data={"guide": steps, "verbs": verbs})
        expect(page.locator("#guide")).to_contain_text("Step 2 of 2")
        page.get_by_role("button", name="Type it for me").click()
        expect(page.get_by_role("option", name=re.compile("rollback <model>"))).to_be_visible()
        shoot(page, "verbs")
        page.get_by_role("button", name="Hide how to play").click()
        expect(page.locator("#guide")).to_be_hidden()


def test_narrow_screen(stage: Stage) -> None:
    """At 390 px the places and the thread lie over the stream, nothing is cut off, and a reply can be written."""
    stage.player.alert(int(stage.ws.clock.now()))
    with stage.looking("oscar", width=390) as page:
        expect(page.locator("#sidebar")).not_to_be_in_viewport()
        page.get_by_role("button", name=re.compile("^Channels")).click()
        page.locator("#sidebar").get_by_role("button", name="ml-oncall").click()
        expect(page.get_by_text("You are not in #ml-oncall")).to_be_visible()
        page.get_by_role("button", name="Join").click()
        expect(page.get_by_role("heading", name="P1 intent_classifier")).to_be_visible()
        shoot(page, "narrow")
        page.get_by_role("button", name=re.compile("2 replies")).click()
        expect(page.locator("#thread")).to_be_in_viewport(ratio=0.95)
        shoot(page, "narrow-thread")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("button", name="Close thread").click()
        page.get_by_role("button", name=re.compile("^Channels")).click()
        expect(page.locator("#sidebar")).to_be_in_viewport()
        shoot(page, "narrow-places")


def test_every_element_answers(stage: Stage) -> None:
    """Menus, radio buttons, reactions, message shortcuts and editing reach the app or the workspace."""
    stage.player._post("Every element", GALLERY)
    with stage.looking() as page:
        message = page.locator("#stream .message").first
        page.get_by_role("combobox", name="Choose a window").select_option("1 hour")
        page.wait_for_function("() => !document.querySelector('.busy')")
        assert stage.player.heard == ["60"]
        expect(page.get_by_role("combobox", name="Choose a window")).to_have_value("60")
        message.hover()
        message.get_by_role("button", name="Add a reaction").click()
        page.get_by_role("menuitem", name="tada").click()
        expect(message.get_by_role("button", name="tada, Alice Moreau")).to_have_attribute("aria-pressed", "true")
        composer(page).fill("helo @bob in #general :tada:")
        composer(page).press("Escape")
        composer(page).press("Enter")
        own = page.locator("#stream .message").last
        expect(own).to_contain_text("helo @Bob Osei in #general 🎉")
        own.hover()
        own.get_by_role("button", name="More actions").click()
        expect(page.get_by_role("menuitem", name="Declare incident")).to_be_visible()
        page.get_by_role("menuitem", name="Edit").click()
        page.get_by_role("dialog").get_by_role("textbox").fill("hello")
        page.get_by_role("button", name="Save").click()
        expect(own).to_contain_text("hello")
        expect(own).to_contain_text("edited")


def faults(page: Page) -> list[str]:
    """Serious and critical findings of axe, one line each, with the place."""
    answer = Axe().run(page).response
    assert "color-contrast" in {rule["id"] for rule in answer["passes"]}  # it really looked
    found = answer["violations"]
    return [
        f"{v['id']}: {node['target']} {node['failureSummary'][:300]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_accessibility_fault(stage: Stage, width: int, scheme: Scheme) -> None:
    """axe-core finds nothing serious in the stream, a thread, a menu, a form, Home and the inspector."""
    player = stage.player
    player.alert(int(stage.ws.clock.now()))
    player._post("Every element", GALLERY)
    stage.ws.as_("alice").types("/mlops nonsense", channel=CHANNEL)
    seen: dict[str, list[str]] = {}
    with stage.looking(width=width, scheme=scheme) as page:

        def judge(name: str) -> None:
            shoot(page, f"{name}-{width}-{scheme}")
            seen[name] = faults(page)

        expect(page.locator("#stream .ephemeral")).to_be_visible()
        judge("stream")
        page.locator("#act-as").click()
        judge("menu")
        page.keyboard.press("Escape")
        page.get_by_role("button", name=re.compile("2 replies")).click()
        judge("thread")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Inspector").click()
        page.locator(".wire summary").first.click()
        judge("inspector")
        page.get_by_role("button", name="Close inspector").click()
        composer(page).fill("/mlops rollback intent_classifier")
        composer(page).press("Enter")
        page.get_by_role("button", name=re.compile("3 replies")).click()
        page.locator("#thread").get_by_role("button", name="Reject").click()
        form = page.get_by_role("dialog", name=REASON_FORM["title"]["text"])
        form.get_by_role("button", name="Reject it").click()
        expect(form).to_contain_text("required field")
        judge("form")
        page.keyboard.press("Escape")
        expect(form).to_have_count(0)
    assert {name: found for name, found in seen.items() if found} == {}
