"""Checkpoints: a run that is broken off anywhere ends in the bits of one that was not."""

import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from checkpointed_run import data, fit, make, values

import chainrule as cr
from chainrule.errors import ArgumentError, FileAccessError, FileFormatError, StateError
from chainrule.formats import write_model_file
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
    """kill -9 at random moments of training; the last start of each run finishes it."""
    chance = random.Random(7)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = runs = 0
    while killed < KILLS:
        runs += 1
        folder, output = tmp_path / f"run{runs}", tmp_path / f"out{runs}.npz"
        command = [sys.executable, str(PROGRAM), str(folder), str(output)]
        for _ in range(3):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()  # training begins
            time.sleep(chance.uniform(0.0, 0.5))
            process.kill()
            process.stdout.close()
            killed += process.wait() == -signal.SIGKILL
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        with np.load(output) as found:
            assert_same_bits(dict(found), unbroken)
    print(f"{killed} kills in {runs} runs, each of which ended in the same bits")


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


def test_a_damaged_checkpoint_does_not_stand_for_a_whole_one(tmp_path):
    """Of the newest two whole ones none is removed for it."""
    for epochs in (2, 3, 4):
        newest = max(tmp_path.glob("checkpoint-*"), default=None)
        if newest is not None:
            newest.write_bytes(newest.read_bytes()[:-1])
            with pytest.warns(UserWarning, match=newest.name):
                fit(make(), tmp_path, epochs=epochs, every_seconds=60.0)
        else:
            fit(make(), tmp_path, epochs=epochs)
        assert len(list(tmp_path.glob("checkpoint-*"))) == 2
        for path in tmp_path.glob("checkpoint-*"):
            checkpoints.read_model_file(path)


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
    folder = checkpoints.CheckpointFolder(other)
    with folder.locked():
        assert folder.saved is None
    content = newest.read_bytes()
    fit(make(), other, epochs=1)
    assert newest.read_bytes() == content
    assert len([path for path in other.glob("checkpoint-*") if not path.is_symlink()]) == 2


def test_another_run_is_refused(tmp_path):
    fit(make(), tmp_path, epochs=1)
    x, y = data()
    with pytest.raises(ArgumentError, match="of another run: data differs"):
        make().fit(x * 2, y, loss="mse", batch_size=16, metrics=["mae"], validation_split=0.1,
                   checkpoint=tmp_path)  # fmt: skip
    with pytest.raises(ArgumentError, match="another seed"):
        make().fit(x, y, loss="mse", seed=6, checkpoint=tmp_path)


def test_two_processes_cannot_share_a_folder(tmp_path, unbroken):
    folder, output = tmp_path / "run", tmp_path / "out.npz"
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(folder), str(output)])
    while not list(folder.glob("checkpoint-*")):
        assert process.poll() is None
        time.sleep(0.005)
    with pytest.raises(StateError, match="another run is writing"):
        fit(make(), folder)
    assert process.wait() == 0
    with np.load(output) as found:
        assert_same_bits(dict(found), unbroken)
    model = make()
    assert_same_bits(values(model, fit(model, folder)), unbroken)


