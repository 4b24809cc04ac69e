"""All routes of DICOMweb on one blueprint. [web]"""

from viewer import dicomweb_frames, dicomweb_rendered, dicomweb_retrieve, dicomweb_store
from viewer.dicomweb import dicomweb

PARTS = (dicomweb_retrieve, dicomweb_frames, dicomweb_rendered, dicomweb_store)  # importing them adds their routes

__all__ = ["PARTS", "dicomweb"]
