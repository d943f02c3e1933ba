"""Tests of interleaved timing with a simulated clock."""

import pytest

from acl_lightning.errors import UserError
from acl_lightning.latency.stopwatch import interleaved, ratio, time_range


class Machine:
    """Simulated device with a clock: records which functions ran, and the work that is still pending."""

    def __init__(self):
        self.now, self.pending, self.ran = 0.0, 0.0, []

    def work(self, name, *durations):
        durations = iter(durations)

        def call():
            self.ran.append(name)
            self.pending += next(durations)

        return call

    def wait(self):
        self.now += self.pending
        self.pending = 0.0

    def clock(self):
        assert self.pending == 0, "read while the device was busy"
        return self.now


def test_candidates_take_turns_and_the_first_round_does_not_count():
    machine = Machine()
    candidates = {"slow": machine.work("slow", 90.0, 6.0, 8.0), "fast": machine.work("fast", 70.0, 2.0, 4.0)}
    seconds = interleaved(candidates, 2, wait=machine.wait, clock=machine.clock)
    assert seconds == {"slow": [6.0, 8.0], "fast": [2.0, 4.0]}
    assert machine.ran == ["slow", "fast"] * 3


def test_ratios_are_taken_round_by_round():
    """A machine that slows down threefold in the second round changes no ratio."""
    assert ratio([6.0, 18.0, 6.0], [2.0, 6.0, 3.0]) == (3.0, 2.0, 3.0)
    assert time_range([4.0, 1.0, 2.0]) == (2.0, 1.0, 4.0)


def test_no_rounds_are_refused():
    with pytest.raises(UserError, match="--repeats of 1 or more; found 0"):
        interleaved({}, 0)
