"""Pairs for training: picture and map stay together, the order can be entered anywhere, and caches change nothing."""

import hashlib
import shutil
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from paperlib.datasets.files import UnusableFile
from paperlib.datasets.opinions import OpinionRecord, OpinionSet
from paperlib.datasets.training_pairs import ProxyMaps, TrainingPairs, augmented, batch_plan
from paperlib.errors import PaperlibError

SIZE = (24, 32)
N = 7


def picture(index: int) -> np.ndarray:
    """(24, 32, 3): the place of each pixel in its first two channels, the picture's number in the third."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([rows, columns, np.full(SIZE, index)], axis=-1).astype(np.uint8)


@pytest.fixture
def opinions(tmp_path: Path) -> OpinionSet:
    folder = tmp_path / "pictures"
    folder.mkdir()
    records = []
    for index in range(N):
        path = folder / f"photo{index}.png"
        Image.fromarray(picture(index)).save(path)
        records.append(OpinionRecord(path.name, path, 10.0 * index, "training", SIZE, path.stat().st_size))
    return OpinionSet("own", tuple(records))


def maps_of(array: np.ndarray) -> ProxyMaps:
    return ProxyMaps(array.__getitem__, hashlib.sha256(array.tobytes()).hexdigest()[:16])


MAPS = np.stack([picture(index)[..., 1] * 7 + index for index in range(N)])


def pairs_of(opinions: OpinionSet, **changes) -> TrainingPairs:
    options = {"maps": maps_of(MAPS), "size": SIZE, "crop": (16, 20), "seed": 3} | changes
    return TrainingPairs(opinions, **options)


def same(one, two) -> bool:
    return one.keys == two.keys and all(
        np.array_equal(getattr(one, name), getattr(two, name)) for name in ("images", "saliency", "mos")
    )


def test_a_map_is_cut_and_mirrored_with_its_picture(opinions: OpinionSet) -> None:
    pairs = pairs_of(opinions)
    windows, mirrored = set(), set()
    for batch in islice(pairs.batches(3), 60):
        assert batch.images.shape == (3, 16, 20, 3) and batch.saliency.shape == (3, 16, 20)
        assert batch.images.dtype == batch.saliency.dtype == np.uint8
        for key, image, saliency, mos in zip(batch.keys, batch.images, batch.saliency, batch.mos, strict=True):
            index = int(key[5])
            assert (image[..., 2] == index).all() and mos == np.float32(index / 10)
            np.testing.assert_array_equal(saliency, image[..., 1] * 7 + index)
            steps = np.diff(image[..., 1].astype(int), axis=1)
            assert (np.diff(image[..., 0].astype(int), axis=0) == 1).all() and (steps == steps[0, 0]).all()
            mirrored.add(int(steps[0, 0]))
            windows.add((int(image[..., 0].min()), int(image[..., 1].min())))
    assert mirrored == {-1, 1}
    assert len(windows) > 60 and {row for row, _ in windows} == set(range(9)) and max(windows)[1] <= 12


def test_half_of_all_are_mirrored(opinions: OpinionSet) -> None:
    pairs = pairs_of(opinions, crop=None)
    images = [pairs.pair(epoch, index)[0] for epoch in range(60) for index in range(N)]
    share = np.mean([image[0, 0, 1] > image[0, -1, 1] for image in images])
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / (60 * N))


def test_every_epoch_takes_each_picture_once_in_another_order(opinions: OpinionSet) -> None:
    plan = [(epoch, tuple(indices)) for epoch, indices in islice(batch_plan(6, 2, 0), 30)]
    for epoch in range(10):
        own = [index for one, indices in plan if one == epoch for index in indices]
        assert sorted(own) == list(range(6))
    assert len({tuple(indices for one, indices in plan if one == epoch) for epoch in range(10)}) > 5
    assert [epoch for epoch, _ in islice(batch_plan(N, 3, 0), 4)] == [0, 0, 1, 1], "the incomplete batch is left out"


@pytest.mark.parametrize("first", [0, 1, 2, 5, 11])
@pytest.mark.parametrize("workers", [0, 3])
def test_entered_anywhere_with_any_workers_the_batches_are_the_same(opinions, first: int, workers: int) -> None:
    whole = list(islice(pairs_of(opinions).batches(3), 16))
    source = pairs_of(opinions).batches(3, first, workers)
    for expected, batch in zip(whole[first:], source, strict=False):
        assert same(expected, batch)
    source.close()


def test_another_seed_is_another_order_and_another_augmentation(opinions: OpinionSet) -> None:
    one, two = (list(islice(pairs_of(opinions, seed=seed).batches(N), 5)) for seed in (0, 1))
    assert [batch.keys for batch in one] != [batch.keys for batch in two]
    first, second = (pairs_of(opinions, seed=seed) for seed in (0, 1))
    assert any(not np.array_equal(first.pair(e, 0)[0], second.pair(e, 0)[0]) for e in range(5))
    assert any(not np.array_equal(first.pair(0, 0)[0], first.pair(e, 0)[0]) for e in range(1, 5))


def test_with_or_without_a_cache_or_room_for_it_the_batches_are_the_same(opinions, tmp_path: Path, monkeypatch) -> None:
    several = [pairs_of(opinions), pairs_of(opinions, cache=tmp_path / "kept", workers=2)]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    several += [pairs_of(opinions, cache=tmp_path / name) for name in ("kept", "full")]
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 2 and not list((tmp_path / "full").glob("*.npy"))
    for expected, *others in islice(zip(*(pairs.batches(2) for pairs in several), strict=True), 8):
        assert all(same(expected, other) for other in others)


def test_a_cache_on_disk_is_decoded_once_and_made_again_when_cut_or_changed(opinions, tmp_path, monkeypatch) -> None:
    decoded = []
    load = OpinionRecord.load_image
    monkeypatch.setattr(OpinionRecord, "load_image", lambda record: decoded.append(record.key) or load(record))
    expected = pairs_of(opinions, cache=tmp_path).batch(0, [0, 1])
    assert len(decoded) == N
    assert same(pairs_of(opinions, cache=tmp_path).batch(0, [0, 1]), expected) and len(decoded) == N
    (file,) = tmp_path.glob("pictures-*.npy")
    file.write_bytes(file.read_bytes()[:-1])
    (tmp_path / f".{file.name}.left.part").touch()
    assert same(pairs_of(opinions, cache=tmp_path).batch(0, [0, 1]), expected) and len(decoded) == 2 * N
    assert not list(tmp_path.glob(".*.part"))
    others = pairs_of(opinions, cache=tmp_path, maps=maps_of(MAPS // 2)).batch(0, [0, 1])
    assert len(decoded) == 2 * N, "other maps need no new pictures"
    assert not np.array_equal(others.saliency, expected.saliency)


def test_maps_and_pictures_of_other_sizes_are_brought_to_one(opinions: OpinionSet) -> None:
    ramp = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (6, 1))
    maps = ProxyMaps(lambda index: ramp, "ramp")
    pairs = pairs_of(opinions, maps=maps, size=(12, 16), crop=None)
    seen = (pairs.pair(epoch, 0) for epoch in range(20))
    image, saliency = next(planes for planes in seen if planes[0][0, 0, 1] < planes[0][0, -1, 1])
    assert image.shape == (12, 16, 3) and saliency.shape == (12, 16) and saliency.dtype == np.uint8
    assert (np.diff(saliency[0].astype(int)) >= 0).all() and (saliency[0, 0], saliency[0, -1]) == (0, 255)
    np.testing.assert_allclose(image[:, :, 1], np.broadcast_to(2 * np.arange(16) + 0.5, (12, 16)), atol=1)


def test_without_maps_there_is_no_saliency(opinions: OpinionSet) -> None:
    batch = pairs_of(opinions, maps=None).batch(0, [1])
    assert batch.saliency is None
    assert np.array_equal(batch.images, pairs_of(opinions).batch(0, [1]).images), "maps do not change the windows"


@pytest.mark.parametrize("workers", [0, 2])
def test_unusable_pictures_are_all_named_once(opinions: OpinionSet, tmp_path: Path, workers: int) -> None:
    for index in (2, 5):
        opinions.records[index].path.write_bytes(b"no picture")
    with pytest.raises(PaperlibError, match="2 of 7 .*photo2.png .*photo5.png"):
        pairs_of(opinions, cache=tmp_path / "cache", workers=workers)
    with pytest.raises(UnusableFile, match="photo2"):
        list(islice(pairs_of(opinions).batches(N, workers=workers), 1))


@pytest.mark.parametrize("values", [np.full(SIZE, np.nan), np.full(SIZE, 1.5), np.zeros((3, *SIZE)), np.full(SIZE, -1)])
def test_maps_out_of_range_are_refused(opinions: OpinionSet, values: np.ndarray) -> None:
    with pytest.raises(PaperlibError, match="proxy map of photo0.png"):
        pairs_of(opinions, maps=ProxyMaps(lambda index: values, "bad")).pair(0, 0)


def test_programming_errors(opinions: OpinionSet) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        pairs_of(opinions, crop=(25, 20))
    with pytest.raises(ValueError, match="one size"):
        augmented([np.zeros((4, 4)), np.zeros((4, 5))], None, np.random.default_rng(0))
    with pytest.raises(ValueError, match="one whole batch"):
        next(pairs_of(opinions).batches(N + 1))
