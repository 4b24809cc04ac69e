"""Display records: gaps stay gaps, letters and order are right, malformed values hurt nobody."""

import json
from base64 import b64decode

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.peers.pictures import picture, picture_names
from viewer.grey import padding_of
from viewer.image_metadata import acquired_at, display_of, display_order, frame_displays, is_image
from viewer.overlays import embedded_planes, overlays_of, shutter_of

pytestmark = pytest.mark.filterwarnings("ignore")


def image(**values: object) -> Dataset:
    dataset = Dataset()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 4, 4, 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = bytes(32)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize("name", picture_names())
def test_every_file_gives_a_record_that_is_json(name: str) -> None:
    dataset = picture(name)
    if not is_image(dataset):
        assert "PixelData" not in dataset
        return
    record = display_of(dataset)
    assert (record["state"] == "failed") == (record["reason"] is not None)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    frame_displays(dataset, 3)


def test_what_is_unknown_is_null() -> None:
    record = display_of(image())
    for key in ("sop_instance_uid", "number", "orientation", "position_mm", "pixel_padding", "shutter", "kvp",
                "acquired_at", "station", "laterality", "view_position", "slice_thickness_mm",
                "gantry_tilt_deg"):  # fmt: skip
        assert record[key] is None
    assert record["spacing"] == {"row_mm": None, "column_mm": None, "type": "none"}
    assert (record["voi"], record["overlays"], record["pixel_aspect"]) == ([], [], 1.0)


@pytest.mark.parametrize(("values", "reason"), [
    ({"Rows": None}, "missing_rows"), ({"Rows": 0}, "invalid_rows"), ({"Columns": None}, "missing_columns"),
    ({"PixelData": None}, "missing_pixel_data"), ({"PhotometricInterpretation": ""}, "missing_photometric"),
    ({"SamplesPerPixel": None}, "missing_samples_per_pixel"), ({"BitsStored": None}, "missing_bits"),
    ({"ModalityLUTSequence": [Dataset()]}, "invalid_modality_lut"),
])  # fmt: skip
def test_refusals(values: dict, reason: str) -> None:
    record = display_of(image(**values))
    assert (record["state"], record["reason"]) == ("failed", reason)


@pytest.mark.parametrize(("orientation", "edges"), [
    ([1, 0, 0, 0, 1, 0], "RLAP"), ([0, 1, 0, 0, 0, -1], "APHF"), ([1, 0, 0, 0, 0, -1], "RLHF"),
    ([-1, 0, 0, 0, -1, 0], "LRPA"),
])  # fmt: skip
def test_letters_of_planes(orientation: list[int], edges: str) -> None:
    """Axial, sagittal, coronal as of PS3.3 C.7.6.2.1.1, and an axial turned upside down: left right top bottom."""
    found = display_of(image(ImageOrientationPatient=orientation))["orientation"]
    assert "".join(found[side] for side in ("left", "right", "top", "bottom")) == edges


@pytest.mark.parametrize("orientation", [[0] * 6, [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0], [1, 0, 0]])
def test_impossible_planes_have_no_letters(orientation: list[int]) -> None:
    record = display_of(image(ImageOrientationPatient=orientation, ImagePositionPatient=[0, 0, 5]))
    assert (record["orientation"], record["position_mm"], record["image_orientation"]) == (None, None, None)


@pytest.mark.parametrize(("letters", "expected"), [
    (["L", "F"], {"left": "R", "right": "L", "top": "H", "bottom": "F"}),
    (["AR", "FP"], {"left": "PL", "right": "AR", "top": "HA", "bottom": "FP"}),
    (["L", ""], None), (["", ""], None), (["X", "F"], None), (["LEFT", "F"], None),
])  # fmt: skip
def test_letters_as_written(letters: list[str], expected: dict | None) -> None:
    assert display_of(image(PatientOrientation=letters))["orientation"] == expected


def test_position_is_along_the_normal() -> None:
    tilted = image(ImageOrientationPatient=[1, 0, 0, 0, 0.8, -0.6], ImagePositionPatient=[7, 3, 4])
    assert display_of(tilted)["position_mm"] == pytest.approx(0.6 * 3 + 0.8 * 4)


