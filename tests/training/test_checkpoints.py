"""Checkpoints: a run that is broken off anywhere ends in the bits of one that was not."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from checkpointed_run import data, fit, make, values

import chainrule as cr
from chainrule.errors import ArgumentError, FileFormatError, StateError
from chainrule.training import checkpoints

PROGRAM = Path(__file__).with_name("checkpointed_run.py")
KILLS = int(os.environ.get("CHAINRULE_KILL_COUNT", "6"))


def assert_same_bits(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.asarray(found[name]).tobytes() == np.asarray(value).tobytes(), name


@pytest.fixture(scope="module")
def unbroken():
    model = make()
    return values(model, fit(model, None))


class Break(cr.callbacks.Callback):
    """An error in the middle of an epoch."""

    def __init__(self, epoch, batch):
        self.place = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            raise RuntimeError("broken off")


@pytest.mark.parametrize("place", [(0, 0), (1, 7), (4, 16), (9, 3)])
def test_a_run_that_broke_inside_an_epoch_goes_on(tmp_path, unbroken, place):
    callbacks = [cr.callbacks.ReduceOnPlateau(patience=2), Break(*place)]
    options = {"loss": "mse", "epochs": 30, "batch_size": 16, "seed": 5, "metrics": ["mae"],
               "validation_split": 0.1, "verbose": 0}  # fmt: skip
    folder = cr.Checkpoint(tmp_path, every_seconds=0)
    with pytest.raises(RuntimeError, match="broken off"):
        make().fit(*data(), callbacks=callbacks, checkpoint=folder, **options)
    assert list(tmp_path.glob("checkpoint-*")) or place == (0, 0)
    callbacks[1].place = None
    model = make()
    history = model.fit(*data(), callbacks=callbacks, checkpoint=folder, **options)
    assert_same_bits(values(model, history), unbroken)


def test_a_finished_run_is_given_back_and_goes_on_with_more_epochs(tmp_path, unbroken):
    model, again, longer = make(), make(), make()
    first = values(model, fit(model, tmp_path, epochs=11))
    assert_same_bits(values(again, fit(again, tmp_path, epochs=11)), first)
    assert_same_bits(values(longer, fit(longer, tmp_path)), unbroken)


def test_full_batches_go_on(tmp_path):
    x, y = data()

    def run(epochs, folder):
        model = cr.Sequential([cr.layers.Dense(3, activation="tanh"), cr.layers.Dense(1)])
        history = model.fit(x, y, loss="mse", epochs=epochs, batch_size=None, seed=1,
                            checkpoint=folder)  # fmt: skip
        return values(model, history)

    run(13, tmp_path)
    assert_same_bits(run(40, tmp_path), run(40, None))


def test_killed_runs_go_on(tmp_path, unbroken):
    """kill -9 at random moments; the last start finishes the run."""
    chance = random.Random(7)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number in range(max(1, KILLS // 3)):
        folder, output = tmp_path / f"run{number}", tmp_path / f"out{number}.npz"
        command = [sys.executable, str(PROGRAM), str(folder), str(output)]
        for _ in range(3):
            process = subprocess.Popen(command, env=environment)
            time.sleep(chance.uniform(0.15, 1.1))
            process.kill()
            process.wait()
        subprocess.run(command, env=environment, check=True)
        with np.load(output) as found:
            assert_same_bits(dict(found), unbroken)


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path, unbroken):
    fit(make(), tmp_path, epochs=12)
    newest = max(tmp_path.glob("checkpoint-*"))
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    model = make()
    with pytest.warns(UserWarning, match=newest.name):
        history = fit(model, tmp_path)
    assert_same_bits(values(model, history), unbroken)


def test_nothing_but_damaged_checkpoints_is_an_error(tmp_path):
    (tmp_path / "checkpoint-000000000001.safetensors").write_bytes(b"nothing")
    with (
        pytest.warns(UserWarning, match="not a model file"),
        pytest.raises(FileFormatError, match="no checkpoint can be"),
    ):
        fit(make(), tmp_path)


def test_links_are_not_followed(tmp_path):
    fit(make(), tmp_path / "run", epochs=1)
    other = tmp_path / "other"
    other.mkdir()
    newest = max((tmp_path / "run").glob("checkpoint-*"))
    (other / "checkpoint-000000000009.safetensors").symlink_to(newest)
    assert checkpoints.CheckpointFolder(other).saved is None


def test_another_run_is_refused(tmp_path):
    fit(make(), tmp_path, epochs=1)
    x, y = data()
    with pytest.raises(ArgumentError, match="of another run: data differs"):
        make().fit(x * 2, y, loss="mse", batch_size=16, metrics=["mae"], validation_split=0.1,
                   checkpoint=tmp_path)  # fmt: skip
    with pytest.raises(ArgumentError, match="another seed"):
        make().fit(x, y, loss="mse", seed=6, checkpoint=tmp_path)


def test_two_runs_cannot_share_a_folder(tmp_path):
    with (
        checkpoints.CheckpointFolder(tmp_path).locked(),
        pytest.raises(StateError, match="another run is writing"),
    ):
        fit(make(), tmp_path, epochs=1)


def test_a_full_disk_is_said_and_training_goes_on(tmp_path, monkeypatch, unbroken):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_model_file", full)
    model = make()
    with pytest.warns(RuntimeWarning, match="No space left"):
        history = fit(model, tmp_path)
    assert_same_bits(values(model, history), unbroken)


def test_old_checkpoints_are_removed(tmp_path):
    fit(make(), tmp_path, epochs=5)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2
