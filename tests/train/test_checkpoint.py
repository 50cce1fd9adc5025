"""Checkpoints are whole or not used, and a failed save leaves the others alone."""

import pathlib
import shutil
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_net

from jaxvision import train


def state_of(step: int) -> dict:
    return {
        "step": jnp.int32(step),
        "kernel": jnp.arange(300.0 * 40).reshape(300, 40) * step,
        "half": jnp.ones(3, jnp.bfloat16),
        "key": jax.random.key(step),
        "nothing": None,
        "empty": jnp.zeros((0, 3)),
    }


@pytest.fixture
def saved(tmp_path: pathlib.Path) -> train.Checkpointer:
    checkpointer = train.Checkpointer(tmp_path / "checkpoints")
    for step in (10, 20, 30):
        checkpointer.save(step, state_of(step), data={"step": step}, settings={"a": [1.5, None]})
    checkpointer.wait()
    return checkpointer


def files_of(checkpointer: train.Checkpointer, step: int) -> list[pathlib.Path]:
    folder = checkpointer.directory / f"{step:09d}"
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_round_trip(saved: train.Checkpointer) -> None:
    restored = saved.restore(state_of(0))
    assert restored is not None
    assert restored.step == 30
    assert restored.extra == {"data": {"step": 30}, "settings": {"a": [1.5, None]}}
    assert jax.tree.structure(restored.state) == jax.tree.structure(state_of(0))
    jax.tree.map(
        np.testing.assert_array_equal,
        small_net.numbers(restored.state),
        small_net.numbers(state_of(30)),
    )
    assert restored.state["half"].dtype == jnp.bfloat16


def test_saving_copies_on_all_devices_compiles_nothing(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    everywhere = jax.NamedSharding(train.data_mesh(), jax.P())
    state = jax.device_put(np.arange(24.0, dtype=np.float32).reshape(8, 3), everywhere)
    checkpointer = train.Checkpointer(tmp_path)
    with jax.log_compiles():
        checkpointer.save(1, state)
        assert "Compiling" not in caplog.text
        jax.jit(lambda x: x + 31)(state)
        assert "Compiling" in caplog.text
    checkpointer.wait()
    np.testing.assert_array_equal(checkpointer.load(1), state)


def test_restores_without_a_template(saved: train.Checkpointer) -> None:
    state = saved.load(20)
    np.testing.assert_array_equal(state["kernel"], state_of(20)["kernel"])


def test_parts_can_be_left_out(saved: train.Checkpointer) -> None:
    state = saved.load(20, leave_out=("kernel",))
    assert state["kernel"] is None
    assert int(state["step"]) == 20


def test_train_state_round_trip(tmp_path: pathlib.Path) -> None:
    state, _ = small_net.make()
    checkpointer = train.Checkpointer(tmp_path)
    checkpointer.save(1, state)
    checkpointer.wait()
    restored = checkpointer.restore(state)
    assert restored is not None
    assert isinstance(restored.state, train.TrainState)
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    jax.tree.map(
        np.testing.assert_array_equal, small_net.numbers(state), small_net.numbers(restored.state)
    )


def test_restores_to_another_sharding(tmp_path: pathlib.Path) -> None:
    state, step = small_net.make()
    cut = train.parallelize(step, shard=train.fsdp(min_size=256)).prepare(state)
    checkpointer = train.Checkpointer(tmp_path)
    checkpointer.save(1, cut)
    checkpointer.wait()
    four = train.data_mesh(jax.devices()[:4])
    target = train.parallelize(step, four, shard=train.fsdp(min_size=256)).prepare(
        small_net.make()[0]
    )
    restored = checkpointer.restore(target)
    assert restored is not None
    kernel = restored.state.params["hidden"]["kernel"]
    assert len(kernel.addressable_shards) == 4
    jax.tree.map(
        np.testing.assert_array_equal, small_net.numbers(cut), small_net.numbers(restored.state)
    )


def test_keeps_the_newest(tmp_path: pathlib.Path) -> None:
    checkpointer = train.Checkpointer(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        checkpointer.save(step, state_of(step))
    checkpointer.wait()
    assert checkpointer.steps() == [3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000003", "000000004"]


def test_the_state_may_be_donated_at_once(tmp_path: pathlib.Path) -> None:
    checkpointer = train.Checkpointer(tmp_path)
    state = {"w": jnp.zeros(1_000_000)}
    add = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    for step in range(3):
        checkpointer.save(step, state)
        state = add(state)
    checkpointer.wait()
    for step in range(3):
        assert float(checkpointer.load(step)["w"].max()) == step
        assert float(checkpointer.load(step)["w"].min()) == step


@pytest.mark.parametrize("harm", ["truncate", "delete", "flip", "empty"])
def test_any_damaged_file_is_noticed(saved: train.Checkpointer, harm: str) -> None:
    """Whichever file of the newest checkpoint is damaged, the one before it is used."""
    for path in files_of(saved, 30):
        content = path.read_bytes()
        if harm == "truncate":
            path.write_bytes(content[: len(content) // 2])
        elif harm == "delete":
            path.unlink()
        elif harm == "flip":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:] if content else b"")
        else:
            path.write_bytes(b"")
        if path.exists() and path.read_bytes() == content:
            continue  # was empty to begin with
        with pytest.warns(UserWarning, match="000000030 is damaged and not used"):
            restored = saved.restore(state_of(0))
        assert restored is not None
        assert restored.step == 20, path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        assert saved.latest() == 30


def test_a_file_that_cannot_be_read_is_damage(saved: train.Checkpointer, monkeypatch) -> None:
    """A bad sector, or a file of somebody else: the checkpoint before it is used."""
    bad = files_of(saved, 30)[-1]
    real = pathlib.Path.open

    def unreadable(path, *arguments, **options):
        if path == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(pathlib.Path, "open", unreadable)
    with pytest.warns(UserWarning, match="000000030 is damaged .* cannot be read .*Permission den"):
        assert saved.latest() == 20


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b"null",
        b"3",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"step": "30", "files": {}}',
        b'{"step": 30, "files": []}',
        b'{"step": 30, "files": {"absent": [1, "2"]}}',
    ],
    ids=lambda manifest: manifest[:30].decode(errors="replace"),
)
def test_a_manifest_of_another_form_is_damage(saved: train.Checkpointer, manifest: bytes) -> None:
    (saved.directory / "000000030" / "manifest.json").write_bytes(manifest)
    with pytest.warns(UserWarning, match="000000030 is damaged"):
        assert saved.latest() == 20