def test_order_along_the_normal_in_a_real_series() -> None:
    records = [display_of(picture(f"ct/cmb-crc-01068_lung_100.tar.xz:{n}")) for n in (2, 0, 1)]
    positions = [record["position_mm"] for record in display_order(records)]
    assert positions == sorted(positions)
    assert len(set(positions)) == 3


def test_order_by_number_where_planes_differ_or_are_unknown() -> None:
    axial, coronal = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]
    mixed = [
        {"id": "a", "number": None, "position_mm": 0.0, "image_orientation": axial},
        {"id": "b", "number": 2, "position_mm": -5.0, "image_orientation": coronal},
        {"id": "c", "number": 1, "position_mm": 9.0, "image_orientation": axial},
        {"id": "d", "number": None, "position_mm": None, "image_orientation": None},
    ]
    assert [one["id"] for one in display_order(mixed)] == ["c", "b", "a", "d"]
    assert [one["id"] for one in display_order([mixed[2], mixed[0]])] == ["a", "c"]
    assert display_order([]) == []


@pytest.mark.parametrize(("values", "expected"), [
    ({"AcquisitionDateTime": "20260102030405.678"}, "2026-01-02T03:04:05"),
    ({"AcquisitionDateTime": "20260102030405+0800"}, "2026-01-02T03:04:05+08:00"),
    ({"AcquisitionDate": "20260102", "AcquisitionTime": "030405.5"}, "2026-01-02T03:04:05"),
    ({"AcquisitionDate": "20260102", "AcquisitionTime": "0304", "TimezoneOffsetFromUTC": "+0800"},
     "2026-01-02T03:04:00+08:00"),
    ({"AcquisitionDate": "20260102"}, "2026-01-02"), ({"ContentDate": "2026.01.02"}, "2026-01-02"),
    ({"AcquisitionDate": "20261302"}, None), ({"AcquisitionTime": "030405"}, None), ({}, None),
])  # fmt: skip
def test_acquired_at(values: dict, expected: str | None) -> None:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    assert acquired_at([dataset]) == expected


