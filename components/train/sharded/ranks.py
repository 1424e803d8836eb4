"""This process among the ranks that torchrun started: how they meet, and what they tell each other besides tensors."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, distributed

from components.buckets import Bucket
from components.errors import DataError, RankLostError, SettingsError

_PACKAGES = ("fbgemm_gpu", "torchrec")


@dataclass(frozen=True)
class Ranks:
    """One of `count` processes, `number` from 0."""

    number: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.number == 0

    @property
    def bucket(self) -> Bucket:
        """The users whose rows this rank trains on."""
        return Bucket(self.number, self.count)

    def gather(self, said: Any) -> list[Any]:
        """Return what each rank says, in their order, on all of them: small and JSON-able. All ranks must come to this call."""
        texts = self.gather_numbers(torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8))
        return [json.loads(bytes(text.tolist())) for text in texts]

    def gather_numbers(self, own: Tensor) -> list[Tensor]:
        """Return each rank's numbers, as many as it has, in the ranks' order, on all of them. All ranks must come to this call."""
        lengths = [torch.empty(1, dtype=torch.int64) for _ in range(self.count)]
        distributed.all_gather(lengths, torch.tensor([len(own)]))
        longest = max(int(length) for length in lengths)
        padded = [own.new_empty(longest) for _ in range(self.count)]
        distributed.all_gather(padded, torch.cat([own, own.new_zeros(longest - len(own))]))
        return [numbers[: int(length)] for numbers, length in zip(padded, lengths, strict=True)]

    def require_same(self, facts: Mapping[str, Any]) -> None:
        """Raise DataError, on all ranks, where the ranks do not go by the same facts."""
        known = self.gather(dict(facts))
        for name in facts:
            if len({json.dumps(of_one[name], sort_keys=True) for of_one in known}) > 1:
                found = "; ".join(f"rank {number} {of_one[name]}" for number, of_one in enumerate(known))
                raise DataError(
                    f"train: expected {self.count} ranks with the same {name}, found {found}; give them the same settings and home, "
                    "let no other step write the day, and start all of them again"
                )


@contextmanager
def joined(timeout: timedelta) -> Iterator[Ranks]:
    """Meet the other ranks, over gloo, at the address that torchrun put into the environment; leave them when the body ends.

    Raises RankLostError where one of them has ended, or has not answered for so long, and SettingsError where the packages of the extra
    `distributed` are not installed.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise SettingsError(
            f"train under torchrun: expected the packages of esmm-pipeline[distributed], found no {missing[0]}; install them"
        )
    try:
        distributed.init_process_group("gloo", timeout=timeout)
        try:
            yield Ranks(distributed.get_rank(), distributed.get_world_size())
        finally:
            distributed.destroy_process_group()
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        said = " ".join(str(error).split())
        raise RankLostError(
            f"train: rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: expected an answer of the other ranks within {timeout}, "
            f"found that one has ended or is too slow ({said[:200]}); this rank saved nothing; read what that rank said last, then "
            "run the same command again"
        ) from error
