from dataclasses import replace
from datetime import datetime
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.errors import InvalidRequest
from wanvideo.families.registry import installed_families
from wanvideo.media.naming import FIELDS, LONGEST, SLUG_LENGTH, NameTemplate, slug
from wanvideo.request import GenerationRequest, ResolvedRequest

MADE = datetime(2026, 3, 9, 14, 5, 0)
JOB = "0123456789abcdef0123456789abcdef"


def resolved(prompt: str = "A heron lands", frames: int = 5) -> ResolvedRequest:
    families = installed_families()
    request = GenerationRequest(prompt=prompt, seed=7, width=64, height=64, frames=frames, steps=3)
    return families.adapt(families.resolve("t2v-A14B-demo"), request)


REQUEST = resolved()


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{prompt}-{seed}", "a-heron-lands-7"),
        ("{date}-{model}-{seed}-{prompt}", "2026-03-09-t2v-a14b-demo-7-a-heron-lands"),
        ("film [{size}, {frames}f, {steps}] {time}", "film [64x64, 5f, 3] 140500"),
        ("鹭", "鹭"),
        ("{date}. . .", "2026-03-09"),
        ("con", "video-con"),
    ],
)
def test_a_template_makes_names(template: str, name: str) -> None:
    assert NameTemplate(template).file_name(REQUEST, MADE) == f"{name}.mp4"


def test_a_single_frame_is_a_picture() -> None:
    assert NameTemplate().file_name(resolved(frames=1), MADE).endswith(".png")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{speed}", r"has no \{speed\}: there is \{date\}"),
        ("{prompt.__class__}", "has no"),
        ("{date}/{prompt}", "holds '/'"),
        ("..\\{prompt}", "holds '\\\\\\\\'"),
        ("{prompt", "holds '{'"),
        ("{prompt}\0", "holds"),
        ("a:b", "holds ':'"),
        ("{prompt}\u202e", "holds"),
        (".{prompt}", "begins with '.'"),
        ("-{prompt}", "begins with '-'"),
        ("", "is empty"),
        ("{seed}-{seed}", "twice"),
        ("x" * 200, "200 bytes"),
    ],
)
def test_a_template_that_makes_no_file_names_is_refused(template: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        NameTemplate(template)


def test_the_id_of_a_job_is_always_in_its_name() -> None:
    assert NameTemplate("{model}").file_name(REQUEST, MADE, JOB) == "t2v-a14b-demo-0123456789ab.mp4"
    assert NameTemplate("{id} x").file_name(REQUEST, MADE, JOB) == "0123456789ab x.mp4"


@given(prompt=st.text(min_size=1, max_size=300), fields=st.lists(st.sampled_from(FIELDS), unique=True))
def test_no_prompt_makes_a_name_that_a_disk_cannot_hold(prompt: str, fields: list[str]) -> None:
    template = NameTemplate("鹭" * 13 + "-".join(f"{{{field}}}" for field in fields))
    name = template.file_name(replace(REQUEST, prompt=prompt), MADE, JOB)
    assert len(name.encode()) <= LONGEST + len(".mp4")
    assert JOB[:12] in name
    assert Path(name).name == PureWindowsPath(name).name == name


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A heron lands, on a frozen lake!", "a-heron-lands-on-a-frozen-lake"),
        ("../../etc/passwd", "etc-passwd"),
        ("一只鹭", "一只鹭"),
        ("!?", "video"),
        ("a small red circle moves left on a navy background", "a-small-red-circle-moves-left-on-a-navy"),
        ("x" * 500, "x" * SLUG_LENGTH),
    ],
)
def test_a_slug_recalls_the_prompt(prompt: str, name: str) -> None:
    assert slug(prompt) == name


@given(st.text())
def test_every_slug_is_a_plain_file_name(prompt: str) -> None:
    name = slug(prompt)
    assert 0 < len(name) <= SLUG_LENGTH
    assert Path(name).name == name
    assert not name.startswith((".", "-"))
