"""How near a drawing is to the pictures that its model was trained on."""

from unikat.originality.index import Calibration as Calibration
from unikat.originality.index import Index as Index
from unikat.originality.neighbours import Measured as Measured
from unikat.originality.neighbours import Neighbours as Neighbours
