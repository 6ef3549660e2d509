"""Other servers are told when jobs end."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.server.receiver import Received, Receiver
from tests.server.serving import Serving, no_workers, serving
from wanvideo.jobs.job import State
from wanvideo.jobs.leases import Leases
from wanvideo.server.settings import Settings
from wanvideo.server.webhooks import LONGEST, TRIES, NotAllowed, key_of, pause, pinned, signatures, target_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def telling(tmp: Path, *targets: str, **settings: Any) -> Any:
    usual: dict[str, Any] = {"webhooks": targets, "webhook_secret": SECRET, "webhook_seconds": 0.02}
    return serving(tmp, workers=no_workers, **usual | settings)


def cancelled(server: Serving) -> str:
    job = str(server.submit()["task_id"])
    server.parts.queue.cancel(job)
    return job


def is_genuine(received: Received, secret: str = SECRET) -> bool:
    """As the specification tells receivers to check: one of the signatures is that of the secret they know."""
    timestamp = int(received.headers["webhook-timestamp"])
    assert abs(timestamp - time.time()) < 300
    expected = signatures([key_of(secret)], received.headers["webhook-id"], timestamp, received.body)
    return expected in received.headers["webhook-signature"].split(" ")


def test_signatures_are_those_of_the_specification() -> None:
    """Its example: https://docs.svix.com/receiving/verifying-payloads/how-manual."""
    signed = signatures([key_of(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def fail(server: Serving, job: str) -> None:
    leases = Leases(server.parts.queue)
    lease = leases.start(job, "worker")
    assert lease is not None
    leases.fail(lease, {"category": "gpu", "code": "GPU_OOM", "title": "x", "message": "x"})


def test_every_end_is_told_to_every_target_with_the_job(tmp_path: Path) -> None:
    with Receiver() as one, Receiver() as other, telling(tmp_path, one.url, other.url) as server:
        ids = server.submit(count=3)["task_ids"]
        leases = Leases(server.parts.queue)
        done, failed = (leases.start(job, "worker") for job in ids[:2])
        assert done is not None
        assert failed is not None
        leases.succeed(done, {"file": "x.mp4", "frames": 5, "fps": 8})
        leases.fail(failed, {"category": "gpu", "code": "GPU_OOM", "title": "x", "message": "x"})
        server.parts.queue.cancel(ids[2])
        for receiver in (one, other):
            told = [json.loads(each.body) for each in receiver.wait(3)]
            assert [each["type"] for each in told] == ["job.succeeded", "job.failed", "job.cancelled"]
            assert [each["data"]["id"] for each in told] == ids
            assert [each["data"]["state"] for each in told] == ["succeeded", "failed", "cancelled"]
            assert all(map(is_genuine, receiver.received))
        assert {each.headers["webhook-id"] for each in one.received} == {
            each.headers["webhook-id"] for each in other.received
        }


def test_what_fails_first_is_tried_again_under_the_same_id(tmp_path: Path) -> None:
    with Receiver([500, 302, 404]) as receiver, telling(tmp_path, receiver.url) as server:
        cancelled(server)
        tries = receiver.wait(4)
        assert len({(each.path, each.headers["webhook-id"], each.body) for each in tries}) == 1, "no redirect"
        assert all(map(is_genuine, tries))
        until_empty(server)


def until_empty(server: Serving) -> None:
    end = time.monotonic() + 20
    while server.parts.webhooks.outbox.waiting():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_target_that_wants_no_more_is_left_alone(tmp_path: Path) -> None:
    with Receiver([410]) as receiver, telling(tmp_path, receiver.url) as server:
        cancelled(server)
        until_empty(server)
        cancelled(server)
        assert len({each.headers["webhook-id"] for each in receiver.wait(2)}) == 2


def test_a_message_outlives_servers_and_the_job(tmp_path: Path) -> None:
    with Receiver() as gone:
        pass
    with telling(tmp_path, gone.url) as server:
        job = cancelled(server)
        end = time.monotonic() + 20
        while not server.parts.webhooks.outbox.next(gone.url):
            assert time.monotonic() < end
        server.parts.queue.delete(job)
    with Receiver(port=gone.port) as receiver, telling(tmp_path, gone.url) as server:
        (told,) = receiver.wait(1)
        assert json.loads(told.body)["data"]["id"] == job
        until_empty(server)


def test_what_ended_while_no_message_could_be_made_is_told_by_the_next_server(tmp_path: Path) -> None:
    with Receiver() as receiver:
        with telling(tmp_path, receiver.url) as server:
            server.parts.webhooks.stop()  # as if it had been killed
            jobs = [cancelled(server) for _ in range(3)]
            assert server.parts.webhooks.outbox.waiting() == 0
        with telling(tmp_path, receiver.url):
            assert [json.loads(each.body)["data"]["id"] for each in receiver.wait(3)] == jobs


def test_targets_learn_nothing_of_what_was_before_them(tmp_path: Path) -> None:
    with telling(tmp_path) as server:
        cancelled(server)
    with Receiver() as receiver:
        with telling(tmp_path, receiver.url) as server:
            job = cancelled(server)
            assert [json.loads(each.body)["data"]["id"] for each in receiver.wait(1)] == [job]
            until_empty(server)
        with telling(tmp_path, "http://127.0.0.1:9/other") as server:
            assert server.parts.webhooks.outbox.waiting() == 0


def test_a_target_gets_the_types_it_asked_for(tmp_path: Path) -> None:
    with Receiver() as failures, Receiver() as all_ends:
        with telling(tmp_path, f"{failures.url} job.failed", all_ends.url) as server:
            cancelled(server)
            failed = str(server.submit()["task_id"])
            fail(server, failed)
            all_ends.wait(2)
            (told,) = failures.wait(1)
            until_empty(server)
        assert json.loads(told.body)["data"]["id"] == failed
        assert len(failures.received) == 1


def test_a_request_may_name_a_target_that_the_operator_allows(tmp_path: Path) -> None:
    with Receiver() as receiver, telling(tmp_path, webhook_allowed=(receiver.url,)) as server:
        cancelled(server)  # names none
        all_ends = server.submit(webhook_url=receiver.url)["task_id"]
        failures = server.submit(webhook_url=receiver.url, webhook_events=["job.failed"])["task_id"]
        server.parts.queue.cancel(failures)
        server.parts.queue.cancel(all_ends)
        (told,) = receiver.wait(1)
        until_empty(server)
        assert json.loads(told.body)["data"]["id"] == all_ends
        assert is_genuine(told)
        assert len(receiver.received) == 1


def test_a_target_that_gets_everything_is_told_once(tmp_path: Path) -> None:
    with Receiver() as receiver, telling(tmp_path, receiver.url, webhook_allowed=(receiver.url,)) as server:
        server.parts.queue.cancel(server.submit(webhook_url=receiver.url)["task_id"])
        receiver.wait(1)
        until_empty(server)
        assert len(receiver.received) == 1


def test_other_targets_of_a_request_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    allowed = "https://example.org/hook"
    with telling(tmp_path, webhook_allowed=(allowed,)) as server:
        for url in ("http://127.0.0.1:1/", f"{allowed}?x", f"{allowed}/../other", "https://example.org:443/hook"):
            refused = server.client.post(
                "/api/v1/generation/submit", json={"prompt": "a red circle", "webhook_url": url}
            )
            assert refused.status_code == 422, url
            assert "WANVIDEO_WEBHOOK_ALLOWED" in refused.json()["detail"]
            assert allowed not in refused.json()["detail"].replace(url, "")
        assert server.parts.queue.counts().get(State.QUEUED, 0) == 0


def test_a_target_that_is_no_longer_allowed_is_not_told(tmp_path: Path) -> None:
    with Receiver() as receiver:
        with telling(tmp_path, webhook_allowed=(receiver.url,)) as server:
            job = server.submit(webhook_url=receiver.url)["task_id"]
        with telling(tmp_path, webhook_allowed=("http://127.0.0.1:9/other",)) as server:
            server.parts.queue.cancel(job)
            until_empty(server)
        assert not receiver.received


def test_while_a_secret_is_changed_receivers_may_know_either(tmp_path: Path) -> None:
    new = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    with Receiver() as receiver:
        with telling(tmp_path, receiver.url, webhook_secret=new, webhook_secret_old=SECRET) as server:
            cancelled(server)
            (told,) = receiver.wait(1)
        assert is_genuine(told, SECRET)
        assert is_genuine(told, new)
        assert told.headers["webhook-signature"].count("v1,") == 2


@pytest.mark.parametrize(
    ("text", "said"), [("https://example.org/a job.started", "no type of message"), ("file:///etc", "no target")]
)
def test_what_is_no_target_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        target_of(text)


def test_names_that_lead_to_private_addresses_are_not_called() -> None:
    for name in ("2130706433", "127.1", "0x7f000001"):  # names to whoever looks only at their form
        with pytest.raises(NotAllowed, match=r"leads to 127\.0\.0\.1"):
            pinned(f"http://{name}:9000/hook")
    with pytest.raises(NotAllowed, match="name service"):
        pinned("http://no-such-name.invalid/hook")
    assert "http://127.0.0.1:9/hook?x=1" in pinned("http://localhost:9/hook?x=1#y")
    assert pinned("https://[::1]/hook") == ["https://[::1]/hook"]
    assert pinned("http://10.0.0.1/hook") == ["http://10.0.0.1/hook"]


def test_pauses_grow_and_end() -> None:
    pauses = [pause(tries, 5.0) for tries in range(1, TRIES)]
    assert pauses[:3] == [5.0, 20.0, 80.0]
    assert max(each or 0 for each in pauses) == LONGEST
    assert sum(each or 0 for each in pauses) > 24 * 3600
    assert pause(TRIES, 5.0) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"webhooks": "https://example.org/a"}, "WEBHOOK_SECRET"),
        ({"webhooks": "ftp://example.org/a", "webhook_secret": SECRET}, "no target"),
        ({"webhooks": "https://me:secret@example.org", "webhook_secret": SECRET}, "no target"),
        ({"webhook_allowed": "https://example.org/a"}, "WEBHOOK_SECRET"),
        ({"webhook_secret_old": SECRET}, "WEBHOOK_SECRET"),
        ({"webhooks": "https://a.org job.failed,https://a.org", "webhook_secret": SECRET}, "twice"),
        ({"webhook_secret": "whsec_short"}, "makes one"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=said) as error:
        Settings(data_dir=tmp_path, **given)  # type: ignore[arg-type]
    assert SECRET not in str(error.value)


def test_targets_are_given_with_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANVIDEO_WEBHOOKS", "https://a.example/x, https://b.example/y,https://a.example/x")
    monkeypatch.setenv("WANVIDEO_WEBHOOK_SECRET", SECRET)
    assert Settings(data_dir=tmp_path).webhooks == ("https://a.example/x", "https://b.example/y")
