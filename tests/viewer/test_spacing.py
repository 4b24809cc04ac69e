"""The spacing matrix of PS3.3 10.7.1: what is present, and what may be claimed from it."""

import pytest
from pydicom.dataset import Dataset

from tests.peers.pictures import picture
from viewer.image_metadata import display_of
from viewer.spacing import pixel_aspect_of, spacing_of

IMAGER, OTHER = [0.14, 0.14], [0.1, 0.1]


def spacing(**values: object) -> tuple[object, object, str]:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    found = spacing_of([dataset])
    return found["row_mm"], found["column_mm"], found["type"]


@pytest.mark.parametrize(("values", "expected"), [
    ({}, (None, None, "none")),
    ({"ImagerPixelSpacing": IMAGER}, (0.14, 0.14, "detector")),
    ({"PixelSpacing": IMAGER}, (0.14, 0.14, "detector")),  # 10.7.1.1: cannot be determined: no claim about the patient
    ({"PixelSpacing": IMAGER, "ImagerPixelSpacing": IMAGER}, (0.14, 0.14, "detector")),
    ({"PixelSpacing": [0.140001, 0.14], "ImagerPixelSpacing": IMAGER}, (0.14, 0.14, "detector")),
    ({"PixelSpacing": IMAGER, "ImagerPixelSpacing": IMAGER, "PixelSpacingCalibrationType": "FIDUCIAL"},
     (0.14, 0.14, "fiducial")),
    ({"PixelSpacing": OTHER, "ImagerPixelSpacing": IMAGER}, (0.1, 0.1, "geometry")),
    ({"PixelSpacing": OTHER, "ImagerPixelSpacing": IMAGER, "PixelSpacingCalibrationType": "GEOMETRY"},
     (0.1, 0.1, "geometry")),
    ({"PixelSpacing": OTHER, "ImagerPixelSpacing": IMAGER, "PixelSpacingCalibrationType": "FIDUCIAL"},
     (0.1, 0.1, "fiducial")),
    ({"PixelSpacing": OTHER, "PixelSpacingCalibrationType": "FIDUCIAL"}, (0.1, 0.1, "fiducial")),
    ({"PixelSpacingCalibrationType": "FIDUCIAL", "ImagerPixelSpacing": IMAGER}, (0.14, 0.14, "detector")),
    ({"NominalScannedPixelSpacing": OTHER}, (0.1, 0.1, "detector")),
    ({"ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 1.4}, (0.1, 0.1, "geometry")),
    ({"ImagerPixelSpacing": IMAGER, "PixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 1.4},
     (0.1, 0.1, "geometry")),
    ({"ImagerPixelSpacing": IMAGER, "PixelSpacing": OTHER, "EstimatedRadiographicMagnificationFactor": 1.4},
     (0.1, 0.1, "geometry")),  # corrected already: never twice
    ({"ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 1.0}, (0.14, 0.14, "detector")),
    ({"ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 0.0}, (0.14, 0.14, "detector")),
    ({"EstimatedRadiographicMagnificationFactor": 1.4}, (None, None, "none")),
    ({"ImagerPixelSpacing": [0.0, 0.0]}, (None, None, "none")),
    ({"PixelSpacing": [-0.1, 0.1]}, (None, None, "none")),
    ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1, "detector")),
])  # fmt: skip
@pytest.mark.parametrize("modality", ["DX", "CR", "MG"])
def test_projections(values: dict, expected: tuple, modality: str) -> None:
    assert spacing(Modality=modality, **values) == pytest.approx(expected)


@pytest.mark.parametrize(("values", "expected"), [
    ({"Modality": "CT", "PixelSpacing": [0.7, 0.8]}, (0.7, 0.8, "patient")),
    ({"Modality": "MR", "PixelSpacing": [0.7, 0.8]}, (0.7, 0.8, "patient")),
    ({"Modality": "CT", "PixelSpacing": [0.5, 0.6], "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
     (0.5, 0.6, "geometry")),
    ({"Modality": "CT"}, (None, None, "none")),
    ({"Modality": "CT", "ImagerPixelSpacing": IMAGER}, (None, None, "none")),
    ({"Modality": "SEG", "PixelSpacing": [0.7, 0.8], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
     (0.7, 0.8, "patient")),
])  # fmt: skip
def test_cross_sections(values: dict, expected: tuple) -> None:
    assert spacing(**values) == pytest.approx(expected)


def region(across_cm: float, **values: object) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = 1, 3, 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = across_cm, -0.05
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def test_ultrasound_has_one_scale_only_with_one_tissue_region() -> None:
    assert spacing(Modality="US", SequenceOfUltrasoundRegions=[region(0.03)]) == pytest.approx((0.5, 0.3, "patient"))
    none = (None, None, "none")
    assert spacing(Modality="US", SequenceOfUltrasoundRegions=[region(0.03), region(0.04)]) == none
    assert spacing(Modality="US", SequenceOfUltrasoundRegions=[region(0.03, PhysicalUnitsXDirection=4)]) == none
    assert spacing(Modality="US", SequenceOfUltrasoundRegions=[region(0.03, RegionSpatialFormat=2)]) == none


def test_pixel_aspect() -> None:
    dataset = Dataset()
    assert pixel_aspect_of([dataset]) == 1.0
    dataset.PixelAspectRatio = [4, 3]
    assert pixel_aspect_of([dataset]) == pytest.approx(4 / 3)
    dataset.Modality, dataset.PixelSpacing = "CT", [0.5, 1.0]
    assert pixel_aspect_of([dataset]) == 0.5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "expected"), [
    ("ct/CT_small.dcm", (0.661468, 0.661468, "patient")), ("dr/RG3_JLSL", (None, None, "none")),
    ("ct/CT0012.not_fragmented_bot_jpeg_ls.80.dcm", (0.388672, 0.388672, "patient")),  # from the functional groups
    ("dicomdir/media/98892001/CT2N/6293", (0.545455, 0.596847, "geometry")),  # a localizer
])  # fmt: skip
def test_real_files(name: str, expected: tuple) -> None:
    found = display_of(picture(name))["spacing"]
    assert (found["row_mm"], found["column_mm"], found["type"]) == pytest.approx(expected)
