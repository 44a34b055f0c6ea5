"""A small app on slack-bolt to play with: an alert and its thread, a guarded rollback, a form, a Home."""

import struct
import threading
import zlib
from typing import Any

from slack_bolt import App
from slack_sdk import WebClient

CHANNEL = "ml-oncall"
Block = dict[str, Any]


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}


def words(text: str) -> Block:
    return {"type": "mrkdwn", "text": text}


def section(text: str, **more: Any) -> Block:
    return {"type": "section", "text": words(text), **more}


def button(label: str, action_id: str, **more: Any) -> Block:
    return {"type": "button", "text": plain(label), "action_id": action_id, **more}


def option(label: str, value: str, note: str = "") -> Block:
    return {"text": plain(label), "value": value} | ({"description": plain(note)} if note else {})


def chart(width: int = 520, height: int = 180) -> bytes:
    """A PNG of a line that falls under a bound: a real picture without a drawing library."""
    drop = width * 6 // 10
    line = {x: height * 3 // 10 if x < drop else height * 7 // 10 + (x * 7 % 9) for x in range(width)}
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            is_line, is_bound = abs(line[x] - y) < 3, y == height // 2 and x % 12 < 8
            row += b"\x0e\x66\x57" if is_line else b"\xb0\x28\x1f" if is_bound else b"\xff\xff\xff"
        rows.append(b"\0" + bytes(row))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"".join(rows))),
            (b"IEND", b""),
        )
    )


def headline(state: str, owner: str, started: int) -> list[Block]:
    buttons = [button("Acknowledge", "ack", style="primary", value="1")] if state == "open" else []
    return [
        {"type": "header", "text": plain(":rotating_light: P1 intent_classifier: accuracy fell")},
        section("*P1* because accuracy is 0.41, under the critical bound 0.80, on a production model."),
        {
            "type": "section",
            "fields": [
                words("*System*\nplayground"),
                words("*Model*\n`intent_classifier` v3"),
                words(f"*Since*\n<!date^{started}^{{time}}|then> (<!date^{started}^{{ago}}|a while ago>)"),
                words(f"*Owner*\n{owner}"),
            ],
        },
        {
            "type": "actions",
            "elements": [
                *buttons,
                button("Diagnose", "diagnose"),
                {
                    "type": "overflow",
                    "action_id": "more",
                    "options": [option("Snooze 1 hour", "snooze"), option("Resolve", "resolve")],
                },
            ],
        },
        {"type": "context", "elements": [words("INC-1 · next: level 2 in 15 min · runbook _AccuracyFell_")]},
    ]


CONFIRM = {
    "title": plain("Roll back now?"),
    "text": words("`intent_classifier` goes from *v3* to *v2* in production."),
    "confirm": plain("Roll back"),
    "deny": plain("Not yet"),
    "style": "danger",
}


def card() -> list[Block]:
    return [
        section(
            "*Roll back `intent_classifier` from v3 to v2?*\n"
            "v2 is the last known-good version: it served 6 days within bounds.\n"
            "1. move the alias `champion` from v3 to v2\n2. reload the model server\n3. prove that it serves v2"
        ),
        {
            "type": "actions",
            "block_id": "decision",
            "elements": [
                button("Approve", "approve", style="primary", value="plan-1", confirm=CONFIRM),
                button("Reject", "reject", style="danger", value="plan-1"),
            ],
        },
        {"type": "context", "elements": [words("Asked by Alice. One approver who did not ask. Expires in 15 min.")]},
    ]


REASON_FORM: Block = {
    "type": "modal",
    "callback_id": "reason",
    "title": plain("Reject the rollback"),
    "submit": plain("Reject it"),
    "close": plain("Back"),
    "blocks": [
        section("Tell the others why, so that nobody asks again for the same thing."),
        {
            "type": "input",
            "block_id": "why",
            "label": plain("Reason"),
            "hint": plain("One sentence is enough."),
            "element": {"type": "plain_text_input", "action_id": "text", "multiline": True},
        },
        {
            "type": "input",
            "block_id": "kind",
            "optional": True,
            "label": plain("Kind"),
            "element": {
                "type": "static_select",
                "action_id": "kind",
                "placeholder": plain("Pick one"),
                "options": [option("Too risky", "risk"), option("Wrong cause", "cause")],
            },
        },
        {
            "type": "input",
            "block_id": "tell",
            "optional": True,
            "label": plain("Tell"),
            "element": {
                "type": "checkboxes",
                "action_id": "tell",
                "options": [option("The requester", "asker"), option("The manager", "boss", "by direct message")],
            },
        },
    ],
}

HOME = [
    {"type": "header", "text": plain("What needs you")},
    section("*INC-1* P1 accuracy fell · owned by nobody", accessory=button("Open", "open_incident")),
    {"type": "divider"},
    {"type": "context", "elements": [words("On call this week: Alice Moreau")]},
]


