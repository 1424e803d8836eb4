"""torch-rechub's and DeepCTR-Torch's ESMM for the training benchmark; the peers' own interpreter runs it: it reads nothing of the project.

`python train_peers.py TASK OUT`: TASK is a JSON object of what `Task` holds, OUT the file written. Two forms of each library:

* `readme`: as its README trains, its own loader and Adam included; the batch is the task's and the towers are 200-80-1 as ours.
* `tuned`: what a user could change with ease: Adam in one pass over the tables (`fused`); torch-rechub's batches sliced, not read by row.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

WIDTH, TOWER = 18, (200, 80)
WARM_UP = 2
"""Steps that are not timed: Adam makes its state in the first."""
Matrices = dict[str, NDArray[Any]]
Field = dict[str, Any]
Network = tuple[Callable[[], None], torch.optim.Optimizer, Callable[[], NDArray[np.float64]]]


@dataclass(frozen=True)
class Task:
    """What to train, and what to keep of it."""

    matrices: str
    """An npz of train_rows.write_matrices; its fields stand beside it."""
    library: str
    form: str
    batch: int
    threads: int
    steps: int
    """Timed, after the warm-up; 0: train on all rows and keep the test rows' scores."""

    def run(self, out: Path) -> None:
        """Write {"rate": rows a second} as JSON, or pctr, pcvr and pctcvr, float64 [N, 3], as npy."""
        torch.manual_seed(1)
        torch.set_num_threads(self.threads)
        fields = json.loads(Path(self.matrices).with_suffix(".json").read_text(encoding="utf-8"))
        matrices = self._read()
        train, optimiser, predict = {"rechub": rechub, "deepctr": deepctr}[self.library](fields, matrices, self)
        ended: list[float] = []
        optimiser.register_step_post_hook(lambda *_: ended.append(time.perf_counter()))
        train()
        if self.steps:
            timed = ended[WARM_UP - 1 : WARM_UP + self.steps]
            out.write_text(json.dumps({"rate": (len(timed) - 1) * self.batch / (timed[-1] - timed[0])}), encoding="utf-8")
        else:
            np.save(out, predict())

    def _read(self) -> Matrices:
        """Read the matrices; for a rate, as many rows as are trained on."""
        rows = (WARM_UP + self.steps) * self.batch if self.steps else None
        with np.load(self.matrices) as kept:
            return {name: kept[name][:rows] for name in kept.files if rows is None or name.startswith("train/")}


def rechub(fields: list[Field], matrices: Matrices, task: Task) -> Network:
    """Return torch-rechub's, as its Ali-CCP example trains it."""
    from torch_rechub.basic.features import SequenceFeature, SparseFeature
    from torch_rechub.models.multi_task import ESMM
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import DataGenerator

    def feature(field: Field) -> Any:
        shared = None if field["table"] == field["name"] else field["table"]
        kind = SequenceFeature if matrices[f"train/{field['name']}"].ndim == 2 else SparseFeature
        return kind(field["name"], field["rows"], embed_dim=WIDTH, shared_with=shared, padding_idx=0)

    features = [feature(field) for field in fields]
    towers = {"cvr_params": {"dims": list(TOWER)}, "ctr_params": {"dims": list(TOWER)}}
    model = ESMM(features[:1], features[1:], **towers)
    fused = {"fused": True} if task.form == "tuned" else {}
    trainer = MTLTrainer(model, ["classification"] * 3, optimizer_params={"lr": 1e-3, "weight_decay": 1e-4, **fused}, n_epoch=1)
    clicked, converted = matrices["train/labels"].T
    x = {field["name"]: torch.from_numpy(matrices[f"train/{field['name']}"]).long() for field in fields}
    y = torch.from_numpy(np.stack([converted, clicked, converted], axis=1))

    def train() -> None:
        own = DataGenerator(x, y).generate_dataloader(batch_size=task.batch, num_workers=0)[0] if task.form == "readme" else None
        trainer.train_one_epoch(own or _batches(x, y, task.batch))

    def predict() -> NDArray[np.float64]:
        model.eval()
        test = {field["name"]: torch.from_numpy(matrices[f"test/{field['name']}"]).long() for field in fields}
        rows = len(matrices["test/labels"])
        with torch.inference_mode():
            blocks = [model({name: ids[first : first + 4096] for name, ids in test.items()}) for first in range(0, rows, 4096)]
        return torch.cat(blocks).double().numpy()[:, [1, 0, 2]]

    return train, trainer.optimizer, predict


def _batches(x: dict[str, torch.Tensor], y: torch.Tensor, size: int) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    for chosen in torch.randperm(len(y)).split(size):
        yield {name: ids[chosen] for name, ids in x.items()}, y[chosen]


def deepctr(fields: list[Field], matrices: Matrices, task: Task) -> Network:
    """Return DeepCTR-Torch's, whose package asks the network for a newer version when it is imported: it gets none."""
    sys.modules["requests"] = SimpleNamespace(get=lambda _: SimpleNamespace(status_code=0), codes=SimpleNamespace(ok=200))  # type: ignore[assignment]
    from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import ESMM

    def column(field: Field) -> Any:
        ids = matrices[f"train/{field['name']}"]
        sparse = SparseFeat(field["name"], field["rows"], WIDTH, embedding_name=field["table"])
        return sparse if ids.ndim == 1 else VarLenSparseFeat(sparse, maxlen=ids.shape[1])

    def read(part: str) -> Matrices:
        return {field["name"]: matrices[f"{part}/{field['name']}"].astype(np.float32) for field in fields}

    model = ESMM([column(field) for field in fields], tower_dnn_hidden_units=TOWER)
    model.compile("adam" if task.form == "readme" else torch.optim.Adam(model.parameters(), fused=True), loss="binary_crossentropy")

    def train() -> None:
        model.fit(read("train"), matrices["train/labels"], batch_size=task.batch, epochs=1, verbose=0)

    def predict() -> NDArray[np.float64]:
        pctr, pctcvr = model.predict(read("test"), 4096).T.astype(np.float64)
        return np.stack([pctr, pctcvr / pctr, pctcvr], axis=1)

    return train, model.optim, predict


if __name__ == "__main__":
    Task(**json.loads(sys.argv[1])).run(Path(sys.argv[2]))
