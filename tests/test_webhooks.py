"""Webhooks of those who ship: their own bodies and signatures become Deployments, and nothing else gets in."""

from __future__ import annotations

import base64
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed import malformed
from test_collector_server import Behind, serving
from webhook_calls import NOW, SECRET, SIGNING, body, headers, samples, sender_of, standard

from collector.deployments import Deployment
from collector.otlp import BadRequest
from collector.server import Door
from collector.tokens import of_one
from collector.webhooks.hook import Hook
from collector.webhooks.receive import BODY, SENDERS, receive, receive_events
from collector.webhooks.signed import Unsigned
from collector.webhooks.told import Call, Passed
from stillwatch.store import Store

SAMPLES = samples()
VERSIONS = {
    "github_workflow_run": "acb5820ced94",
    "github_release": "v1.4.2",
    "github_deployment_status": "v1.4.2",
    "flux_kustomization": "731f7eaddfb6",
    "bitbucket_status": "9fec847784ab",
    "launchdarkly_flag": "batched-import",
}


def heard(sample: str, changed: dict[str, Any] | None = None, **hook: Any) -> list[Deployment]:
    """What a sample tells, with some fields (by their path, with dots) changed or, for `...`, left out."""
    whole = json.loads(body(sample))
    for path, value in (changed or {}).items():
        *way, last = path.split(".")
        part = whole
        for step in way:
            part = part[int(step)] if isinstance(part, list) else part[step]
        if value is ...:
            del part[last]
        else:
            part[last] = value
    raw = json.dumps(whole).encode()
    return receive(Hook(sender_of(sample), SECRET, **hook), Call(headers(sample, raw), raw, NOW))


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_a_sender_tells_is_a_deployment_of_the_service(sample: str) -> None:
    (one,) = heard(sample)
    assert one.service == "contact-importer"
    assert one.version == VERSIONS.get(sample, "1.4.2")
    assert 1_699_999_000 < one.time <= NOW
    assert one.environment.lower() in ("production", "")
    assert one.kind == ("flag" if sample.startswith("launchdarkly") else "deploy")
    assert one.reported == NOW
    assert sender_of(sample).replace("_", "-") in one.id


def test_all_samples_have_a_sender_and_all_senders_a_sample() -> None:
    assert {sender_of(sample) for sample in SAMPLES} == set(SENDERS)


TIMES = {
    "argocd_synced": "app.status.operationState.finishedAt",
    "bitbucket_status": "commit_status.updated_on",
    "github_deployment_status": "deployment_status.created_at",
    "launchdarkly_flag": "date",
    "octopus_succeeded": "Payload.Event.Occurred",
}


@pytest.mark.parametrize("time", [10**400, -(10**400), 1e308, 10**15])
@pytest.mark.parametrize("sample", TIMES)
def test_a_number_that_is_no_time_is_answered_with_the_field(sample: str, time: float) -> None:
    with pytest.raises(BadRequest, match=f"^{TIMES[sample]}: expected a time"):
        heard(sample, {TIMES[sample]: time})


