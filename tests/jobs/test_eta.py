from wanvideo.jobs.eta import Eta, scaled


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_before_a_step_is_done_the_plan_speaks() -> None:
    clock = Clock()
    eta = Eta(now=clock)
    assert eta.remaining() is None
    eta.plan({"load": 2.0, "denoise": 40.0, "decode": 5.0})
    eta.update("denoise", 0, 20)
    assert eta.remaining() == 45.0


def test_steps_of_its_own_count_more_and_more() -> None:
    clock = Clock()
    eta = Eta(now=clock)
    eta.plan({"denoise": 40.0, "decode": 5.0})  # 2 s a step
    eta.update("denoise", 0, 20)
    left = []
    for step in range(1, 21):
        clock.at += 4.0  # but it takes 4
        eta.update("denoise", step, 20)
        left.append(eta.remaining())
    assert eta.seconds_per_step == 4.0
    assert left[-1] == 5.0
    assert abs(left[9] - (10 * 4.0 + 5.0)) < 6  # type: ignore[operator]


def test_the_first_step_counts_only_while_it_is_alone() -> None:
    clock = Clock()
    eta = Eta(now=clock)
    eta.update("denoise", 0, 4)
    for seconds in (30.0, 1.0, 1.0):
        clock.at += seconds
        eta.update("denoise", eta.step + 1, 4)
    assert eta.seconds_per_step == 1.0


def test_time_that_passes_within_a_step_is_taken_off() -> None:
    clock = Clock()
    eta = Eta(now=clock)
    eta.plan({"denoise": 40.0})
    eta.update("denoise", 0, 20)
    clock.at += 1.5
    assert eta.remaining() == 38.5


def test_percent_follows_time_and_ends_before_100() -> None:
    clock = Clock()
    eta = Eta(now=clock)
    eta.plan({"denoise": 80.0, "decode": 20.0})
    eta.update("denoise", 0, 8)
    seen = []
    for step in range(1, 9):
        clock.at += 10.0
        eta.update("denoise", step, 8)
        seen.append(eta.percent())
    assert seen == [10, 20, 30, 40, 50, 60, 70, 80]
    clock.at += 20.0
    eta.update("decode", 1, 1)
    assert eta.percent() == 99


def test_without_expectations_percent_counts_steps_and_never_falls() -> None:
    clock = Clock()
    eta = Eta(now=clock)
    eta.update("denoise", 0, 4)
    seen = []
    for step in range(1, 5):
        clock.at += 1.0
        eta.update("denoise", step, 4)
        seen.append(eta.percent())
    eta.update("decode", 0, 3)
    assert [*seen, eta.percent()] == [25, 50, 75, 99, 99]


def test_what_an_older_video_took_is_carried_over() -> None:
    numbers = {"width": 100, "height": 100, "frames": 5, "steps": 10, "phases": {"load": 1, "denoise": 10, "decode": 2}}
    assert scaled(numbers, 200, 100, 5, 5) == {"load": 1.0, "denoise": 10.0, "decode": 4.0}
    assert scaled({}, 200, 100, 5, 5) == {}
