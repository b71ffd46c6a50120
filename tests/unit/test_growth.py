"""Table I of own pictures takes work in proportion to their number, and once it is there a few results, however many."""

import csv
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from paperlib import profiles, regenerate
from paperlib.engine.store import ResultStore

FEW, MANY = 6, 24
SHARD = 2


def write_pictures(root, n):
    """`n` pictures of noise with three fixations each, and their grey versions as maps."""
    rng = np.random.default_rng(n)
    lines = [("image", "subject", "x", "y")]
    for folder in ("images", "saliency_grey"):
        (root / folder).mkdir()
    for index in range(n):
        picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        picture.save(root / "images" / f"{index}.png")
        picture.convert("L").save(root / "saliency_grey" / f"{index}.png")
        lines += [(f"{index}.png", subject, rng.integers(0, 32), rng.integers(0, 24)) for subject in range(3)]
    with (root / "fixations.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Of a number of pictures: what a first table takes, and one when all is stored."""
    done: Counter[str] = Counter()

    def counted(owner, name):
        original = getattr(owner, name)

        def count(*arguments, **options):
            done[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, count)

    counted(Image, "open")
    counted(ResultStore, "load")
    counted(ResultStore, "save")
    monkeypatch.setenv("PAPERLIB_WORKERS", "1")

    def of(n):
        root = tmp_path / str(n)
        root.mkdir()
        write_pictures(root, n)
        monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / f"results{n}"))
        profile = profiles.load("own", data_root=str(root), shard=SHARD, n_resamples=100)
        taken = []
        for _ in range(2):
            done.clear()
            regenerate.forget()
            regenerate.table(1, profile)
            taken.append(Counter(done))
        return taken

    return of


def test_work_grows_in_proportion_to_the_pictures(work):
    (few, few_again), (many, many_again) = work(FEW), work(MANY)
    times = MANY // FEW
    assert all(many[what] <= times * few[what] for what in ("open", "load", "save")), (few, many)
    assert many_again["load"] == few_again["load"] and not many_again["save"]
    assert many_again["open"] <= times * few_again["open"]
    assert many["save"] >= 4 * MANY // SHARD
