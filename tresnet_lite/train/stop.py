"""An interruption that waits for a good moment."""

from __future__ import annotations

import signal
import threading
from typing import Any

from tresnet_lite.train import processes


class Stop:
    """While this lasts, an interruption waits for the end of a step, so that the run can be saved.

    A second one is not waited for. Only the first process listens: the others follow it. A handler
    that another program has set for the end of a job stays.
    """

    def __init__(self, enabled: bool) -> None:
        self.wanted = False
        self.enabled = enabled and threading.current_thread() is threading.main_thread()
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        for number, handler in usual.items():
            if self.enabled and signal.getsignal(number) is handler:
                ours = self._note if processes.rank() == 0 else signal.SIG_IGN
                self.before[number] = signal.signal(number, ours)
        return self

    def _note(self, number: int, _: Any) -> None:
        self.wanted = True
        signal.signal(number, self.before[number])

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
