"""Everything the screen loads of one instance, made once from the stored original. [adapter]

Into the directory asked for: ``frame_N.jphc`` (N from 1), ``thumbnail.jpg``, ``preview.jpg`` (frame 1, whole size),
``metadata-1.json`` (DICOM JSON),
``display.json`` (the manifest; always there, also for a refused image, then alone). Can be made again at any time:
``maker`` says which version made it.
Run as a module this is the worker process of `viewer.derive_pool`: one JSON line in, one JSON line out.
"""

import json
import os
import resource
import shutil
import sys
import tempfile
import warnings
from base64 import b64encode
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom import Dataset, dcmread

from pacs_bridge.dicom_json import METADATA_FILE, instance_json
from pacs_bridge.htj2k import encode_frame
from pacs_bridge.pixels import MAX_FRAME_BYTES, PixelError, bit_plane, decode_frames, read_format
from pacs_bridge.render import modality_values, render, window_of
from viewer.image_metadata import display_of, frame_displays, is_image
from viewer.overlays import embedded_planes
from viewer.wide_values import ColourScale, Scale, is_wide, scale_of

MAKER = "teleread-derive/1"
THUMBNAIL_PX, THUMBNAIL_QUALITY = 256, 85
PREVIEW_FILE, PREVIEW_QUALITY = "preview.jpg", 90  # as ``dicomweb_pixels.Look`` renders it when nothing else is asked


