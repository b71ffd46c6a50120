from paperlib.datasets.gaze import check as check_gaze
from paperlib.datasets.opinions import check as check_opinions
