"""Why images are taken again: what a reader chooses from. [domain]"""

# positioning, exposure, motion; wrong patient or side; not everything that was asked for; something else, in words.
CATEGORIES = ("positioning", "exposure", "motion", "wrong_patient", "incomplete", "other")
