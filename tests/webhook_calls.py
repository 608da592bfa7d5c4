"""Calls as the senders of webhooks make them: their sample bodies, signed with a secret of these tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

BODIES = Path(__file__).parent / "webhooks"
SECRET = "a secret of these tests"
SIGNING = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def samples() -> list[str]:
    """The names of all sample bodies, but for those of CDEvents: the sender stands before the first `_`."""
    return sorted(file.stem for file in BODIES.glob("*.json") if not file.stem.startswith("cdevents"))


def sender_of(sample: str) -> str:
    return "azure_devops" if sample.startswith("azure_devops") else sample.partition("_")[0]


def body(sample: str) -> bytes:
    return (BODIES / f"{sample}.json").read_bytes()


def headers(sample: str, raw: bytes, secret: str = SECRET) -> dict[str, str]:
    """What the sender of the sample would bring beside `raw`."""
    sender = sender_of(sample)
    digest = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    own = {
        "github": {
            "x-github-event": sample.removeprefix("github_"),
            "x-hub-signature-256": f"sha256={digest}",
        },
        "bitbucket": {"x-event-key": "repo:commit_status_updated", "x-hub-signature": f"sha256={digest}"},
        "gitlab": {"x-gitlab-event": "Deployment Hook", "x-gitlab-token": secret},
        "flux": {"x-signature": f"sha256={digest}", "gotk-component": "helm-controller"},
        "launchdarkly": {"x-ld-signature": digest},
    }
    return {"content-type": "application/json"} | own.get(sender, {"authorization": f"Bearer {secret}"})


def standard(raw: bytes, moment: int, key: str = SIGNING) -> dict[str, str]:
    """The headers of Standard Webhooks, as GitLab makes them with a signing token."""
    wanted = hmac.new(base64.b64decode(key[6:]), b"msg_1.%d.%b" % (moment, raw), hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(moment),
        "webhook-signature": "v1,c3RyYW5nZXI= v1," + base64.b64encode(wanted).decode(),
    }
