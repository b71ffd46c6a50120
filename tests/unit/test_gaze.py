"""The common face of eye-tracking data: reading files, fixation maps, blur, sets, statistics."""

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from paperlib.datasets.files import UnusableFile, has_rotation, listing, picture_size, read_grey, read_rgb
from paperlib.datasets.gaze import Gaze, GazeSet, PointRecord, blur, check, fixation_map
from paperlib.datasets.registry import open_gaze
from paperlib.errors import PaperlibError
from tests.own_standins import write_own


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> GazeSet:
    return open_gaze("own", write_own(tmp_path_factory.mktemp("own"), 7, 3))


# ---- fixations and densities ----------------------------------------------------------------------------------------
def test_fixation_map_counts_repeats() -> None:
    counts = fixation_map(np.array([[0, 0], [1, 2], [1, 2], [2, 3]]), (3, 4))
    assert counts.dtype == np.uint16
    assert counts.tolist() == [[1, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]
    assert not fixation_map(np.empty((0, 2), int), (3, 4)).any()


@pytest.mark.parametrize("points", [[[0, 4]], [[3, 0]], [[-1, 0]], [[0.5, 1.0]], [0, 1]])
def test_fixation_map_refuses_what_does_not_fit(points: list) -> None:
    with pytest.raises(ValueError, match="fixations: expected"):
        fixation_map(np.array(points), (3, 4))


def test_points_are_rounded_and_those_outside_are_counted() -> None:
    rows = [0.4, -0.4, -0.6, 9.4, 9.6, np.nan, 5]
    found = Gaze.from_points(rows, [1.0] * 7, (10, 20), observers=2)
    assert found.fixations.tolist() == [[0, 1], [0, 1], [9, 1], [5, 1]]
    assert (found.dropped, found.observers) == (3, 2)


@pytest.mark.parametrize(("sigma", "shape"), [(1.5, (30, 40)), (4, (37, 11)), (19, (60, 80))])
def test_blur_is_scipys_gaussian_with_nothing_outside(sigma: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.02, shape)
    counts[0, 0] = 3
    expected = ndimage.gaussian_filter(counts.astype(float), sigma, mode="constant", truncate=6)
    got = blur(counts, sigma)
    assert got.dtype == np.float32 and got.min() >= 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * expected.max())


def test_blur_refuses_bad_widths() -> None:
    for sigma in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive sigma"):
            blur(np.ones((3, 3)), sigma)


# ---- pictures -------------------------------------------------------------------------------------------------------
COLOURS = np.zeros((4, 6, 3), np.uint8)
COLOURS[:, :2], COLOURS[:, 2:4], COLOURS[:, 4:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "PA", "CMYK"])
def test_colours_come_out_as_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    image = Image.fromarray(COLOURS)
    (image.convert("P").convert("RGBA") if mode == "PA" else image.convert(mode)).save(path)
    assert read_rgb(path).tolist() == COLOURS.tolist()
    assert picture_size(path) == (4, 6)


def test_palette_with_transparency_is_read(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).convert("P")
    image.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    assert read_rgb(tmp_path / "a.png").tolist() == COLOURS.tolist()


def test_grey_of_8_and_16_bits(tmp_path: Path) -> None:
    ramp = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    Image.fromarray(ramp).save(tmp_path / "8.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "16.png")
    for name in ("8.png", "16.png"):
        assert read_rgb(tmp_path / name).tolist() == np.repeat(ramp[..., None], 3, axis=2).tolist(), name
    assert read_grey(tmp_path / "8.png").tolist() == ramp.tolist()
    assert read_grey(tmp_path / "16.png").tolist() == (ramp * 257.0).tolist()


def test_sixteen_bits_of_colour_become_eight_by_their_upper_byte(tmp_path: Path) -> None:
    low = np.random.default_rng(1).integers(0, 256, COLOURS.shape, np.uint16)
    cv2.imwrite(str(tmp_path / "16.png"), (COLOURS * np.uint16(256) + low)[..., ::-1])
    assert read_rgb(tmp_path / "16.png").tolist() == COLOURS.tolist()


def test_cmyk_of_a_jpeg_is_converted(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (200, 80, 30)).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert abs(read_rgb(tmp_path / "a.jpg").astype(int) - (200, 80, 30)).max() <= 3


def test_grey_maps_of_other_types(tmp_path: Path) -> None:
    values = np.linspace(0, 2, 24, dtype=np.float32).reshape(4, 6)
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert read_grey(tmp_path / "float.tif").tolist() == values.tolist()
    spread = np.repeat(np.arange(24, dtype=np.uint8).reshape(4, 6, 1), 3, axis=2)
    Image.fromarray(spread).save(tmp_path / "rgb.png")
    assert read_grey(tmp_path / "rgb.png").tolist() == spread[..., 0].tolist()
    Image.fromarray(np.concatenate([spread, 0 * spread[..., :1]], axis=2)).save(tmp_path / "rgba.png")
    assert read_grey(tmp_path / "rgba.png").tolist() == spread[..., 0].tolist()
    Image.fromarray(spread[..., 0] > 5).save(tmp_path / "bit.png")
    assert set(np.unique(read_grey(tmp_path / "bit.png"))) == {0, 255}
    Image.fromarray(values * np.nan).save(tmp_path / "nan.tif")
    with pytest.raises(UnusableFile, match="finite"):
        read_grey(tmp_path / "nan.tif")


def test_stored_pixels_count_not_the_exif_rotation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(COLOURS).save(path, exif=exif, quality=100, subsampling=0)
    assert picture_size(path) == (4, 6)
    assert read_rgb(path).shape == (4, 6, 3)
    assert abs(read_rgb(path).astype(int) - COLOURS).max() < 20
    assert has_rotation(path)


def test_names_outside_ascii(tmp_path: Path) -> None:
    path = tmp_path / "Žluťoučký 写真 .png"
    Image.fromarray(COLOURS).save(path)
    assert read_rgb(path).tolist() == COLOURS.tolist()


def test_truncation_is_an_error_whatever_other_packages_switched(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)  # as pyiqa does for its AVA set
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    for suffix in ("jpg", "png"):
        whole = tmp_path / f"whole.{suffix}"
        Image.fromarray(noise).save(whole)
        broken = tmp_path / f"broken.{suffix}"
        broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(UnusableFile, match="truncated"):
            read_rgb(broken)


# ---- sets -----------------------------------------------------------------------------------------------------------
def test_unknown_set_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PaperlibError, match="salicon, cat2000, osie, eyecrowd, own"):
        open_gaze("mit300", tmp_path)


