"""Ctrl-C, once and twice."""

import os
import signal

import pytest

from wanvideo.cli.interrupt import catching_interruptions
from wanvideo.cli.output import Output


def press(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_the_first_one_asks_and_the_second_one_stops(capfd: pytest.CaptureFixture[str]) -> None:
    with catching_interruptions(Output()) as interruption:
        interruption.graceful = True
        press()
        assert interruption.asked
        assert "press Ctrl-C again" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            press()


@pytest.mark.parametrize(("number", "graceful"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_where_nothing_is_to_be_kept_it_stops_at_once(
    number: signal.Signals, graceful: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with catching_interruptions(Output(json=True)) as interruption:
        interruption.graceful = graceful
        with pytest.raises(KeyboardInterrupt):
            press(number)
    assert capfd.readouterr() == ("", "")


def test_afterwards_everything_is_as_it_was() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with catching_interruptions(Output()):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
