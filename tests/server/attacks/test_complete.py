"""Every attack of the threat model has a test."""

import re
from pathlib import Path

ATTACKS = set(range(1, 28)) - {19}  # A19 is about the control plane of a cluster, which there is none of


def test_no_attack_is_left_out() -> None:
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    assert {int(number) for text in texts for number in re.findall(r"^def test_a(\d\d)_", text, re.M)} == ATTACKS