def test_a_copy_under_another_number_is_not_believed(saved: train.Checkpointer) -> None:
    shutil.copytree(saved.directory / "000000010", saved.directory / "000000040")
    with pytest.warns(UserWarning, match="000000040 is damaged .* it was saved at step 10"):
        assert saved.latest() == 30


def test_a_deletion_that_is_cut_short_leaves_nothing_for_ever(
    saved: train.Checkpointer, monkeypatch
) -> None:
    """What is deleted has another name before its first file goes, and the next save sweeps."""
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)  # the process ends there
        saved.save(40, state_of(40))
        saved.wait()
    assert saved.steps() == [20, 30, 40]
    names = {path.name for path in saved.directory.iterdir()}
    assert names == {".deleted-000000010", "000000020", "000000030", "000000040"}
    saved.save(50, state_of(50))
    saved.wait()
    names = {path.name for path in saved.directory.iterdir()}
    assert names == {"000000030", "000000040", "000000050"}


def test_all_damaged(saved: train.Checkpointer) -> None:
    for step in (10, 20, 30):
        files_of(saved, step)[-1].unlink()
    with pytest.warns(UserWarning, match="is damaged"):
        assert saved.restore(state_of(0)) is None


def test_damaged_checkpoint_is_written_over(saved: train.Checkpointer) -> None:
    files_of(saved, 30)[0].unlink()
    saved.save(30, state_of(31))
    saved.wait()
    restored = saved.restore(state_of(0))
    assert restored is not None
    assert int(restored.state["step"]) == 31


def test_another_state(saved: train.Checkpointer) -> None:
    wanted = state_of(0) | {"kernel": jnp.zeros((300, 41)), "more": jnp.zeros(2)}
    del wanted["half"]
    with pytest.raises(train.CheckpointError) as caught:
        saved.restore(wanted)
    message = str(caught.value)
    assert "kernel: float32[300, 40] in the checkpoint, float32[300, 41] here" in message
    assert "more: absent in the checkpoint, float32[2] here" in message
    assert "half: bfloat16[3] in the checkpoint, absent here" in message
    assert "step" not in message.split("\n", 1)[1]


def test_no_folder(tmp_path: pathlib.Path) -> None:
    checkpointer = train.Checkpointer(tmp_path / "nowhere")
    assert checkpointer.restore() is None
    assert checkpointer.steps() == []
    assert not (tmp_path / "nowhere").exists()


def test_unwritable_folder() -> None:
    """Not even the superuser can write there."""
    checkpointer = train.Checkpointer("/proc/checkpoints")
    with pytest.raises(train.CheckpointError, match=r"cannot write .* of step 7 to /proc"):
        checkpointer.save(7, state_of(7))


def test_full_disk(saved: train.Checkpointer) -> None:
    """A limit on file sizes fails a write in the same place as a full disk does."""
    code = f"""
        import resource, signal
        import jax, jax.numpy as jnp
        from jaxvision import train
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        checkpointer = train.Checkpointer({str(saved.directory)!r})
        try:
            checkpointer.save(40, {{"w": jax.random.normal(jax.random.key(0), (200, 200))}})
            checkpointer.wait()
        except train.CheckpointError as error:
            print("caught", error)
        print(checkpointer.steps())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert "caught cannot write the checkpoint of step 40" in done.stdout, done.stderr
    assert "the newest good one is of step 30" in done.stdout
    assert "[10, 20, 30]" in done.stdout
    assert done.stderr == ""
    assert [path.name for path in saved.directory.glob("*tmp*")] == []
    restored = saved.restore(state_of(0))
    assert restored is not None
    assert restored.step == 30


def test_keep_must_be_positive(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        train.Checkpointer(tmp_path, keep=0)
