"""What derivation leaves on disk, for every real file; and a pool that survives whatever its workers meet."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import openjpeg
import pytest

from pacs_bridge.pixels import decode_frames
from tests.peers.pictures import picture, picture_bytes, picture_names
from viewer.derive import derive_instance, shrunk
from viewer.derive_pool import DerivePool


@pytest.fixture
def pool() -> Iterator[DerivePool]:
    made = DerivePool(max_workers=2)
    yield made
    made.close()


def stored(name: str, folder: Path) -> Path:
    path = folder / "source"
    path.write_bytes(picture_bytes(name))
    return path


def wait_until(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in picture_names() if "fuzz" not in name and "charset" not in name])
def test_the_directory_holds_what_the_manifest_says(name: str, tmp_path: Path) -> None:
    source, out = stored(name, tmp_path), tmp_path / "ab" / "key"
    manifest = derive_instance(source, out)
    assert json.loads((out / "display.json").read_text(encoding="utf-8")) == manifest
    assert [path.name for path in out.parent.iterdir()] == ["key"]
    files = {path.name for path in out.iterdir()}
    if manifest["state"] != "ready":
        assert files == {"display.json"}
        assert (manifest["reason"] is None) == (manifest["state"] == "none")
        return
    frames = list(decode_frames(picture(name)))
    assert files == {"display.json", "thumbnail.jpg", "preview.jpg", "metadata-1.json"} | {f"frame_{n + 1}.jphc" for n in range(len(frames))}
    for number, (frame, entry) in enumerate(zip(frames, manifest["frames"], strict=True), 1):
        data = (out / f"frame_{number}.jphc").read_bytes()
        assert len(data) == entry["bytes"] == entry["levels"][-1]["bytes_end"]
        shown = openjpeg.decode(data).reshape(frame.shape)
        if frame.dtype.itemsize > 2:  # brought to 16 bits: what the manifest makes of them is what the file says
            lut, own = entry.get("modality_lut", manifest["modality_lut"]), frame * float(picture(name).DoseGridScaling)
            dose = (shown * lut["slope"] + lut["intercept"]) * float(picture(name).DoseGridScaling)
            assert np.abs(dose - own).max() <= own.max() / 65535
        else:
            assert np.array_equal(shown, frame)
    thumbnail = imagecodecs.jpeg8_decode((out / "thumbnail.jpg").read_bytes())
    assert max(thumbnail.shape[:2]) <= 256


@pytest.mark.parametrize(("name", "state", "reason"), [
    ("nonimage/test-SR.dcm", "none", None), ("nonimage/waveform_ecg.dcm", "none", None),
    ("nonimage/encapsulated_pdf_OT000000.dcm", "none", None), ("nonimage/rtdose.dcm", "ready", None),
    ("identity/GH178.dcm", "failed", "missing_pixel_data"), ("malformed/MR_truncated.dcm", "failed", "truncated"),
    ("malformed/fuzz/TC0675_meta_ts_vr_5a5a_len_1GB_declared.dcm", "failed", "unreadable"),
])  # fmt: skip
def test_states(name: str, state: str, reason: str | None, tmp_path: Path) -> None:
    manifest = derive_instance(stored(name, tmp_path), tmp_path / "out")
    assert (manifest["state"], manifest["reason"]) == (state, reason)


def test_the_thumbnail_of_a_monochrome1_chest_is_bright_where_bone_is(tmp_path: Path) -> None:
    """Air beside the hand is dark on film; with the polarity forgotten it would be white."""
    derive_instance(stored("dr/RG3_JLSL", tmp_path), tmp_path / "out")
    thumbnail = imagecodecs.jpeg8_decode((tmp_path / "out" / "thumbnail.jpg").read_bytes())
    frame = shrunk(next(decode_frames(picture("dr/RG3_JLSL"))))
    assert np.corrcoef(thumbnail.ravel(), frame.ravel())[0, 1] < -0.9


def test_the_automatic_window_leaves_padding_out(tmp_path: Path) -> None:
    name = "ct/ge_head_variable_tilt_28.tar.xz:1"
    manifest = derive_instance(stored(name, tmp_path), tmp_path / "out")
    low, high = manifest["pixel_padding"]
    frame = next(decode_frames(picture(name)))
    kept = frame[(frame < low) | (frame > high)]
    window = manifest["auto_window"]
    assert window["center"] - window["width"] / 2 == kept.min()
    assert window["center"] + window["width"] / 2 == kept.max()
    assert kept.min() > frame.min()


def test_made_again_it_replaces_what_was_there(tmp_path: Path) -> None:
    derive_instance(stored("us-xa/examples_palette.dcm", tmp_path), tmp_path / "out")
    derive_instance(stored("nonimage/test-SR.dcm", tmp_path), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["display.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


@pytest.mark.parametrize("shape", [(3000, 2500), (257, 3), (3, 257), (256, 256), (511, 512, 3)])
def test_shrinking_keeps_the_mean(shape: tuple[int, ...]) -> None:
    frame = np.random.default_rng(3).integers(0, 200, shape, np.uint8)
    small = shrunk(frame)
    assert max(small.shape[:2]) <= 256
    assert abs(float(small.mean()) - float(frame.mean())) < 3


# The pool ---------------------------------------------------------------------------------------------------------


def test_many_threads_one_answer_each(pool: DerivePool, tmp_path: Path) -> None:
    source = stored("ct/cmb-crc-01068_lung_100.tar.xz:0", tmp_path)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda n: pool.derive(source, tmp_path / "d" / str(n % 5)), range(20)))
    assert {one["state"] for one in made} == {"ready"}
    assert len(list((tmp_path / "d").iterdir())) == 5
    assert 1 <= len(pool.worker_pids()) <= 2


def test_several_at_once_each_with_its_answer_or_error(pool: DerivePool, tmp_path: Path) -> None:
    source = stored("us-xa/examples_palette.dcm", tmp_path)
    wanted = [(source if n != 1 else tmp_path / "nothing", tmp_path / "d" / str(n)) for n in range(4)]
    made = pool.derive_all(wanted, 60)
    assert [isinstance(one, FileNotFoundError) or one["state"] for one in made] == ["ready", True, "ready", "ready"]
    assert len(pool.worker_pids()) == 2  # both were busy
    assert len(pool.derive_all(wanted, 0.0)) == 2  # time is up: what was begun is ended, nothing more
    assert pool.derive_all([], 1.0) == []


def test_whoever_waits_comes_in_turn(tmp_path: Path) -> None:
    """One worker and a long share under way: a single image is next, not last."""
    pool = DerivePool()
    source = stored("us-xa/examples_palette.dcm", tmp_path)
    ends: dict[str, float] = {}

    def single() -> None:
        pool.derive(source, tmp_path / "single")
        ends["single"] = time.monotonic()

    try:
        with ThreadPoolExecutor(2) as threads:
            share = threads.submit(pool.derive_all, [(source, tmp_path / "d" / str(n)) for n in range(40)], 60)
            wait_until((tmp_path / "d" / "1").exists)
            threads.submit(single)
            share.result()
            ends["share"] = time.monotonic()
        assert ends["single"] < ends["share"]
    finally:
        pool.close()


def test_every_fuzzed_file_in_the_pool(pool: DerivePool, tmp_path: Path) -> None:
    names = [name for name in picture_names() if "malformed" in name]
    for number, name in enumerate(names):
        manifest = pool.derive(stored(name, tmp_path), tmp_path / "d" / str(number))
        assert manifest["state"] in ("ready", "none", "failed")
        assert manifest["reason"] not in ("decoder_crashed", "time_out"), name
    assert len(list((tmp_path / "d").iterdir())) == len(names)


def test_a_hanging_instance_is_one_failed_instance(tmp_path: Path) -> None:
    pool = DerivePool(timeout_s=1.5)
    os.mkfifo(tmp_path / "endless")
    try:
        manifest = pool.derive(tmp_path / "endless", tmp_path / "out")
        assert (manifest["state"], manifest["reason"]) == ("failed", "time_out")
        assert json.loads((tmp_path / "out" / "display.json").read_text()) == manifest
        assert pool.worker_pids() == []
    finally:
        pool.close()



def test_a_crashing_decoder_is_one_failed_instance(pool: DerivePool, tmp_path: Path) -> None:
    good = stored("us-xa/examples_palette.dcm", tmp_path)
    assert pool.derive(good, tmp_path / "first")["state"] == "ready"
    (pid,) = pool.worker_pids()
    os.mkfifo(tmp_path / "endless")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(pool.derive, tmp_path / "endless", tmp_path / "out")
        wait_until(lambda: list(tmp_path.glob(".out.*")))
        os.kill(pid, signal.SIGSEGV)
        assert waiting.result()["reason"] == "decoder_crashed"
    assert not list(tmp_path.glob(".out.*"))
    assert pool.derive(good, tmp_path / "second")["state"] == "ready"
    assert pid not in pool.worker_pids()


def test_a_worker_that_died_while_waiting_is_replaced(pool: DerivePool, tmp_path: Path) -> None:
    good = stored("us-xa/examples_palette.dcm", tmp_path)
    pool.derive(good, tmp_path / "first")
    (pid,) = pool.worker_pids()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert pool.derive(good, tmp_path / "second")["state"] == "ready"


def test_memory_has_a_limit(tmp_path: Path) -> None:
    dataset = picture("dr/dx_image.dcm")
    dataset.Rows = dataset.Columns = 12000
    dataset.PixelData = bytes(144_000_000)
    dataset.save_as(tmp_path / "large")
    pool = DerivePool(memory_bytes=300 * 1024**2)
    try:
        assert pool.derive(tmp_path / "large", tmp_path / "out")["reason"] == "too_large"
        assert pool.derive(stored("us-xa/examples_palette.dcm", tmp_path), tmp_path / "ok")["state"] == "ready"
    finally:
        pool.close()


def test_no_worker_stays_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    pool = DerivePool(idle_s=0.3)
    try:
        pool.derive(stored("nonimage/test-SR.dcm", tmp_path), tmp_path / "out")
        (pid,) = pool.worker_pids()
        wait_until(lambda: not pool.worker_pids())
        wait_until(lambda: not Path(f"/proc/{pid}").exists())
        assert pool.derive(tmp_path / "source", tmp_path / "out")["state"] == "none"
    finally:
        pool.close()


def test_a_missing_source_is_an_error_of_ours_not_of_the_image(pool: DerivePool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pool.derive(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        pool.derive(stored("nonimage/test-SR.dcm", tmp_path), tmp_path / "file" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "source"]


def test_the_caller_loads_no_codec() -> None:
    """The web and worker processes must stay small: the pool alone imports neither numpy nor pydicom."""
    import subprocess
    import sys

    code = "import sys, viewer.derive_pool; print({'numpy', 'pydicom', 'imagecodecs'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "set()"
