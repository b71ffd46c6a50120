"""A user's own picture, looked into by the networks that ship: score, saliency map and GradCAM."""

import io
from pathlib import Path
from typing import Any

from paperlib.experiments.artefacts import Figure1Data
from paperlib.show.figures import figure1
from paperlib.sources.shipped import GRADCAM, SALIENCY, look_into
from paperlib.study.files import require_folder, write
from paperlib.study.one_picture import read_image

SUFFIX = "_look.png"
DPI = 200


def look_at_file(image: Path, out: Path) -> dict[str, Any]:
    """Write picture, saliency map and GradCAM, one below the other, as `<name>_look.png`.

    Args:
        image: a picture of any common type and size, read as it is stored.
        out: folder for the file.

    Returns:
        `picture` and `figure` (names of files), `score` (about 0 to 1, higher is better) and `notes`.

    Raises:
        PaperlibError: an unusable picture, or a folder that cannot be written.
    """
    import matplotlib.pyplot as plt

    pixels, notes = read_image(image)
    require_folder(out)
    looked = look_into(pixels)
    rows = {SALIENCY: [looked.saliency], GRADCAM: [looked.gradcam]}
    figure = figure1(Figure1Data([pixels], rows, (f"{image.name}: score {looked.score:.2f}",)))
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    plt.close(figure)
    file = out / f"{image.stem}{SUFFIX}"
    write(file, drawn.getvalue())
    return {"picture": image.name, "figure": str(file), "score": looked.score, "notes": notes}