@pytest.mark.parametrize(("values", "expected"), [
    ({"WindowCenter": [40, -600], "WindowWidth": [400, 1500], "WindowCenterWidthExplanation": ["SOFT", "肺"]},
     [(40, 400, "LINEAR", "SOFT"), (-600, 1500, "LINEAR", "肺")]),
    ({"WindowCenter": 40, "WindowWidth": 0}, []), ({"WindowCenter": 40, "WindowWidth": 0.5}, []),
    ({"WindowCenter": 0.5, "WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"}, [(0.5, 0.5, "LINEAR_EXACT", "")]),
    ({"WindowCenter": 40}, []), ({"WindowCenter": [40, 50], "WindowWidth": 400}, []),
    ({"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "CUBIC"}, []),
])  # fmt: skip
def test_windows(values: dict, expected: list) -> None:
    dataset = image(SpecificCharacterSet="ISO_IR 192", **values)
    found = [(v["center"], v["width"], v["function"], v["name"]) for v in display_of(dataset)["voi"]]
    assert found == expected


@pytest.mark.parametrize(("values", "unit"), [
    ({"Modality": "CT"}, "HU"), ({"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, ""),
    ({"Modality": "MR"}, ""), ({"Modality": "CT", "RescaleType": "US"}, "US"),
    ({"Modality": "PT", "Units": "BQML"}, "BQML"),
])  # fmt: skip
def test_units(values: dict, unit: str) -> None:
    lut = display_of(image(RescaleSlope=2, RescaleIntercept=-1024, **values))["modality_lut"]
    assert lut == {"kind": "linear", "slope": 2.0, "intercept": -1024.0, "unit": unit}


def test_broken_rescale_claims_no_unit() -> None:
    for values in ({"RescaleSlope": 0, "RescaleIntercept": -1024}, {"RescaleIntercept": -1024}):
        lut = display_of(image(Modality="CT", **values))["modality_lut"]
        assert lut == {"kind": "linear", "slope": 1.0, "intercept": 0.0, "unit": ""}


@pytest.mark.parametrize(("signed", "value", "limit", "expected"), [
    (1, 63536, None, [-2000, -2000]), (0, 0, 10, [0, 10]), (0, 65535, 65530, [65530, 65535]), (0, None, 5, None),
])  # fmt: skip
def test_padding(signed: int, value: int | None, limit: int | None, expected: list | None) -> None:
    dataset = image(PixelRepresentation=signed)
    if value is not None:
        dataset.add_new("PixelPaddingValue", "US", value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    assert padding_of([dataset]) == expected


def test_overlays_and_shutters() -> None:
    bits = np.packbits(np.eye(5, dtype=np.uint8).ravel(), bitorder="little").tobytes()
    dataset = image(ShutterShape=["RECTANGULAR", "CIRCULAR", "POLYGONAL"], CenterOfCircularShutter=[3, 4],
                    RadiusOfCircularShutter=2, VerticesOfThePolygonalShutter=[1, 1, 1, 5, 5, 5],
                    ShutterLeftVerticalEdge=1, ShutterRightVerticalEdge=4, ShutterUpperHorizontalEdge=0,
                    ShutterLowerHorizontalEdge=3)  # fmt: skip
    dataset.add_new(0x60020010, "US", 5)
    dataset.add_new(0x60020011, "US", 5)
    dataset.add_new(0x60020050, "SS", [-1, 2])
    dataset.add_new(0x60023000, "OW", bits)
    (overlay,) = overlays_of(dataset)
    assert (overlay["rows"], overlay["columns"], overlay["origin"]) == (5, 5, [-1, 2])
    assert b64decode(overlay["bits_base64"]) == bits[:4]
    dataset[0x60023000].value = bits[:2]
    assert overlays_of(dataset) == []
    assert shutter_of([dataset]) == {
        "rectangular": {"left": 1, "right": 4, "upper": 0, "lower": 3}, "circular": {"center": [3.0, 4.0], "radius": 2},
        "polygonal": {"vertices": [[1.0, 1.0], [1.0, 5.0], [5.0, 5.0]]}, "value": None,
    }  # fmt: skip


def test_overlays_hidden_in_the_pixels_are_named() -> None:
    dataset = image()
    for element, value in ((0x0010, 4), (0x0011, 4), (0x0102, 15)):
        dataset.add_new(0x60000000 + element, "US", value)
    assert embedded_planes(dataset) == [{"rows": 4, "columns": 4, "origin": [1, 1], "bit": 15}]
    dataset[0x60000102].value = 3
    assert embedded_planes(dataset) == []


def test_frames_with_their_own_rescale_say_so() -> None:
    dataset = image(NumberOfFrames=2)
    frames = []
    for slope, z in ((1, 0), (2, 5)):
        transform, position, plane, frame = Dataset(), Dataset(), Dataset(), Dataset()
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = slope, 0, "US"
        position.ImagePositionPatient = [0, 0, z]
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        frame.PixelValueTransformationSequence, frame.PlanePositionSequence = [transform], [position]
        frame.PlaneOrientationSequence = [plane]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    assert display_of(dataset)["modality_lut"]["slope"] == 1.0
    first, second = frame_displays(dataset, 2)
    assert (first["position_mm"], second["position_mm"], second["modality_lut"]["slope"]) == (0.0, 5.0, 2.0)
    assert "voi" not in second


def test_a_palette_is_eight_bit_rgb_and_other_colour_as_deep_as_stored() -> None:
    record = display_of(image(PhotometricInterpretation="PALETTE COLOR", PixelRepresentation=1))
    assert (record["samples_per_pixel"], record["bits_stored"], record["signed"]) == (3, 8, False)
    record = display_of(image(PhotometricInterpretation="RGB", SamplesPerPixel=3, BitsStored=12))
    assert (record["samples_per_pixel"], record["bits_stored"], record["signed"]) == (3, 12, False)


def test_values_of_the_wrong_kind_are_missing_values() -> None:
    dataset = image()
    for tag, vr, value in ((0x00281050, "LO", "wide"), (0x00281051, "LO", "nan"), (0x00280030, "LO", "0.1"),
                           (0x00200037, "LO", "a\\b\\c\\d\\e\\f"), (0x00180060, "LO", "inf")):  # fmt: skip
        dataset.add_new(tag, vr, value)
    record = display_of(dataset)
    assert (record["voi"], record["orientation"], record["kvp"]) == ([], None, None)