class Player:
    """The app's memory and its listeners; `alert` posts what an alert would cause."""

    def __init__(self, app: App, channel: str) -> None:
        self.app, self.client, self.channel = app, app.client, channel
        self.ts = ""
        self.started = 0
        self.heard: list[str] = []
        self._lock = threading.Lock()
        for register in (self._commands, self._decisions, self._rest):
            register(app)

    def alert(self, started: int) -> str:
        """Post the headline and the first findings; returns the thread's stamp."""
        self.started = started
        posted = self._post("P1 intent_classifier: accuracy fell", headline("open", "nobody yet", started))
        self.ts = str(posted["ts"])
        self._post(
            "Accuracy 0.41, bound 0.80",
            [section("*Metrics* accuracy `0.41` (bound 0.80), p95 latency `84 ms`, errors `0.2 %`")],
            thread_ts=self.ts,
        )
        self.client.files_upload_v2(
            channel=self.channel,
            thread_ts=self.ts,
            content=chart(),
            filename="accuracy.png",
            title="Accuracy around the start of the alert",
            alt_txt="Accuracy falls from 0.93 to 0.41, under the bound 0.80",
        )
        return self.ts

    def _post(self, text: str, blocks: list[Block], **more: Any) -> Any:
        return self.client.chat_postMessage(channel=self.channel, text=text, blocks=blocks, **more)

    def _commands(self, app: App) -> None:
        @app.command("/mlops")
        def command(ack: Any, body: Any) -> None:
            verb = body["text"].partition(" ")[0]
            if verb != "rollback":
                ack(f"I do not know `{verb}`. Try `/mlops rollback intent_classifier`.")
                return
            ack("Planning the rollback of `intent_classifier`. The card comes in the incident's thread.")
            self._post("Roll back intent_classifier from v3 to v2?", card(), thread_ts=self.ts)

    def _decisions(self, app: App) -> None:
        @app.action("ack")
        def acknowledge(ack: Any, body: Any, client: WebClient) -> None:
            ack()
            owner = f"<@{body['user']['id']}>"
            blocks = headline("mine", owner, self.started)
            client.chat_update(channel=self.channel, ts=self.ts, text="P1 acknowledged", blocks=blocks)
            self._post("Acknowledged", [section(f"Acknowledged by {owner}. Nobody else is paged.")], thread_ts=self.ts)

        @app.action("approve")
        def approve(ack: Any, body: Any, client: WebClient) -> None:
            ack()
            who, ts = body["user"], body["message"]["ts"]
            with self._lock:
                self.heard.append(who["name"])
            if who["name"] == "alice":
                text = "You asked for this rollback, so somebody else has to approve it."
                client.chat_postEphemeral(channel=self.channel, user=who["id"], thread_ts=self.ts, text=text)
                return
            done = [
                section(f":white_check_mark: *Rolled back to v2*, approved by <@{who['id']}>"),
                {
                    "type": "table",
                    "rows": [
                        [{"type": "raw_text", "text": text} for text in row]
                        for row in (
                            ("Proof", "Before", "Now"),
                            ("Version served", "v3", "v2"),
                            ("Accuracy", "0.41", "0.93"),
                        )
                    ],
                },
                {"type": "context", "elements": [words("verified from the serving side · took 4.2 s")]},
            ]
            client.chat_update(channel=self.channel, ts=ts, text="Rolled back to v2, verified", blocks=done)

        @app.action("reject")
        def reject(ack: Any, body: Any, client: WebClient) -> None:
            ack()
            client.views_open(trigger_id=body["trigger_id"], view=REASON_FORM)

        @app.view("reason")
        def reason(ack: Any, view: Any) -> None:
            text = view["state"]["values"]["why"]["text"]["value"]
            if len(text) < 5:
                ack(response_action="errors", errors={"why": "Say a little more: at least five letters."})
                return
            ack()
            self._post(f"Rejected: {text}", [section(f"Rejected: {text}")], thread_ts=self.ts)

    def _rest(self, app: App) -> None:
        @app.action("more")
        def more(ack: Any, body: Any, respond: Any) -> None:
            ack()
            chosen = body["actions"][0]["selected_option"]["value"]
            respond(text=f"You chose {chosen}", response_type="ephemeral", replace_original=False)

        @app.event("app_home_opened")
        def home(event: Any, client: WebClient) -> None:
            client.views_publish(user_id=event["user"], view={"type": "home", "blocks": HOME})

        @app.event("message")
        def message() -> None:
            pass

        @app.action({"type": "block_actions", "action_id": "diagnose"})
        def diagnose(ack: Any) -> None:
            ack()

        @app.action("choice")
        def choice(ack: Any, body: Any) -> None:
            ack()
            with self._lock:
                self.heard.append(str(body["actions"][0].get("selected_option", {}).get("value")))


GALLERY: list[Block] = [
    {"type": "header", "text": plain("Every element")},
    section(
        "*Bold* _italic_ ~gone~ `code` <https://example.com/a?b=1&amp;c=2|a link> :eyes:\n• one\n• two\n> quoted\n"
        "```\npre 1 < 2\n```",
        accessory={
            "type": "static_select",
            "action_id": "choice",
            "placeholder": plain("Choose a window"),
            "options": [option("15 minutes", "15"), option("1 hour", "60")],
        },
    ),
    {
        "type": "actions",
        "elements": [
            {"type": "users_select", "action_id": "person", "placeholder": plain("Assign to")},
            {"type": "datepicker", "action_id": "day", "initial_date": "2026-01-31"},
            {
                "type": "radio_buttons",
                "action_id": "radio",
                "options": [option("Canary", "canary"), option("All at once", "all", "needs two approvers")],
            },
            {
                "type": "multi_static_select",
                "action_id": "several",
                "placeholder": plain("Systems"),
                "options": [option("khet", "khet"), option("nivesh", "nivesh")],
            },
        ],
    },
    {
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": "Rich ", "style": {"bold": True}},
                    {"type": "emoji", "name": "tada"},
                    {"type": "text", "text": " words"},
                ],
            },
            {
                "type": "rich_text_list",
                "style": "ordered",
                "elements": [
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "first step"}]},
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "second step"}]},
                ],
            },
            {"type": "rich_text_quote", "elements": [{"type": "text", "text": "said by somebody"}]},
        ],
    },
    {"type": "image", "image_url": "https://pictures.example.com/x.png", "alt_text": "a picture from far away"},
]
