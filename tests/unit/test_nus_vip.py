"""OSIE and EyeCrowd: points become 0-based pixels, layouts, extents, and every mistake told in one sentence."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from paperlib import profiles
from paperlib.datasets.gaze import check, fixation_map
from paperlib.datasets.registry import SAMPLED, open_gaze
from paperlib.errors import PaperlibError
from paperlib.experiments.sets.plan import gaze_pictures, opinion_pictures

SETS = {"osie": ("1001.jpg", "1002.jpg", (600, 800), 24), "eyecrowd": ("005.jpg", "006.jpg", (768, 1024), 26)}


def cells(entries: list[Any]) -> np.ndarray:
    found = np.empty((len(entries), 1), object)
    found[:, 0] = entries
    return found


def looks(x: Any, y: Any) -> dict[str, Any]:
    return {"fix_x": x, "fix_y": y, "fix_duration": np.full(np.shape(x), 200.0)}


def write(root: Path, name: str) -> Path:
    """Two pictures. Of the first: one point at its first pixel, one at its last, one right outside, and an empty viewing."""
    first, second, (height, width), _ = SETS[name]
    (root / "data" / "stimuli").mkdir(parents=True)
    (root / "data" / "eye").mkdir()
    for key in (first, second):
        Image.new("RGB", (width, height)).save(root / "data" / "stimuli" / key)
    viewings = [looks([1.0, width, width + 0.6], [1.0, height, 5.0]), looks(3.2, 4.7), looks([], [])]
    entries = [{"img": second, "subjects": cells([looks([10.0], [20.0])])}, {"img": first, "subjects": cells(viewings)}]
    savemat(root / "data" / "eye" / "fixations.mat", {"fixations": cells(entries)})
    return root


@pytest.fixture(params=SETS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, write(tmp_path / request.param, request.param)


def test_points_are_pixels_from_zero_and_the_blur_is_scipys(case: tuple[str, Path]) -> None:
    name, root = case
    key, other, (height, width), sigma = SETS[name]
    opened = open_gaze(name, root, extent="all")
    first, second = opened.records
    assert (first.key, second.key, opened.title) == (key, other, {"osie": "OSIE", "eyecrowd": "EyeCrowd"}[name])
    gaze = first.load_gaze()
    assert gaze.fixations.tolist() == [[0, 0], [height - 1, width - 1], [4, 2]]
    assert (gaze.dropped, gaze.observers) == (1, 2)
    assert second.load_fixations().tolist() == [[19, 9]]
    blurred = gaussian_filter(
        fixation_map(gaze.fixations, (height, width)).astype(float), sigma, mode="constant", truncate=6
    )
    np.testing.assert_allclose(first.load_density(), blurred, atol=1e-3 * blurred.max())
    assert check(opened).fixations == 4
    assert (
        opened.notes[0].startswith("a part of the set: 2 of")
        and f"1 points outside their picture were dropped, in {key}" in (opened.notes[1])
    )


def test_a_clone_a_flat_folder_and_the_one_above_are_the_same(case: tuple[str, Path], tmp_path: Path) -> None:
    name, root = case
    flat = tmp_path / "flat" / name
    shutil.copytree(root / "data" / "stimuli", flat / "stimuli")
    shutil.copy(root / "data" / "eye" / "fixations.mat", flat)
    places = (root, root.parent, flat, flat.parent)
    assert len({open_gaze(name, place, extent="found").fingerprint for place in places}) == 1


def test_a_profile_asks_for_its_extent(case: tuple[str, Path]) -> None:
    name, root = case
    laptop = profiles.load("open", data_root=str(root.parent))
    with pytest.raises(PaperlibError, match=rf"pictures of the sample; .*python -m paperlib data fetch {name}"):
        gaze_pictures(laptop, name)
    found = gaze_pictures(profiles.load("paper", data_root=str(root.parent), extent="found"), name)
    assert found.n == 2 and dict(found.params["options"]) == {"extent": "found"}
    assumed = profiles.load("rehearsal", assumed=(("biq2021", "test", 800),), data_root=str(root))
    assert opinion_pictures(assumed, "biq2021", "test").options == (("extent", "sample"),)
    assert set(SAMPLED) == {"biq2021", *SETS}


@pytest.mark.parametrize(
    "content",
    [
        {"gaze": 1.0},
        {"fixations": np.ones((3, 2))},
        {"fixations": cells([{"img": "1001.jpg"}])},
        {"fixations": cells([{"img": 1001.0, "subjects": cells([looks([1.0], [1.0])])}])},
        {"fixations": cells([{"img": "1001.jpg", "subjects": cells([{"fix_x": [1.0]}])}])},
        {"fixations": cells([{"img": "1001.jpg", "subjects": cells([looks([1.0, 2.0], [1.0])])}])},
        {"fixations": cells([{"img": "1001.jpg", "subjects": cells([looks(["a"], [1.0])])}])},
        {"fixations": cells([])},
        {"fixations": cells([{"img": "1001.jpg", "subjects": cells([looks([1.0], [1.0])])}] * 2)},
    ],
)
def test_fixations_of_another_form_are_told_in_a_sentence(tmp_path: Path, content: dict[str, Any]) -> None:
    root = write(tmp_path, "osie")
    savemat(root / "data" / "eye" / "fixations.mat", content)
    with pytest.raises(PaperlibError, match=r"fixations.mat cannot be used: .*expected .*restore it") as caught:
        open_gaze("osie", root, extent="found")
    assert "\n" not in str(caught.value)


def test_folders_and_pictures_that_cannot_be_used(tmp_path: Path) -> None:
    root = write(tmp_path, "osie")
    Image.new("RGB", (80, 60)).save(root / "data" / "stimuli" / "1002.jpg")
    with pytest.raises(PaperlibError, match=r"1 of 2 OSIE pictures cannot be used: .*80x60 pixels, expected 800x600"):
        open_gaze("osie", root, extent="found")
    (root / "data" / "stimuli" / "1002.jpg").unlink()
    with pytest.raises(PaperlibError, match="1 of 2 pictures are missing: 1002.jpg"):
        open_gaze("osie", root, extent="all")
    entry = {"img": "1001.jpg", "subjects": cells([looks([900.0], [1.0])])}
    savemat(root / "data" / "eye" / "fixations.mat", {"fixations": cells([entry])})
    with pytest.raises(PaperlibError, match="no fixation of `fixations.mat` lies inside it"):
        open_gaze("osie", root, extent="found")
    (root / "data" / "eye" / "fixations.mat").unlink()
    with pytest.raises(PaperlibError, match="OSIE in .*: expected data/stimuli and data/eye/fixations.mat or stimuli and"):
        open_gaze("osie", root)
