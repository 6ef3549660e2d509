"""/v1/videos and /v1/models, by OpenAI's own client against a server and a worker that are real."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from PIL import Image

from tests.server.serving import Serving, serving
from wanvideo.media.video import read_video

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client, whose service ends
PROMPT = "a small red circle moves left"
SHORT = {"num_frames": 5, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("openai")) as server:
        yield server


@pytest.fixture
def client(server: Serving) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def picture() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (96, 64), (20, 20, 120)).save(data, "PNG")
    return data.getvalue()


def test_a_video_is_made_listed_fetched_remixed_and_deleted(client: OpenAI, tmp_path: Path) -> None:
    made = client.videos.create_and_poll(
        model="t2v-A14B", prompt=PROMPT, size="1280x720", extra_body={**SHORT, "seed": 7}
    )
    assert (made.status, made.progress, made.error) == ("completed", 100, None)
    assert (made.size, made.object, made.prompt) == ("160x96", "video", PROMPT)
    assert made.completed_at is not None
    assert made.id in [video.id for video in client.videos.list(limit=100)]
    path = tmp_path / "made.mp4"
    client.videos.download_content(made.id).write_to_file(path)
    assert len(read_video(path).frames) == 5
    assert client.videos.download_content(made.id, variant="thumbnail").read().startswith(b"\xff\xd8")
    other = client.videos.remix(made.id, prompt="a big blue square moves up")
    assert other.remixed_from_video_id == made.id
    other = client.videos.poll(other.id)
    assert (other.status, other.seconds) == ("completed", made.seconds)
    for video in (made, other):
        assert client.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(made.id)


def test_a_picture_comes_as_a_file_or_in_the_request(client: OpenAI, server: Serving) -> None:
    model = "ti2v-5B"
    sent = client.videos.create(
        model=model, prompt=PROMPT, input_reference=("a.png", picture(), "image/png"), extra_body=SHORT
    )
    data = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    body = {"model": model, "prompt": PROMPT, "input_reference": {"image_url": data}, **SHORT}
    named = server.post("/v1/videos", body)["id"]
    jobs = [server.parts.queue.get(each.removeprefix("video_")) for each in (sent.id, named)]
    assert jobs[0].spec.request.image == jobs[1].spec.request.image is not None
    assert all(client.videos.poll(each).status == "completed" for each in (sent.id, named))


def test_no_address_is_fetched_for_a_client(server: Serving) -> None:
    body = {"model": "ti2v-5B", "prompt": PROMPT, "input_reference": {"image_url": f"{server.url}/healthz"}}
    answer = server.client.post("/v1/videos", json=body)
    assert answer.status_code == 400
    assert "no other address is fetched" in answer.json()["error"]["message"]


def test_a_running_video_is_deleted_at_once_and_nothing_of_it_stays(client: OpenAI, server: Serving) -> None:
    video = client.videos.create(model="t2v-A14B", prompt=PROMPT, extra_body={"num_inference_steps": 90})
    job = video.id.removeprefix("video_")
    server.until(job, "processing")
    before = set(server.parts.folder.outputs.iterdir())
    assert client.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)
    # The worker is free again after a step.
    assert client.videos.create_and_poll(model="t2v-A14B", prompt=PROMPT, extra_body=SHORT).status == "completed"
    assert len(set(server.parts.folder.outputs.iterdir()) - before) == 1
    assert not server.parts.folder.job(job).exists()


def test_a_cancelled_video_has_failed(client: OpenAI, server: Serving) -> None:
    video = client.videos.create(model="t2v-A14B", prompt=PROMPT, extra_body={"num_inference_steps": 90})
    server.post(f"/api/v1/queue/{video.id.removeprefix('video_')}/cancel")
    found = client.videos.poll(video.id)
    assert found.error is not None
    assert (found.status, found.error.code) == ("failed", "cancelled")


def test_errors_have_the_form_that_the_client_reads(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        client.videos.create(model="sora-2", prompt=PROMPT)
    assert wrong.value.code == "MODEL_UNKNOWN"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.videos.create(model="t2v-A14B", prompt=PROMPT, extra_body={"seed": -1})
    assert wrong.value.param == "seed"
    with pytest.raises(openai.NotFoundError) as missing:
        client.videos.retrieve("video_" + "0" * 32)
    assert missing.value.code == "JOB_NOT_FOUND"


def test_a_repeated_request_makes_no_second_video(client: OpenAI) -> None:
    first, second = (
        client.videos.create(
            model="t2v-A14B", prompt=PROMPT, extra_body={**SHORT, "seed": 1}, extra_headers={"Idempotency-Key": "k1"}
        )
        for _ in range(2)
    )
    assert first.id == second.id


def test_pages_go_both_ways(client: OpenAI, server: Serving) -> None:
    for number in range(3):
        client.videos.create(model="t2v-A14B", prompt=PROMPT, extra_body={**SHORT, "seed": number})
    down = [video.id for video in client.videos.list(limit=2)]
    up = [video.id for video in client.videos.list(limit=2, order="asc")]
    assert down == up[::-1]
    assert len(set(down)) == len(down) >= 3


def test_guidance_scale_is_that_of_the_high_noise_expert(client: OpenAI, server: Serving) -> None:
    video = client.videos.create(
        model="t2v-A14B", prompt=PROMPT, extra_body={**SHORT, "guidance_scale": 4.0, "guidance_scale_2": 3.0}
    )
    request = server.parts.queue.get(video.id.removeprefix("video_")).spec.request
    assert (request.guidance, request.guidance_low) == (4.0, 3.0)


def test_models_say_what_they_can_do(client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert {"t2v-A14B", "i2v-A14B", "ti2v-5B", "t2v-A14B-demo"} <= set(models)
    assert models["t2v-A14B-demo"].model_extra is not None
    assert models["t2v-A14B-demo"].model_extra["ready"]
