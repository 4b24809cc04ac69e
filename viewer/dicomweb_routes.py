"""All routes of DICOMweb on one blueprint. [web]"""

from viewer import (
    dicomweb_frames,
    dicomweb_query,
    dicomweb_rendered,
    dicomweb_retrieve,
    dicomweb_store,
    dicomweb_ups,
)
from viewer.dicomweb import dicomweb

# Importing them adds their routes.
PARTS = (dicomweb_retrieve, dicomweb_frames, dicomweb_rendered, dicomweb_store, dicomweb_query, dicomweb_ups)

__all__ = ["PARTS", "dicomweb"]
