"""placeholder until the datasets branch is merged"""
from paperlib.datasets.gaze import GazeRecord as Picture, fixation_map
from paperlib.datasets.record_sets import RecordSet
