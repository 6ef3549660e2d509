"""Who hangs, from how far each rank says that it has come."""

from wanvideo.parallel.watch import FIRST_PATIENCE, PATIENCE, SILENCE, STARTING, STOPPED, STUCK, Watched, hanging


def two(pace: float) -> list[Watched]:
    """Ranks that went on together so far, every `pace` seconds, until second 0."""
    ranks = [Watched(moved=-100 * pace, heard=0) for _ in range(2)]
    for turn in range(99, -1, -1):
        for rank in ranks:
            rank.beat(-turn * pace, 100 - turn, waits=True)
    return ranks


def judged(ranks: list[Watched], now: float) -> list[bool]:
    for rank in ranks:
        rank.heard = max(rank.heard, now)
    return hanging(ranks, now, patience=PATIENCE, silence=SILENCE)


def test_who_falls_behind_and_does_not_go_on_hangs() -> None:
    ranks = two(pace=0.5)
    ranks[0].beat(0.5, 101, waits=True)
    assert judged(ranks, PATIENCE - 0.1) == [False, False]
    assert judged(ranks, PATIENCE + 0.1) == [False, True]


def test_where_steps_take_long_a_rank_has_longer() -> None:
    ranks = two(pace=10)
    ranks[0].beat(10, 101, waits=True)
    assert judged(ranks, 39) == [False, False]
    assert judged(ranks, 41) == [False, True]


def test_a_step_that_took_one_long_gives_the_others_longer_too() -> None:
    """As where both compile something, and one of them for longer."""
    ranks = two(pace=0.5)
    ranks[0].beat(4, 101, waits=True)
    assert judged(ranks, 15) == [False, False]


def test_the_first_steps_and_those_after_a_change_get_longer() -> None:
    ranks = two(pace=0.5)
    for rank in ranks:
        rank.begin_anew()
    ranks[0].turns += 1
    assert judged(ranks, FIRST_PATIENCE - 0.1) == [False, False]
    assert judged(ranks, FIRST_PATIENCE + 0.1) == [False, True]


def test_gpus_that_wait_for_one_another_for_ever_hang() -> None:
    ranks = two(pace=0.5)
    assert judged(ranks, STUCK - 0.1) == [False, False]
    assert judged(ranks, STUCK + 0.1) == [True, True]


def test_ranks_with_nothing_to_do_do_not_hang() -> None:
    ranks = two(pace=0.5)
    for rank in ranks:
        rank.beat(0.1, 100, waits=False)
    assert judged(ranks, 10_000) == [False, False]


def test_what_was_not_listened_to_is_no_silence() -> None:
    ranks = two(pace=0.5)
    ranks[0].turns += 1
    for rank in ranks:
        rank.listen_anew(1000)
    assert hanging(ranks, 1001, patience=PATIENCE, silence=SILENCE) == [False, False]
    assert hanging(ranks, 1000 + SILENCE + 1, patience=1e9, silence=SILENCE) == [True, True]


def test_a_stopped_process_hangs_and_one_that_starts_does_not() -> None:
    ranks = [Watched.starting(0), Watched.starting(0)]
    assert hanging(ranks, STARTING, patience=PATIENCE, silence=SILENCE) == [False, False]
    ranks[1].stopped = 10
    assert hanging(ranks, 10 + STOPPED + 0.1, patience=PATIENCE, silence=SILENCE) == [False, True]
