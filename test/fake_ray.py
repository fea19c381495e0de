"""A cluster that has Ray's face, in this process."""

from __future__ import annotations

from types import SimpleNamespace


class FakeRay:
    """calls: the address, then what was asked, then down."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def init(self, address, runtime_env, log_to_driver):
        self.calls.append(address)

    def remote(self, work):
        return SimpleNamespace(remote=lambda task: _Reference(work(task)))

    def wait(self, waiting, num_returns):
        return waiting[-num_returns:], waiting[:-num_returns]  # not in order

    def get(self, reference):
        return reference.value

    def shutdown(self):
        self.calls.append("down")


class _Reference:
    def __init__(self, value):
        self.value = value