@pytest.mark.parametrize(
    ("sample", "changed", "reason"),
    [
        ("github_workflow_run", {"workflow_run.id": 1.5}, "workflow_run.id: expected text or a whole number"),
        ("github_workflow_run", {"workflow_run.id": ...}, "workflow_run.id: missing; expected text"),
        ("flux_kustomization", {"metadata": 1}, "metadata: expected a mapping"),
        ("github_release", {"release.tag_name": ""}, "release.tag_name: expected text that is not empty"),
        (
            "github_release",
            {"release.tag_name": "1" * 3000},
            "release.tag_name: expected at most 2000 characters",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_sender(
    sample: str, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadRequest) as said:
        heard(sample, changed)
    assert str(said.value) == reason


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_secret_may_have_any_letters(sample: str) -> None:
    """Senders write it in UTF-8 in a header, which a server reads as Latin-1."""
    secret, raw = "s3crét:ü – 秘密", body(sample)
    brought = headers(sample, raw, secret)
    read = {name: value.encode().decode("latin-1") for name, value in brought.items()}
    assert receive(Hook(sender_of(sample), secret), Call(read, raw, NOW))
    basic = {"authorization": "Basic " + base64.b64encode(f"hook:{secret}".encode()).decode()}
    if "authorization" in brought:
        assert receive(Hook(sender_of(sample), secret), Call(read | basic, raw, NOW))
    with pytest.raises(Unsigned):
        receive(Hook(sender_of(sample), "s3crét"), Call(read, raw, NOW))


@pytest.mark.parametrize("sample", SAMPLES)
def test_told_again_it_is_the_same_deployment(sample: str) -> None:
    raw = body(sample)
    first, second = (
        receive(Hook(sender_of(sample), SECRET), Call(headers(sample, raw), raw, NOW + later))
        for later in (0, 900)
    )
    assert [(d.id, d.time) for d in first] == [(d.id, d.time) for d in second]


@pytest.mark.parametrize("sample", SAMPLES)
def test_who_sends_again_what_was_recorded_changes_nothing_of_what_is_kept(
    sample: str, tmp_path: Path
) -> None:
    raw, hook = body(sample), Hook(sender_of(sample), SECRET)
    store = Store(tmp_path / "s.db")
    assert store.add_deployments(receive(hook, Call(headers(sample, raw), raw, NOW)))
    kept = store.deployments()
    for days in (0, 1, 6, 6.99, 7.01, 14, 100):
        again = Call(headers(sample, raw), raw, NOW + days * 86400)
        with suppress(BadRequest, Unsigned):  # older than a week, or signed with its moment
            assert store.add_deployments(receive(hook, again)) == []
            assert days < 8
    assert store.deployments() == kept
    store.close()


@pytest.mark.parametrize("sample", SAMPLES)
def test_nobody_else_gets_in(sample: str) -> None:
    raw, hook = body(sample), Hook(sender_of(sample), SECRET)
    right = headers(sample, raw)
    shared = {
        name: text
        for name, text in right.items()
        if name in ("content-type", "x-github-event", "x-event-key")
    }
    for bad in (
        shared,
        headers(sample, raw, "another"),
        headers(sample, raw, ""),
        right | {"authorization": "Basic %"},
    ):
        if bad == right | {"authorization": "Basic %"} and "authorization" not in right:
            continue
        with pytest.raises(Unsigned) as refused:
            receive(hook, Call(bad, raw, NOW))
        assert SECRET not in str(refused.value) and "expected" in str(refused.value)
    with pytest.raises(Unsigned):
        receive(Hook(sender_of(sample), ""), Call(headers(sample, raw, ""), raw, NOW))


@pytest.mark.parametrize("sample", [s for s in SAMPLES if "signature" in " ".join(headers(s, b""))])
def test_one_altered_byte_breaks_a_signature(sample: str) -> None:
    raw = body(sample)
    altered = raw.replace(b"contact-importer", b"contact-exporter", 1)
    with pytest.raises(Unsigned):
        receive(Hook(sender_of(sample), SECRET), Call(headers(sample, raw), altered, NOW))


def test_a_token_may_come_as_the_password_of_basic_authentication() -> None:
    raw = body("jenkins_finalized")
    pair = base64.b64encode(f"anybody:{SECRET}".encode()).decode()
    assert receive(Hook("jenkins", SECRET), Call({"authorization": f"Basic {pair}"}, raw, NOW))


@pytest.mark.parametrize(
    ("off", "taken"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)]
)
def test_a_signed_moment_is_good_for_five_minutes(off: int, taken: bool) -> None:
    raw = body("gitlab_deployment")
    call = Call(standard(raw, int(NOW) + off), raw, NOW)
    if taken:
        assert receive(Hook("gitlab", SIGNING), call)
    else:
        with pytest.raises(Unsigned, match="webhook-timestamp"):
            receive(Hook("gitlab", SIGNING), call)
    with pytest.raises(Unsigned, match="webhook-signature"):
        receive(
            Hook("gitlab", SIGNING), Call(call.headers | {"webhook-timestamp": str(int(NOW) + 1)}, raw, NOW)
        )


def test_what_happened_long_ago_is_a_repeat() -> None:
    raw = body("github_deployment_status")
    with pytest.raises(BadRequest, match="more than 7 days ago"):
        receive(Hook("github", SECRET), Call(headers("github_deployment_status", raw), raw, NOW + 8 * 86400))


@pytest.mark.parametrize(
    ("sample", "changed", "reason"),
    [
        ("github_deployment_status", {"deployment_status.state": "in_progress"}, "in_progress"),
        ("github_workflow_run", {"workflow_run.conclusion": "failure"}, "not ended well"),
        ("github_workflow_run", {"workflow_run.name": "Tests"}, "without `deploy`"),
        ("github_release", {"release.prerelease": True}, "not a release that is out"),
        ("gitlab_deployment", {"status": "running"}, "running"),
        ("gitlab_deployment", {"object_kind": "push"}, "not a deployment event"),
        ("argocd_synced", {"app.status.operationState.phase": "Failed"}, "Failed"),
        ("flux_helm", {"reason": "UpgradeFailed"}, "nothing new serves"),
        ("flux_helm", {"involvedObject.kind": "GitRepository"}, "not an event of a Kustomization"),
        ("octopus_succeeded", {"Payload.Event.Category": "DeploymentFailed"}, "DeploymentSucceeded"),
        ("azure_devops_release", {"resource.environment.status": "rejected"}, "not succeeded"),
        ("azure_devops_release", {"eventType": "build.complete"}, "not one of the events"),
        ("azure_devops_stage", {"resource.stage.result": "failed"}, "not ended well"),
        ("jenkins_finalized", {"build.status": "FAILURE"}, "SUCCESS"),
        ("jenkins_finalized", {"build.phase": "STARTED"}, "COMPLETED"),
        ("bitbucket_status", {"commit_status.state": "INPROGRESS"}, "INPROGRESS"),
        ("bitbucket_status", {"commit_status.refname": "feature/x"}, "neither a tag nor"),
        ("launchdarkly_flag", {"kind": "member"}, "nothing that was done to a flag"),
        ("launchdarkly_flag", {"accesses.0.action": "updateName"}, "nothing that changes"),
    ],
)
def test_what_does_not_serve_is_answered_and_not_taken(
    sample: str, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Passed, match=reason):
        heard(sample, changed)


@pytest.mark.parametrize(
    ("sample", "changed", "reason"),
    [
        ("github_deployment_status", {"deployment.sha": ...}, "deployment.sha: missing; expected text"),
        ("github_deployment_status", {"deployment_status.created_at": "noon"}, "deployment_status.created_at: exp"),
        ("github_deployment_status", {"repository": 7}, "repository: expected a mapping"),
        ("github_release", {"release.tag_name": None}, "release.tag_name: expected text"),
        ("gitlab_deployment", {"deployment_id": ...}, "deployment_id: missing"),
        ("argocd_synced", {"app.status.operationState": ...}, "app.status.operationState: missing"),
        ("flux_helm", {"involvedObject.name": ...}, "involvedObject.name: missing"),
        ("octopus_succeeded", {"Payload.Event.MessageReferences": [], "Payload.Event.Message": "x"}, "Payload"),
        ("azure_devops_release", {"resource.environment.release": ...}, "resource.environment.release: missing"),
        ("azure_devops_stage", {"resource.pipeline": ...}, "resource.pipeline: missing"),
        ("jenkins_finalized", {"build.number": "18"}, "build.number: expected a whole number"),
        ("bitbucket_status", {"commit_status.commit.hash": ...}, "commit_status.commit.hash: missing"),
        ("launchdarkly_flag", {"_id": ...}, "_id: missing"),
        ("launchdarkly_flag", {"accesses": []}, "accesses: expected a resource"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_answered_with_what_is_missing(
    sample: str, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        heard(sample, changed)
    assert str(refused.value).startswith(reason)


def test_services_by_what_the_sender_calls_the_source() -> None:
    both = heard("github_release", services={"acme/contact-importer": ("contact-api", "contact-worker")})
    assert [d.service for d in both] == ["contact-api", "contact-worker"]
    assert len({d.id for d in both}) == 1  # one release of two members
    assert (
        heard("launchdarkly_flag", services={"contact-importer/batched-import": ("mail-sender",)})[0].service
        == "mail-sender"
    )
    assert (
        heard("launchdarkly_flag", services={"contact-importer": ("mail-sender",)})[0].service
        == "mail-sender"
    )
    with pytest.raises(Passed, match="name no service for acme/contact-importer"):
        heard("github_release", services={"acme/contact-importer": ()})


@pytest.mark.parametrize(
    ("environment", "serves"),
    [
        *(
            (name, True)
            for name in ("production", "Prod", "live", "eu-west-1", "", "blue", "developers-portal", "canary")
        ),
        *(
            (name, False)
            for name in (
                "staging",
                "Dev",
                "qa-2",
                "test_eu",
                "pr-17",
                "pre-production",
                "review/fix-x",
                "uat",
            )
        ),
    ],
)
def test_environments_that_serve_nobody_are_left_out(environment: str, serves: bool) -> None:
    changed = {"deployment_status.environment": environment, "deployment.environment": environment}
    if serves:
        assert heard("github_deployment_status", changed)
    else:
        with pytest.raises(Passed, match="none of those that count"):
            heard("github_deployment_status", changed)
    assert heard("github_deployment_status", changed, environments=(environment.lower(), "x"))


def test_rollbacks_are_told_as_such() -> None:
    assert heard("github_deployment_status", {"deployment.task": "rollback"})[0].kind == "rollback"
    assert heard("flux_helm", {"reason": "RollbackSucceeded"})[0].kind == "rollback"
    assert heard("jenkins_finalized", {"name": "rollback-contact-importer"})[0].kind == "rollback"


def test_an_octopus_message_without_references_is_read_as_well() -> None:
    (one,) = heard("octopus_succeeded", {"Payload.Event.MessageReferences": []})
    assert (one.service, one.version, one.environment) == ("contact-importer", "1.4.2", "Production")


def test_what_people_wrote_is_cleaned_and_bounded() -> None:
    said = "two\nlines\x1b[31m " + "x" * 10_000
    (one,) = heard("bitbucket_status", {"commit_status.commit.message": said})
    assert one.description.startswith("two lines [31m xxx") and len(one.description) <= 4000
    assert heard("github_release", {"release.html_url": "javascript:alert(1)"})[0].url == ""


# CloudEvents


def event(name: str, **content: Any) -> dict[str, Any]:
    whole = json.loads(body("cdevents_deployed"))
    whole["subject"]["content"] |= content
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "/x",
        "type": f"dev.cdevents.service.{name}.0.2.0",
        "data": whole,
    }


def structured(*events: dict[str, Any]) -> list[Deployment]:
    kind = "application/cloudevents+json" if len(events) == 1 else "application/cloudevents-batch+json"
    raw = json.dumps(events[0] if len(events) == 1 else events).encode()
    return receive_events(Call({"content-type": f"{kind}; charset=utf-8"}, raw, NOW))


@pytest.mark.parametrize(
    ("name", "kind", "version"),
    [
        ("deployed", "deploy", "1.4.2"),
        ("upgraded", "deploy", "1.4.2"),
        ("rolledback", "rollback", "1.4.2"),
        ("removed", "deploy", "(removed)"),
    ],
)
def test_cdevents_of_a_service(name: str, kind: str, version: str) -> None:
    (one,) = structured(event(name))
    assert (one.service, one.kind, one.version, one.environment) == (
        "contact-importer",
        kind,
        version,
        "production",
    )
    data = event(name)["data"]
    binary = {
        "content-type": "application/json",
        "ce-type": f"dev.cdevents.service.{name}.0.2.0",
        "ce-id": "1",
    }
    assert receive_events(Call(binary, json.dumps(data).encode(), NOW)) == [one]
    packed = event(name) | {"data_base64": base64.b64encode(json.dumps(data).encode()).decode()}
    assert structured(packed) == [one]


@pytest.mark.parametrize("left_out", [{}, {"data": None}])
def test_an_event_without_data_is_answered_with_what_is_missing(left_out: dict[str, None]) -> None:
    bare = {name: value for name, value in event("deployed").items() if name != "data"} | left_out
    with pytest.raises(BadRequest, match="data: missing; expected the event with its context and subject"):
        structured(bare)


def test_a_batch_of_events_tells_those_of_services() -> None:
    other = event("deployed") | {"type": "dev.cdevents.build.finished.0.2.0"}
    assert [d.kind for d in structured(event("deployed"), other, event("rolledback"))] == [
        "deploy",
        "rollback",
    ]
    with pytest.raises(Passed, match=r"not an event dev\.cdevents\.service"):
        structured(other)


@pytest.mark.parametrize(
    ("artifact", "version"),
    [
        ("pkg:oci/app@1.4.2", "1.4.2"),
        ("pkg:golang/git.example.com/acme/app@234fd47e07d1", "234fd47e07d1"),
        ("pkg:oci/app@sha256:0b31b1c02ff458ad9b7b81cb", "0b31b1c02ff4"),
        ("pkg:oci/app?tag=2.0", "2.0"),
    ],
)
def test_the_version_stands_in_the_package_url(artifact: str, version: str) -> None:
    assert structured(event("deployed", artifactId=artifact))[0].version == version


def test_an_event_without_a_version_says_so() -> None:
    with pytest.raises(BadRequest, match=r"^subject\.content\.artifactId: expected a package URL"):
        structured(event("deployed", artifactId="app"))


# Over HTTP


def post(address: str, sample: str, raw: bytes | None = None, **more: str) -> httpx2.Response:
    raw = body(sample) if raw is None else raw
    return httpx2.post(
        f"{address}/webhooks/{sender_of(sample)}", content=raw, headers=headers(sample, raw) | more
    )


def test_over_http_each_answer_says_what_to_do() -> None:
    behind = Behind()
    hooks = {name: Hook(name, SECRET) for name in SENDERS if name != "flux"}
    door = Door(
        behind.metrics,
        behind.deployments,
        lambda: NOW,
        lambda: {"ok": True},
        webhooks=hooks,
        tokens=of_one("for others"),
    )
    with serving(door) as at:
        for sample in SAMPLES:
            got = post(at, sample)
            if sample.startswith("flux"):
                assert (got.status_code, got.json()["error"][:47]) == (
                    404,
                    "nothing is set for this sender; set `webhooks: ",
                )
                continue
            assert got.status_code == 200, got.text
            assert [one["service"] for one in got.json()["deployments"]] == ["contact-importer"]
        assert len(behind.told) == len([s for s in SAMPLES if not s.startswith("flux")])
        bad = post(at, "github_release", **{"x-hub-signature-256": "sha256=00"})
        assert (bad.status_code, bad.json()["error"][:28]) == (401, "expected X-Hub-Signature-256")
        passed = post(at, "github_release", **{"x-github-event": "ping"})
        assert (passed.status_code, passed.json()["deployments"]) == (200, [])
        assert post(at, "github_release", b"{").status_code == 400
        assert post(at, "github_release", b" " * (BODY + 1)).status_code == 413
        assert (
            post(at, "github_release", **{"content-type": "application/x-www-form-urlencoded"}).status_code
            == 415
        )
        unknown = httpx2.post(f"{at}/webhooks/nobody", json={})
        assert unknown.status_code == 404 and "/webhooks/github" in unknown.json()["error"]
        assert httpx2.get(f"{at}/webhooks/github").status_code == 405
        behind.busy = True
        assert post(at, "github_release").status_code == 503


def test_what_contradicts_what_is_known_by_its_id_is_passed_over_and_said() -> None:
    behind = Behind()
    hooks = {"github": Hook("github", SECRET)}
    door = Door(behind.metrics, behind.deployments, lambda: NOW, lambda: {"ok": True}, webhooks=hooks)
    raw = body("github_release")
    moved = raw.replace(b'"v1.4.2"', b'"v1.4.3"')
    assert moved != raw
    with serving(door) as at:
        first, second = (
            httpx2.post(f"{at}/webhooks/github", content=one, headers=headers("github_release", one))
            for one in (raw, moved)
        )
    assert (first.status_code, second.status_code) == (200, 200)
    assert "is 'v1.4.2' (deploy) already" in second.json()["passed"]


def test_over_http_a_cloud_event_comes_in_at_deployments() -> None:
    behind = Behind()
    door = Door(behind.metrics, behind.deployments, lambda: NOW, lambda: {"ok": True}, tokens=of_one("t"))
    kinds = {"content-type": "application/cloudevents+json", "authorization": "Bearer t"}
    with serving(door) as at:
        got = httpx2.post(f"{at}/deployments", content=json.dumps(event("deployed")), headers=kinds)
        assert got.status_code == 200 and behind.told[0].version == "1.4.2"
        assert httpx2.post(f"{at}/deployments", content=b"{}", headers=kinds).status_code == 400
        assert (
            httpx2.post(f"{at}/deployments", content=b"{}", headers=kinds | {"authorization": ""}).status_code
            == 401
        )


# Bodies that nobody should send


@pytest.mark.parametrize("sample", [*SAMPLES, "cdevents_deployed"])
def test_three_hundred_malformed_bodies_are_taken_or_answered(sample: str) -> None:
    chance = random.Random(sample)
    taken = refused = 0
    for _ in range(300):
        raw = malformed(body(sample), chance)
        try:
            if sample.startswith("cdevents"):
                binary = {"ce-type": "dev.cdevents.service.deployed.0.2.0"}
                found = receive_events(Call(binary, raw, NOW))
            else:
                found = receive(Hook(sender_of(sample), SECRET), Call(headers(sample, raw), raw, NOW))
        except (BadRequest, Passed) as why:
            refused += 1
            assert 0 < len(str(why)) < 500 and str(why).isprintable()
        else:
            taken += 1
            assert all(d.service and d.version and d.id and isinstance(d.time, int) for d in found)
            assert all(len(d.description) <= 4000 and d.service.isprintable() for d in found)
    assert taken + refused == 300 and refused > 30


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_taken_or_answered(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(SAMPLES))
    whole = json.loads(body(sample))
    part = whole
    while True:
        key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        if isinstance(part[key], dict | list) and part[key] and data.draw(st.booleans()):
            part = part[key]
            continue
        part[key] = data.draw(VALUES)
        break
    raw = json.dumps(whole).encode()
    try:
        found = receive(Hook(sender_of(sample), SECRET), Call(headers(sample, raw), raw, NOW))
    except (BadRequest, Passed):
        return
    assert found and all(d.service and d.version for d in found)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.dictionaries(st.sampled_from(
    ["authorization", "x-hub-signature-256", "x-hub-signature", "x-gitlab-token", "x-signature", "x-ld-signature",
     "webhook-id", "webhook-timestamp", "webhook-signature", "x-github-event"]), st.text(max_size=60)))  # fmt: skip
def test_no_header_of_a_stranger_lets_him_in_or_breaks_the_door(raw: bytes, brought: dict[str, str]) -> None:
    for name in SENDERS:
        for secret in (SECRET, SIGNING):
            with pytest.raises(Unsigned):
                receive(Hook(name, secret), Call(brought, raw, NOW))
