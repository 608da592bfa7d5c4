"""What Slack takes as Block Kit in a message, by its documented limits and the stricter measured ones.

In: the blocks of a message. Out: Slack's kind of complaint, one for each fault, with a JSON pointer.
Never: a repair; what is wrong here would be wrong at Slack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Check = Callable[[dict[str, Any], str], Iterator[str]]

# type -> keys that must be there, keys that may be there
KEYS: dict[str, tuple[set[str], set[str]]] = {
    "header": ({"text"}, set()),
    "section": (set(), {"text", "fields", "accessory", "expand"}),
    "context": ({"elements"}, set()),
    "divider": (set(), set()),
    "actions": ({"elements"}, set()),
    "image": ({"alt_text"}, {"image_url", "slack_file", "title"}),
    "markdown": ({"text"}, set()),
    "rich_text": ({"elements"}, set()),
}
TEXT_KEYS = {"plain_text": {"type", "text", "emoji"}, "mrkdwn": {"type", "text", "verbatim"}}
BUTTON_KEYS = {"type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"}
MOST_BLOCKS = 50
MOST_TEXT = 12_000
PER_BLOCK = 50


def complaints(blocks: Any) -> list[str]:
    """Every fault of the blocks of one message; empty when Slack would take them."""
    if not isinstance(blocks, list):
        return ["must be an array [json-pointer:/blocks]"]
    found = [f"no more than {MOST_BLOCKS} items allowed [json-pointer:/blocks]"] * (len(blocks) > MOST_BLOCKS)
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        at = f"/blocks/{number}"
        if not isinstance(block, dict) or block.get("type") not in KEYS:
            found.append(_say("unsupported type", f"{at}/type"))
            continue
        found += _keys(block, at)
        found += CHECKS[block["type"]](block, at)
        name = block.get("block_id")
        if name is not None and (not isinstance(name, str) or not 0 < len(name) <= 255 or name in seen):
            found.append(_say("must be unique and at most 255 characters", f"{at}/block_id"))
        seen.add(str(name))
    return found


def too_long(blocks: list[Any]) -> bool:
    """Whether all text together is more than Slack was seen to take."""
    return sum(len(text) for text in _texts(blocks)) + PER_BLOCK * len(blocks) > MOST_TEXT


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def _say(what: str, pointer: str) -> str:
    return f"{what} [json-pointer:{pointer}]"


def _keys(block: dict[str, Any], at: str) -> Iterator[str]:
    needed, allowed = KEYS[block["type"]]
    for key in sorted(needed - block.keys()):
        yield _say(f"missing required field: {key}", at)
    for key in sorted(block.keys() - needed - allowed - {"type", "block_id"}):
        yield _say(f"no such field: {key}", f"{at}/{key}")


def _string(value: Any, most: int, at: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _say("must be a string", at)
    elif not value:
        yield _say("must be more than 0 characters", at)
    elif len(value) > most:
        yield _say(f"must be less than {most + 1} characters", at)


def _text(value: Any, most: int, at: str, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("type") not in kinds:
        yield _say(f"must be a text object of {' or '.join(kinds)}", f"{at}/type")
        return
    for key in sorted(value.keys() - TEXT_KEYS[value["type"]]):
        yield _say(f"no such field: {key}", f"{at}/{key}")
    yield from _string(value.get("text"), most, f"{at}/text")


def _items(value: Any, most: int, at: str) -> Iterator[str]:
    if not isinstance(value, list) or not 0 < len(value) <= most:
        yield _say(f"must have 1 to {most} items", at)


def _header(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from _text(block.get("text"), 150, f"{at}/text", ("plain_text",))


def _section(block: dict[str, Any], at: str) -> Iterator[str]:
    if "text" not in block and "fields" not in block:
        yield _say("text or fields must be there", at)
    if "text" in block:
        yield from _text(block["text"], 3000, f"{at}/text")
    if "fields" in block:
        yield from _items(block["fields"], 10, f"{at}/fields")
        if isinstance(block["fields"], list):
            for number, field in enumerate(block["fields"]):
                yield from _text(field, 2000, f"{at}/fields/{number}")
    if "accessory" in block:
        yield from _element(block["accessory"], f"{at}/accessory")


def _context(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from _items(block.get("elements"), 10, f"{at}/elements")
    for number, element in enumerate(_list(block.get("elements"))):
        yield from _text(element, 2000, f"{at}/elements/{number}")


def _actions(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from _items(block.get("elements"), 25, f"{at}/elements")
    seen: set[Any] = set()
    for number, element in enumerate(_list(block.get("elements"))):
        yield from _element(element, f"{at}/elements/{number}")
        name = element.get("action_id") if isinstance(element, dict) else None
        if name is not None and name in seen:
            yield _say("action_id must be unique", f"{at}/elements/{number}/action_id")
        seen.add(name)


def _element(element: Any, at: str) -> Iterator[str]:
    kind = element.get("type") if isinstance(element, dict) else None
    if kind == "button":
        yield from _button(element, at)
    elif kind == "overflow":
        yield from _overflow(element, at)
    elif kind == "static_select":
        yield from _static_select(element, at)
    else:
        yield _say("unsupported element", f"{at}/type")


def _button(element: dict[str, Any], at: str) -> Iterator[str]:
    for key in sorted(element.keys() - BUTTON_KEYS):
        yield _say(f"no such field: {key}", f"{at}/{key}")
    yield from _text(element.get("text"), 75, f"{at}/text", ("plain_text",))
    for key, most in (("action_id", 255), ("value", 2000), ("url", 3000), ("accessibility_label", 75)):
        if key in element:
            yield from _string(element[key], most, f"{at}/{key}")
    if "url" in element and not str(element["url"]).startswith(("http://", "https://")):
        yield _say("must be a URL", f"{at}/url")
    if "style" in element and element["style"] not in ("primary", "danger"):
        yield _say("must be primary or danger", f"{at}/style")
    if "confirm" in element:
        yield from _confirm(element["confirm"], f"{at}/confirm")


def _confirm(value: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _say("must be an object", at)
        return
    for key in sorted(value.keys() - {"title", "text", "confirm", "deny", "style"}):
        yield _say(f"no such field: {key}", f"{at}/{key}")
    yield from _text(value.get("title"), 100, f"{at}/title", ("plain_text",))
    yield from _text(value.get("text"), 300, f"{at}/text")
    for key in ("confirm", "deny"):
        yield from _text(value.get(key), 30, f"{at}/{key}", ("plain_text",))


def _overflow(element: dict[str, Any], at: str) -> Iterator[str]:
    for key in sorted(element.keys() - {"type", "action_id", "options", "confirm"}):
        yield _say(f"no such field: {key}", f"{at}/{key}")
    yield from _items(element.get("options"), 5, f"{at}/options")
    for number, option in enumerate(_list(element.get("options"))):
        shape = option if isinstance(option, dict) else {}
        yield from _text(shape.get("text"), 75, f"{at}/options/{number}/text", ("plain_text",))
        yield from _string(shape.get("value"), 150, f"{at}/options/{number}/value")


def _static_select(element: dict[str, Any], at: str) -> Iterator[str]:
    for key in sorted(element.keys() - {"type", "action_id", "options", "placeholder", "confirm"}):
        yield _say(f"no such field: {key}", f"{at}/{key}")
    yield from _text(element.get("placeholder"), 150, f"{at}/placeholder", ("plain_text",))
    yield from _items(element.get("options"), 100, f"{at}/options")
    for number, option in enumerate(_list(element.get("options"))):
        shape = option if isinstance(option, dict) else {}
        yield from _text(shape.get("text"), 75, f"{at}/options/{number}/text", ("plain_text",))
        yield from _string(shape.get("value"), 150, f"{at}/options/{number}/value")


def _image(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from _string(block.get("alt_text"), 2000, f"{at}/alt_text")
    if "title" in block:
        yield from _text(block["title"], 2000, f"{at}/title", ("plain_text",))
    if "image_url" in block:
        # Slack fetches it from the internet: an address inside the company fails the whole message.
        yield _say("downloading image failed", f"{at}/image_url")
    elif "slack_file" not in block:
        yield _say("image_url or slack_file must be there", at)


def _markdown(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from _string(block.get("text"), 12_000, f"{at}/text")


def _rich_text(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from _items(block.get("elements"), 100, f"{at}/elements")


def _divider(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from ()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


CHECKS: dict[str, Check] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "divider": _divider,
    "actions": _actions,
    "image": _image,
    "markdown": _markdown,
    "rich_text": _rich_text,
}
