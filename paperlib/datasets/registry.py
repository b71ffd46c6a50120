GAZE = {name: f"paperlib.datasets.{name}:open_{name}" for name in ("salicon", "cat2000", "own")}
OPINIONS = {
    "koniq10k": "paperlib.datasets.koniq:open_koniq",
    "clive": "paperlib.datasets.clive:open_clive",
    "own": "paperlib.datasets.own_opinions:open_own_opinions",
}


def names(face):
    return GAZE if face == "gaze" else OPINIONS
