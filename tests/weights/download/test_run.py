"""From a hub that fails in every way to verified files in the cache."""

import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.hub.loopback import (
    SEND_BYTES,
    Drop,
    Fault,
    Gzip,
    IgnoreRange,
    LoopbackHub,
    SendTo,
    Stall,
    Status,
    WrongBytes,
    WrongLength,
    running_hub,
)
from tests.hub.scene import (
    OPTIONS,
    PATIENCE,
    REPO,
    WANTED,
    contents,
    plan,
    pull,
    repository,
    shard,
    snapshot,
    states,
    wanted_files,
)
from wanvideo.errors import (
    Cancelled,
    DownloadDiskFull,
    DownloadError,
    DownloadForbidden,
    DownloadHashMismatch,
    DownloadNotFound,
    DownloadOffline,
    DownloadRateLimited,
    DownloadRefused,
    DownloadStalled,
    DownloadUnreachable,
)
from wanvideo.weights.download.cache import repository as repository_cache
from wanvideo.weights.download.control import Control
from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.events import Downloaded, DownloadProgress, FellBack, Retrying, State
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.download.plan import plan_download
from wanvideo.weights.download.run import Choice, download, download_first
from wanvideo.weights.variants import RemoteFiles


@pytest.fixture
def hub(loopback: LoopbackHub) -> LoopbackHub:
    loopback.add(REPO, repository())
    return loopback


def whole(hub: LoopbackHub, cache: Path) -> bool:
    """Exactly the files that were wanted, with exactly their bytes, and nothing left over."""
    left = [path for path in cache.rglob("*") if path.suffix in (".wan-part", ".wan-journal", ".tmp")]
    return contents(snapshot(hub, cache)) == wanted_files(repository()) and not left


# --- what it does when all is well -----------------------------------------------------------------------------------


