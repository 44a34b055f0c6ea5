"""files.*: the three-step upload and file details."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from playground.slack import posting, wire
from playground.slack import state as st
from playground.slack.errors import ApiError, bad_arguments
from playground.slack.web_api.args import Args, target_channel
from playground.slack.web_api.chat import _thread

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
MAX_UPLOAD_BYTES = 50_000_000  # generous for graphs and reports, small enough for a laptop


def upload_url(world: World, args: Args) -> Json:
    """files.getUploadURLExternal: step one."""
    size = args.whole("length", 0, high=2**40)
    if size < 1:
        raise bad_arguments("length must be at least 1")
    if size > MAX_UPLOAD_BYTES:
        raise ApiError("file_upload_size_restricted")
    file = st.File(
        id=world.new_id("F"), name=args.text("filename"), size=size,
        ticket=secrets.token_urlsafe(16), created=int(world.clock.now()), user=st.BOT_USER_ID,
        alt_text=args.text("alt_txt", ""),
    )  # fmt: skip
    world.state.files[file.id] = file
    return {"upload_url": f"{world.base_url}/upload/{file.ticket}", "file_id": file.id}


def receive(world: World, ticket: str, content: bytes) -> tuple[int, str]:
    """Step two: the bytes arrive. Returns HTTP status and text."""
    file = next((f for f in world.state.files.values() if f.ticket == ticket), None)
    if file is None or file.content is not None:
        return 404, "unknown or used upload address"
    if len(content) != file.size:
        return 400, f"announced {file.size} bytes, received {len(content)}"
    file.content = content
    return 200, f"OK - {len(content)}"


def complete(world: World, args: Args) -> Json:
    """files.completeUploadExternal: step three, which also shares the files."""
    wanted = args.json("files")
    if not isinstance(wanted, list) or not wanted:
        raise bad_arguments("files must be a list of {id, title}")
    files = [_uploaded(world, item) for item in wanted]
    channel_keys = args.names("channels") or args.names("channel_id")
    channels = [target_channel(world, key) for key in channel_keys]
    body = {"text": args.text("initial_comment", "")}
    if args.has("blocks"):
        body["blocks"] = args.json("blocks")
        posting.check_content(world, body, "files.completeUploadExternal")
    for file in files:
        file.done = True
    for channel in channels:
        for file in files:
            file.channels.append(channel.id)
        posting.by_app(world, channel, body, thread_ts=_thread(channel, args), files=[f.id for f in files])
    return {"files": [wire.file(world, f) for f in files]}


def _uploaded(world: World, item: Any) -> st.File:
    key = item.get("id") if isinstance(item, dict) else None
    file = world.state.files.get(str(key))
    if file is None or file.content is None or file.done:
        raise ApiError("file_not_found")
    file.title = str(item.get("title") or file.name)
    if not file.alt_text and file.name.rpartition(".")[2].lower() in ("png", "jpg", "jpeg", "gif"):
        world.note_lint("missing_alt_text", file.name, "an image was uploaded without alt_txt")
    return file


def info(world: World, args: Args) -> Json:
    """files.info."""
    file = world.state.files.get(args.text("file"))
    if file is None or not file.done:
        raise ApiError("file_not_found")
    return {
        "file": wire.file(world, file), "comments": [],
        "response_metadata": {"next_cursor": ""},
    }  # fmt: skip