def derive_instance(source: Path, out_dir: Path, max_frame_bytes: int = MAX_FRAME_BYTES) -> dict[str, Any]:
    """The manifest: the display record with "frames", "auto_window" and "maker". Raises nothing for a bad image.

    ``state``: "ready"; "failed" with a reason code; "none" for what is no image. ``out_dir`` appears whole, by rename.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the data set, which are the patient's
            manifest = _derived(source, work, max_frame_bytes)
            if manifest["state"] == "ready":
                _add_metadata(source, work)
        publish(manifest, work, out_dir)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def _add_metadata(source: Path, work: Path) -> None:
    """DICOM JSON for DICOMweb, so that a series of hundreds need not be read when somebody asks."""
    try:
        text = instance_json(source)
    except OSError:
        raise
    except Exception:  # a broken file: whoever asks for its metadata is told so then
        return
    (work / METADATA_FILE).write_text(text, encoding="utf-8")


def publish(manifest: dict[str, Any], work: Path, out_dir: Path) -> None:
    """``work`` with the manifest in it takes the place of ``out_dir``; of two at once the later one stays."""
    (work / "display.json").write_text(json.dumps(manifest, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    work.chmod(0o755)
    for _ in range(10):
        with suppress(OSError):
            work.rename(out_dir)
            return
        old = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
        with suppress(OSError):
            out_dir.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    raise OSError(f"derived data of {out_dir.name} cannot be put in place")


def _derived(source: Path, work: Path, max_frame_bytes: int) -> dict[str, Any]:
    empty = {"state": "failed", "frames": [], "maker": MAKER}
    try:
        dataset = dcmread(source, force=True)
        if not is_image(dataset):
            return {**empty, "state": "none", "reason": None}
        display = {**display_of(dataset), "frames": [], "auto_window": None, "maker": MAKER}
        if display["state"] == "ready":
            _add_pixels(display, dataset, work, max_frame_bytes)
        return display
    except OSError:
        raise
    except MemoryError:
        reason = "too_large"
    except PixelError as error:
        for file in work.iterdir():
            file.unlink()
        return {**display, "state": "failed", "reason": error.code, "frames": []}
    except Exception:  # a parser fed with a broken file raises anything: the file cannot be read, whatever it was
        reason = "unreadable"
    for file in work.iterdir():
        file.unlink()
    return {**empty, "reason": reason}


def _add_pixels(display: dict[str, Any], dataset: Dataset, work: Path, max_frame_bytes: int) -> None:
    count = read_format(dataset, max_frame_bytes).frames
    scale = _scale(display, dataset, max_frame_bytes)
    lowest, highest = [], []
    for index, stored in enumerate(decode_frames(dataset, max_frame_bytes)):
        frame = scale.shown(stored) if scale else stored
        data, levels = encode_frame(frame)
        (work / f"frame_{index + 1}.jphc").write_bytes(data)
        url = f"/api/frames/{display['sop_instance_uid']}/{index + 1}"
        display["frames"].append({"url": url, "bytes": len(data), "levels": levels})
        low, high = _range(frame, display["pixel_padding"])
        lowest.append(low)
        highest.append(high)
        if index == count // 2:
            shown = shrunk(frame)
        if index == 0:
            first = frame
    for entry, own in zip(display["frames"], frame_displays(dataset, count), strict=True):
        entry.update(own | scale.display(own) if scale else own)
    if display["samples_per_pixel"] == 1:
        display["auto_window"] = _auto_window(min(lowest), max(highest), display["modality_lut"])
        display["overlays"] += _embedded_overlays(dataset)
    _write_picture(work / "thumbnail.jpg", shown, display, THUMBNAIL_QUALITY)
    _write_picture(work / PREVIEW_FILE, first, {**display, **display["frames"][0]}, PREVIEW_QUALITY)


def _scale(display: dict[str, Any], dataset: Dataset, max_frame_bytes: int) -> Scale | ColourScale | None:
    """Of pixels with more than 16 bits; the display record is then that of the scaled values. Raises PixelError."""
    form = read_format(dataset, max_frame_bytes)
    if form.bits_allocated <= 16:
        return None
    if form.samples == 3:
        if form.bits_stored <= 16:
            return None
        display |= {"bits_stored": 16}
        return ColourScale(form.bits_stored)
    frames = decode_frames(dataset, max_frame_bytes)
    first = next(frames)
    if not is_wide(first):
        return None
    if display["modality_lut"]["kind"] != "linear":
        raise PixelError("unsupported_bits_allocated", bits=form.bits_allocated)
    scale = scale_of(chain([first], frames))
    display |= {**scale.display(display), "bits_stored": 16, "signed": False}
    return scale


def _write_picture(path: Path, frame: np.ndarray, display: dict[str, Any], quality: int) -> None:
    picture = np.ascontiguousarray(render(frame, display))
    path.write_bytes(imagecodecs.jpeg8_encode(picture, level=quality))


def shrunk(frame: np.ndarray) -> np.ndarray:
    """Means over square blocks, so that neither side is above 256 px; colour keeps its type, grey is float."""
    step = -(-max(frame.shape[:2]) // THUMBNAIL_PX)
    if step == 1:
        return frame
    step_y, step_x = min(step, frame.shape[0]), min(step, frame.shape[1])
    rows, columns = frame.shape[0] // step_y, frame.shape[1] // step_x
    used = frame[: rows * step_y, : columns * step_x]
    bands = used.reshape(rows, step_y, columns * step_x, -1).mean(axis=1, dtype=np.float32)
    blocks = bands.reshape(rows, columns, step_x, -1).mean(axis=2)
    small: np.ndarray = blocks.round().astype(frame.dtype) if frame.ndim == 3 else blocks[:, :, 0]
    return small


def _range(frame: np.ndarray, padding: list[int] | None) -> tuple[int, int]:
    """Lowest and highest stored value that is no padding (of all, where everything is)."""
    low, high = int(frame.min()), int(frame.max())
    if padding is not None and frame.ndim == 2 and any(padding[0] <= end <= padding[1] for end in (low, high)):
        kept = frame[(frame < padding[0]) | (frame > padding[1])]
        return (int(kept.min()), int(kept.max())) if kept.size else (low, high)
    return low, high


def _auto_window(low: int, high: int, modality_lut: dict[str, Any]) -> dict[str, Any]:
    values = modality_values(np.arange(low, high + 1), modality_lut)
    return window_of(float(values.min()), float(values.max()))


def _embedded_overlays(dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    for plane in embedded_planes(dataset):
        with suppress(PixelError):
            bits = bit_plane(dataset, plane.pop("bit"))
            found.append({**plane, "bits_base64": b64encode(bits).decode()})
    return found


# The worker process -----------------------------------------------------------------------------------------------


def main() -> None:
    """argv: memory limit in bytes, CPU seconds for one instance, bytes of a frame. Ends when its input ends."""
    memory_bytes, cpu_s, max_frame_bytes = (int(word) for word in sys.argv[1:4])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _stand_back()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a codec prints must not be read as an answer
    for line in sys.stdin:
        job = json.loads(line)
        _allow_cpu(cpu_s)
        try:
            answer = derive_instance(Path(job["source"]), Path(job["out_dir"]), max_frame_bytes)
        except OSError as error:  # the disk's fault, not the image's: to be tried again, not recorded
            answer = {"errno": error.errno or 5}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _stand_back() -> None:
    """Whoever waits for an answer comes first: objects being received, pages being asked for.

    Where the kernel groups tasks by session (autogroup, sched(7)), a nice value counts within the group alone; the
    group, which is ours alone, has one of its own.
    """
    os.nice(10)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("10", "ascii")


def _allow_cpu(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