def test_only_what_is_wanted_is_fetched_once_and_by_several_connections(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 2e6
    events = pull(hub, tmp_path)
    assert whole(hub, tmp_path)
    assert hub.sent_bytes == sum(map(len, wanted_files(repository()).values()))
    assert hub.most_active > 3
    assert not [request for request in hub.requests if request.path.endswith((".py", ".bin", ".md"))]
    assert isinstance(events[-1], Downloaded)
    assert events[-1].folders == (snapshot(hub, tmp_path),)
    assert {State.DOWNLOADING, State.DONE} <= states(events)


def test_progress_never_goes_back_and_ends_with_everything(hub: LoopbackHub, tmp_path: Path) -> None:
    progress = [event for event in pull(hub, tmp_path) if isinstance(event, DownloadProgress)]
    done = [event.done_bytes for event in progress]
    assert done == sorted(done)
    assert done[-1] == progress[-1].total_bytes == plan(hub, tmp_path).total_bytes
    assert all(file.state == State.DONE and file.done_bytes == file.file.nbytes for file in progress[-1].files)


def test_a_second_download_fetches_and_hashes_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    pull(hub, tmp_path)
    before = hub.sent_bytes
    again = plan(hub, tmp_path)
    assert again.done
    assert again.missing_bytes == 0
    assert states(download(again)) == {State.WAITING, State.DONE}
    assert hub.sent_bytes == before


def test_a_plan_says_what_is_missing_what_is_here_and_how_long_it_takes(hub: LoopbackHub, tmp_path: Path) -> None:
    first = plan(hub, tmp_path)
    assert first.missing_bytes == first.total_bytes == sum(map(len, wanted_files(repository()).values()))
    assert first.seconds is None
    hub.fail_always("transformer/*", Drop(after=30_000))
    with pytest.raises(DownloadUnreachable):
        list(download(first, options=replace(OPTIONS, patience=replace(PATIENCE, attempts=1))))
    second = plan(hub, tmp_path)
    assert 0 < second.missing_bytes < first.missing_bytes
    assert second.present_bytes == second.total_bytes - second.missing_bytes


def test_what_does_not_fit_on_the_disk_is_refused_with_the_numbers(hub: LoopbackHub, tmp_path: Path) -> None:
    small = replace(plan(hub, tmp_path), free_bytes=1 << 30)
    assert not small.fits
    with pytest.raises(DownloadDiskFull, match=str(small.missing_bytes)) as caught:
        next(download(small))
    assert caught.value.facts["free_bytes"] == 1 << 30
    assert list(tmp_path.iterdir()) == []


def test_the_same_bytes_in_another_repository_are_linked_and_not_fetched(hub: LoopbackHub, tmp_path: Path) -> None:
    pull(hub, tmp_path)
    hub.add("Wan-AI/Other", {"text/model.safetensors": shard(1), "config.json": b"{}"})
    before = hub.sent_bytes
    other = (RemoteFiles(repo_id="Wan-AI/Other", paths=("*.json", "text/*")),)
    assert plan(hub, tmp_path, wanted=other).missing_bytes == 2
    pull(hub, tmp_path, wanted=other)
    assert hub.sent_bytes == before + 2
    linked = snapshot(hub, tmp_path, "Wan-AI/Other") / "text/model.safetensors"
    assert linked.read_bytes() == shard(1)
    assert linked.stat().st_nlink == 2


def test_where_there_are_no_links_the_bytes_are_copied(hub: LoopbackHub, tmp_path: Path) -> None:
    class NoLinks(Disk):
        def link(self, source: Path, target: Path) -> bool:
            return False

    pull(hub, tmp_path)
    hub.add("Wan-AI/Other", {"text/model.safetensors": shard(1)})
    before = hub.sent_bytes
    pull(hub, tmp_path, wanted=(RemoteFiles(repo_id="Wan-AI/Other", paths=("text/*",)),), disk=NoLinks())
    assert hub.sent_bytes == before
    assert (snapshot(hub, tmp_path, "Wan-AI/Other") / "text/model.safetensors").read_bytes() == shard(1)


def test_what_an_interrupted_copy_left_is_never_written_into(hub: LoopbackHub, tmp_path: Path) -> None:
    pull(hub, tmp_path)
    hub.add("Wan-AI/Other", {"text/model.safetensors": shard(7)})
    other = (RemoteFiles(repo_id="Wan-AI/Other", paths=("text/*",)),)
    (file,) = [planned.file for planned in plan(hub, tmp_path, wanted=other).files]
    part = repository_cache(tmp_path, "Wan-AI/Other").part(file.digest)
    part.parent.mkdir(parents=True)
    part.hardlink_to((snapshot(hub, tmp_path) / "vae/model.safetensors").resolve())
    pull(hub, tmp_path, wanted=other)
    assert whole(hub, tmp_path)
    assert (snapshot(hub, tmp_path, "Wan-AI/Other") / "text/model.safetensors").read_bytes() == shard(7)


def test_bytes_that_two_repositories_share_come_once(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.add("Wan-AI/Other", {"text/model.safetensors": shard(1)})
    both = (*WANTED, RemoteFiles(repo_id="Wan-AI/Other", paths=("text/*",)))
    pull(hub, tmp_path, wanted=both)
    assert hub.sent_bytes == sum(map(len, wanted_files(repository()).values()))


def test_a_new_commit_fetches_only_what_changed(hub: LoopbackHub, tmp_path: Path) -> None:
    pull(hub, tmp_path)
    before = hub.sent_bytes
    hub.add(REPO, repository() | {"transformer/config.json": b'{"dim": 9}'})
    pull(hub, tmp_path)
    assert hub.sent_bytes == before + len(b'{"dim": 9}')
    assert (snapshot(hub, tmp_path) / "transformer/config.json").read_bytes() == b'{"dim": 9}'


# --- what it survives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        [Drop(after=0), Drop(after=70_000), Drop(after=1)],
        [Status(code=500), Status(code=503), Status(code=408)],
        [Status(code=429, headers={"Retry-After": "0"})] * 3,
        [Status(code=403)],  # an address at the CDN that has expired
        [Stall(after=10_000)],
        [WrongLength(extra=7), WrongLength(extra=-7)],
        [WrongBytes()],
        [IgnoreRange()],
        [Gzip()],
    ],
    ids=str,
)
def test_a_fault_that_passes_is_survived(hub: LoopbackHub, tmp_path: Path, faults: list[Fault]) -> None:
    hub.fail("transformer/*.safetensors", *faults)
    pull(hub, tmp_path)
    assert whole(hub, tmp_path)


@pytest.mark.parametrize("fault", [IgnoreRange(), Gzip()], ids=str)
def test_a_server_that_never_sends_parts_is_enough(hub: LoopbackHub, tmp_path: Path, fault: Fault) -> None:
    hub.fail_always("*", fault)
    pull(hub, tmp_path)
    assert whole(hub, tmp_path)


def test_a_line_that_always_breaks_and_moves_is_enough_and_wastes_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.fail_always("*.safetensors", Drop(after=20_000))
    events = pull(hub, tmp_path)
    assert whole(hub, tmp_path)
    assert hub.sent_bytes <= 1.05 * sum(map(len, wanted_files(repository()).values()))
    assert any(isinstance(event, Retrying) and "connection" in event.reason for event in events)