def test_take_is_seeded_and_in_order(own: GazeSet) -> None:
    keys = [record.key for record in own.records]
    first, second = own.take(3, 0), own.take(3, 1)
    assert [record.key for record in first.records] == [record.key for record in own.take(3, 0).records]
    assert len(first) == 3 and keys.index(first.records[0].key) < keys.index(first.records[2].key)
    assert first.records != second.records
    assert own.take(99, 0) is own
    with pytest.raises(ValueError, match="at least 1"):
        own.take(0, 0)


def test_records_travel_between_processes(own: GazeSet) -> None:
    record = own.records[0]
    copy = pickle.loads(pickle.dumps(record))
    assert copy == record and hash(copy) == hash(record)
    np.testing.assert_array_equal(copy.load_density(), record.load_density())
    assert len(pickle.dumps(record)) < 5000
    error = pickle.loads(pickle.dumps(UnusableFile("a/b.png", "bad")))
    assert isinstance(error, UnusableFile) and error.reason == "bad"


def test_fingerprint_knows_content_and_settings_but_no_places(tmp_path: Path, own: GazeSet) -> None:
    elsewhere = write_own(tmp_path / "moved", 7, 3)
    assert open_gaze("own", elsewhere).fingerprint == own.fingerprint
    assert len(own.fingerprint) == 16 and int(own.fingerprint, 16) >= 0
    others = [
        open_gaze("own", elsewhere, sigma_px=10),
        own.take(6, 0),
        replace(own, name="salicon"),
        open_gaze("own", write_own(tmp_path / "other", 7, 4)),
    ]
    table = elsewhere / "fixations.csv"
    text = table.read_text().splitlines()
    text[1] = text[1].replace(text[1].split(",")[3], "123.4", 1)
    table.write_text("\n".join(text) + "\n")
    others.append(open_gaze("own", elsewhere))
    assert len({own.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_statistics(own: GazeSet) -> None:
    assert own.n_bytes == sum(record.image.stat().st_size for record in own.records)
    seen: list[str] = []

    def progress(records):
        for record in records:
            seen.append(record.key)
            yield record

    statistics = check(own, progress)
    assert seen == [record.key for record in own.records]
    assert statistics.fixations == sum(len(record.load_fixations()) for record in own.records) == 7 * 15 * 9
    assert statistics.observers == 15 and statistics.dropped == 0 and statistics.without_fixations == 0
    maps = [record.load_density() for record in own.records]
    assert statistics.density_mean == pytest.approx(np.mean([(one / one.max()).mean() for one in maps]), rel=1e-5)
    assert statistics.density_sd == pytest.approx(np.mean([(one / one.max()).std() for one in maps]), rel=1e-5)
    assert 0 < statistics.density_support < 1


def test_a_set_needs_records_with_unique_keys(own: GazeSet) -> None:
    for records in ((), own.records[:1] * 2):
        with pytest.raises(ValueError, match="unique keys"):
            replace(own, records=records)


def one_point(tmp_path: Path, totals: tuple[tuple[str, int], ...], edition: str) -> GazeSet:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    looks = Gaze(np.array([[1, 2], [1, 2]]), 1, 1)
    record = PointRecord("a.png", path, (4, 6), (path.stat().st_size,), looks, 1.0)
    return GazeSet("salicon", (record,), edition=edition, known_totals=totals)


def test_a_whole_set_tells_its_edition_by_the_number_of_fixations(tmp_path: Path) -> None:
    totals = (("2015", 2), ("2017", 3))
    for edition, known in (("2017", totals), ("unknown", totals), ("2015", (("2015", 7),)), ("2015", ())):
        assert check(one_point(tmp_path, known, edition)).fixations == 2
    with pytest.raises(PaperlibError, match="those of edition 2017, edition 2015 was asked for and has 2"):
        check(one_point(tmp_path, totals, "2015"))


def test_listing_names_three() -> None:
    assert listing("ab") == "a, b"
    assert listing("abc") == "a, b, c"
    assert listing("abcde") == "a, b, c and 2 more"
