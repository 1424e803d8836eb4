"""`esmm train` until its first step is done.

`python -m tests.benchmarks.train_start DAY` prints the time then, in seconds since 1970, and ends.
"""

import sys
import time
from typing import Any

from components.cli import main
from components.train.learner import Learner


def stop_after_a_step() -> None:
    """Let a learner end the process when its first step is done."""
    step = Learner.step

    def once(self: Learner, batch: Any) -> None:
        step(self, batch)
        print(time.time())  # noqa: T201  # what the caller reads
        raise SystemExit

    Learner.step = once  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    stop_after_a_step()
    sys.argv = ["esmm", "train", sys.argv[1]]
    main()