def test_the_hub_may_ask_for_a_pause(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.fail("vae/model.safetensors", Status(code=503, headers={"Retry-After": "1"}))
    began = time.monotonic()
    events = pull(hub, tmp_path)
    assert time.monotonic() - began >= 1
    assert [event.seconds for event in events if isinstance(event, Retrying)] == [1.0]


def test_listing_is_tried_again_too(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.fail(f"{REPO}/", Status(code=502), Status(code=429))
    assert plan(hub, tmp_path).files


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Status(code=404), DownloadUnreachable),  # the CDN does not know what the hub says it has
        (Status(code=500), DownloadUnreachable),
        (Drop(after=0), DownloadUnreachable),
        (Stall(after=0), DownloadStalled),
        (WrongLength(extra=1), DownloadUnreachable),
        (WrongBytes(), DownloadHashMismatch),
        (SendTo(url="http://169.254.169.254/latest"), DownloadRefused),
    ],
    ids=str,
)
def test_a_fault_that_stays_has_its_name_and_publishes_nothing(
    hub: LoopbackHub, tmp_path: Path, fault: Fault, error: type[DownloadError]
) -> None:
    hub.fail_always("transformer/*.safetensors", fault)
    with pytest.raises(error) as caught:
        pull(hub, tmp_path)
    assert "transformer/model-0000" in caught.value.message
    assert not list((snapshot(hub, tmp_path) / "transformer").glob("*.safetensors"))
    hub.heal()
    pull(hub, tmp_path)
    assert whole(hub, tmp_path)


@pytest.mark.parametrize(
    ("code", "error"),
    [(401, DownloadForbidden), (403, DownloadForbidden), (404, DownloadNotFound), (429, DownloadRateLimited)],
)
def test_a_repository_that_cannot_be_had_says_why(
    hub: LoopbackHub, tmp_path: Path, code: int, error: type[DownloadError]
) -> None:
    hub.fail_always(f"{REPO}/", Status(code=code))
    with pytest.raises(error, match=REPO):
        plan(hub, tmp_path)


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with running_hub() as gone:
        endpoint = gone.endpoint
    with pytest.raises(DownloadUnreachable, match="mirror"):
        plan_download(WANTED, Hub(endpoint=endpoint), tmp_path, patience=PATIENCE)


def test_offline_asks_nobody(hub: LoopbackHub, tmp_path: Path) -> None:
    with pytest.raises(DownloadOffline, match="HF_HUB_OFFLINE"):
        plan_download(WANTED, Hub(endpoint=hub.endpoint, offline=True), tmp_path)
    assert hub.requests == []


# --- the token, and where redirects may go ---------------------------------------------------------------------------