def test_the_lock_is_taken_before_anything_is_read(tmp_path, monkeypatch):
    fit(make(), tmp_path, epochs=1)
    monkeypatch.setattr(checkpoints, "read_model_file", None)
    with open(tmp_path / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="another run is writing"):
            fit(make(), tmp_path, epochs=1)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_a_lock_that_is_no_file(tmp_path, kind):
    lock = tmp_path / "lock"
    if kind == "pipe":
        os.mkfifo(lock)
        fit(make(), tmp_path, epochs=1)
        return
    lock.mkdir() if kind == "folder" else lock.symlink_to("elsewhere")
    with pytest.raises(FileAccessError, match="cannot write the file"):
        fit(make(), tmp_path, epochs=1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_locked_is_said(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.warns(RuntimeWarning, match="cannot be locked"):
        fit(make(), tmp_path, epochs=1)


def test_what_killed_runs_left_behind_is_removed(tmp_path):
    left, other = tmp_path / f".chainrule-{'0a' * 8}.tmp", tmp_path / ".chainrule-mine.tmp"
    left.write_bytes(b"half")
    other.write_bytes(b"mine")
    fit(make(), tmp_path, epochs=1)
    assert not left.exists()
    assert other.exists()


def test_a_full_disk_is_said_and_training_goes_on(tmp_path, monkeypatch, unbroken):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_model_file", full)
    model = make()
    with pytest.warns(RuntimeWarning, match="No space left"):
        history = fit(model, tmp_path)
    assert_same_bits(values(model, history), unbroken)


def test_a_disk_that_fills_up_leaves_the_checkpoints_before(tmp_path, unbroken):
    """The system refuses to write files of more than 2,000 bytes."""
    fit(make(), tmp_path, epochs=12)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("checkpoint-*")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = make()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        with pytest.warns(RuntimeWarning, match="could not be written.*last whole checkpoint"):
            history = fit(model, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_same_bits(values(model, history), unbroken)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name != "lock"} == before
    again = make()
    assert_same_bits(values(again, fit(again, tmp_path)), unbroken)


def test_a_logged_value_that_no_file_holds_is_said_and_training_goes_on(tmp_path):
    class Odd(cr.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["odd"] = np.zeros(epoch)  # of another shape each time

    x, y = data()
    with pytest.warns(RuntimeWarning, match="a checkpoint could not be written"):
        history = cr.Sequential([cr.layers.Dense(1)]).fit(
            x, y, loss="mse", epochs=3, callbacks=[Odd()], verbose=0,
            checkpoint=cr.Checkpoint(tmp_path, every_seconds=0),
        )  # fmt: skip
    assert history.epochs == 3


@pytest.mark.parametrize("verbose", [0, 1])
def test_clocks_that_jump_change_nothing(tmp_path, unbroken, monkeypatch, verbose):
    chance = random.Random(3)
    steps = [0.0, 1e-9, 1e-3, 3600.0, 1e9, -3600.0, -1e9]
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: 1e10 + chance.choice(steps) * chance.random())
    model = make()
    history = fit(model, tmp_path, every_seconds=60.0, verbose=verbose)
    monkeypatch.undo()
    assert_same_bits(values(model, history), unbroken)
    again = make()
    assert_same_bits(values(again, fit(again, tmp_path)), unbroken)


def test_a_clock_that_was_set_back_does_not_put_checkpoints_off(tmp_path, monkeypatch):
    clock = iter([1e6, 1e6, 1e6 + 59, 1e6 + 60, 1e6 - 1, 0.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    folder = checkpoints.CheckpointFolder(cr.Checkpoint(tmp_path, every_seconds=60))
    assert [folder.is_due for _ in range(5)] == [False, False, True, True, True]


def test_a_file_that_cannot_be_read_is_named_and_the_one_before_used(
    tmp_path, unbroken, monkeypatch
):
    fit(make(), tmp_path, epochs=12)
    newest = max(tmp_path.glob("checkpoint-*"))
    read = checkpoints.read_model_file

    def broken(path):
        if path == newest:
            raise FileAccessError(newest.name, "cannot read the file", got="input/output error")
        return read(path)

    monkeypatch.setattr(checkpoints, "read_model_file", broken)
    model = make()
    with pytest.warns(UserWarning, match="input/output error"):
        history = fit(model, tmp_path)
    assert_same_bits(values(model, history), unbroken)


def test_a_checkpoint_with_wrong_parts_changes_no_variable(tmp_path):
    fit(make(), tmp_path, epochs=1)
    newest = max(tmp_path.glob("checkpoint-*"))
    about, arrays = checkpoints.read_model_file(newest)
    last = max(name for name in arrays if name.startswith("variable/"))
    arrays[last] = np.zeros(7, "float32")
    write_model_file(newest, about, arrays)
    model = make()
    model(data()[0])
    before = [v.numpy() for v in model.variables]
    with pytest.raises(FileFormatError, match="parts of the checkpoint are missing"):
        fit(model, tmp_path)
    assert all((v.numpy() == old).all() for v, old in zip(model.variables, before))


def test_old_checkpoints_are_removed(tmp_path):
    fit(make(), tmp_path, epochs=5)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2