def test_the_token_never_leaves_the_hub(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.token = "hf_secret"
    with pytest.raises(DownloadForbidden, match="HF_TOKEN"):
        plan(hub, tmp_path)
    settings = Hub(endpoint=hub.endpoint, token="hf_secret")
    list(download(plan_download(WANTED, settings, tmp_path), options=OPTIONS))
    assert whole(hub, tmp_path)
    assert all("Authorization" not in request.headers for request in hub.asked("cdn"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hf_secret" in path.read_bytes()]


@pytest.mark.parametrize("pattern", [f"{REPO}/", "model_index.json"])
def test_a_redirect_to_a_strange_host_is_not_followed(hub: LoopbackHub, tmp_path: Path, pattern: str) -> None:
    hub.fail_always(pattern, SendTo(url="http://evil.example/x"))
    with pytest.raises(DownloadRefused, match=r"evil\.example"):
        pull(hub, tmp_path)


def test_redirects_in_a_circle_end(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.fail_always("vae/model.safetensors", SendTo(url=f"{hub.cdn}/{REPO}/vae/model.safetensors"))
    with pytest.raises(DownloadRefused, match="redirects"):
        pull(hub, tmp_path)


# --- pause, cancel, and others who want the same ---------------------------------------------------------------------


def test_pausing_closes_the_connections_and_going_on_wastes_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 3e5
    control, seen = Control(), set[State]()
    for event in download(plan(hub, tmp_path), control=control, options=OPTIONS):
        if isinstance(event, DownloadProgress):
            seen.add(event.state)
            if event.state == State.DOWNLOADING and event.fetched_bytes > 100_000 and State.PAUSED not in seen:
                control.pause()
            if event.state == State.PAUSED and not hub.active:
                hub.bytes_per_second = None
                control.resume()
    assert State.PAUSED in seen
    assert whole(hub, tmp_path)
    on_the_way = OPTIONS.connections * 2 * SEND_BYTES
    assert hub.sent_bytes <= sum(map(len, wanted_files(repository()).values())) + on_the_way


@pytest.mark.parametrize("fault", [None, Stall(after=10_000)])
def test_cancelling_is_quick_and_keeps_what_has_arrived(hub: LoopbackHub, tmp_path: Path, fault: Fault | None) -> None:
    hub.bytes_per_second = 3e5
    if fault is not None:
        hub.fail_always("*.safetensors", fault)
    control = Control()
    patient = replace(OPTIONS, patience=replace(PATIENCE, stall_seconds=30.0))
    events = download(plan(hub, tmp_path), control=control, options=patient)
    while not (isinstance(event := next(events), DownloadProgress) and event.fetched_bytes > 30_000):
        pass
    began = time.monotonic()
    control.cancel()
    with pytest.raises(Cancelled, match="is kept"):
        list(events)
    assert time.monotonic() - began < 2
    assert plan(hub, tmp_path).present_bytes >= 30_000


def test_whoever_stops_listening_stops_the_download(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 1e5
    events = download(plan(hub, tmp_path), options=OPTIONS)
    next(events)
    events.close()
    sent = hub.sent_bytes
    time.sleep(0.2)
    assert hub.sent_bytes <= sent + 50_000
    assert threading.active_count() < 20


def test_two_downloads_of_the_same_are_one_transfer(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 1e6
    other = threading.Thread(target=pull, args=(hub, tmp_path))
    other.start()
    events = pull(hub, tmp_path)
    other.join()
    assert whole(hub, tmp_path)
    assert hub.sent_bytes == sum(map(len, wanted_files(repository()).values()))
    assert isinstance(events[-1], Downloaded)


def test_cancelling_one_of_two_leaves_the_other(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.bytes_per_second = 3e5
    control = Control()
    first = download(plan(hub, tmp_path), control=control, options=OPTIONS)
    while not (isinstance(event := next(first), DownloadProgress) and event.fetched_bytes > 30_000):
        pass
    second = threading.Thread(target=pull, args=(hub, tmp_path))
    second.start()
    time.sleep(0.2)
    control.cancel()
    with pytest.raises(Cancelled):
        list(first)
    second.join()
    assert whole(hub, tmp_path)


# --- other ways to get it --------------------------------------------------------------------------------------------


def test_a_mirror_goes_on_where_the_hub_stopped(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.fail_always("transformer/*.safetensors", Drop(after=0))
    with running_hub() as mirror:
        mirror.add(REPO, repository())
        choices = [
            Choice(title=name, plan=partial(plan, server, tmp_path))
            for name, server in (("the hub", hub), ("a mirror", mirror))
        ]
        # One file at a time: of several, one may be on its way when another fails, and what is on its way is lost.
        alone = replace(OPTIONS, files=1, connections=1, connections_per_file=1)
        events = list(download_first(choices, options=alone))
    (fallen,) = [event for event in events if isinstance(event, FellBack)]
    assert (fallen.wanted, fallen.instead) == ("the hub", "a mirror")
    assert "transformer/model-0000" in fallen.reason
    assert isinstance(events[-1], Downloaded)
    assert events[-1].title == "a mirror"
    assert whole(hub, tmp_path)
    assert hub.sent_bytes + mirror.sent_bytes == sum(map(len, wanted_files(repository()).values()))


def test_if_no_choice_succeeds_the_first_error_is_raised(hub: LoopbackHub, tmp_path: Path) -> None:
    choices = [
        Choice(title=name, plan=partial(plan, hub, tmp_path, wanted=[RemoteFiles(repo_id=name, paths=("*",))]))
        for name in ("Wan-AI/None", "Wan-AI/Nothing")
    ]
    with pytest.raises(DownloadNotFound, match="Wan-AI/None"):
        list(download_first(choices, options=OPTIONS))


def test_what_no_other_choice_could_mend_ends_it_at_once(hub: LoopbackHub, tmp_path: Path) -> None:
    offline = Choice(
        title="one", plan=partial(plan_download, WANTED, Hub(endpoint=hub.endpoint, offline=True), tmp_path)
    )
    with pytest.raises(DownloadOffline):
        list(download_first([offline, Choice(title="two", plan=partial(plan, hub, tmp_path))], options=OPTIONS))
    assert hub.requests == []
