"""The micro-world: a small generative story in which the paper's question can be asked without any download.

A scene of occluding leaves, out of focus; one subject in focus (or two); one distortion whose level differs between the
subject and its surround; observers whose gaze has a known density; and mean opinion scores pooled from the damage where
the observers looked. It is a simulation: it tests the pipeline and teaches the mechanism; it is no evidence about people.

The story, number by number:

1. Scene: dead leaves (ellipses and boxes with power-law radii, after Lee, Mumford & Huang 2001), 1/f-like texture and a
   light gradient; defocused with a Gaussian of 0.4 to 2.2 px. Defocus is style and does not enter the MOS.
2. Subject: a shape with its own texture in two random colours, placed near the centre.
3. Distortion: one family per image. The levels at the subject and around it are a common level ~ Beta(1.2, 2) plus
   N(0, 0.25) each, clipped to [0, 1].
4. Gaze density: 0.8 on the smoothed, hole-free subject, `center_bias` on a central Gaussian, the rest uniform.
5. MOS: 15 observers make 6 fixations each; one observer's score is 1 - (mean local level at the fixations) + N(0, 0.1).
   `"saliency"` observers draw them from the gaze density, `"uniform"` observers from the whole picture: the control.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from paperlib.datasets.world_pictures import ImageSet
from paperlib.vocabulary import OBSERVERS

OBSERVERS_PER_IMAGE = 15
FIXATIONS_PER_OBSERVER = 6
OBSERVER_SD = 0.1
SUBJECT_SHARE_WITHOUT_CENTER = 0.92
SUBJECT_OF_REST = 0.8 / 0.88
LEVEL_BETA = (1.2, 2.0)
LEVEL_JITTER = 0.25
RADIUS = (0.22, 0.36)
DEFOCUS = (0.4, 2.2)
TEXTURE_PERIOD = (3.5, 6.0)
GAZE_SIGMA = 0.07
REFERENCE_HEIGHT = 64
CHUNK = 125
SCENES_PER_BANK = 60
STREAMS = {"scene": 0, "bank": 1, "damage": 2, "gaze": 3}
"""Random streams of a chunk: other distortions or other observers leave the scenes as they are."""

Field = np.ndarray


def _bar(u: Field, v: Field) -> Field:
    return np.maximum(np.minimum(0.95 - abs(u), 0.38 - abs(v)), np.minimum(0.95 - abs(v), 0.38 - abs(u)))


SHAPES: tuple[Callable[[Field, Field, Field, Field], Field], ...] = (
    lambda u, v, r, t: 1 - r,
    lambda u, v, r, t: 0.85 - np.maximum(abs(u), abs(v)),
    lambda u, v, r, t: np.minimum(0.55 - v, 0.65 + v * 0.5 - abs(u) * 0.95),
    lambda u, v, r, t: 0.72 + 0.28 * np.cos(5 * t) - r,
    lambda u, v, r, t: 0.3 - abs(r - 0.7),
    lambda u, v, r, t: _bar(u, v),
    lambda u, v, r, t: 0.85 - np.maximum(abs(u) * 0.87 + abs(v) * 0.5, abs(v)),
    lambda u, v, r, t: np.minimum(1 - r, np.hypot(u - 0.5, v) - 0.6),
    lambda u, v, r, t: 0.9 - (abs(u) ** 0.8 + abs(v) ** 0.8) ** 1.25,
    lambda u, v, r, t: 0.8 + 0.2 * np.cos(3 * t) - r,
    lambda u, v, r, t: np.minimum(1 - r, v + 0.25),
    lambda u, v, r, t: 0.75 + 0.18 * np.cos(8 * t) - r,
    lambda u, v, r, t: 0.55 - np.maximum(abs(u) * 0.55, abs(v)),
    lambda u, v, r, t: np.maximum(0.55 - np.hypot(u - 0.45, v), 0.55 - np.hypot(u + 0.45, v)),
)
"""Signed distance-like fields of the subjects in the unit disc: disc, square, triangle, star, ring, cross, hexagon,
crescent, astroid, clover; and four that only the shifted world has: half disc, gear, bar, pair of discs."""

TEXTURES: tuple[Callable[[Field, Field, Field], Field], ...] = (
    lambda a, b, p: np.sin(a + p),
    lambda a, b, p: np.sign(np.sin(a + p) * np.sin(b + p)),
    lambda a, b, p: np.where(np.sin(a) * np.sin(b) > 0.35, 1.0, -1.0),
    lambda a, b, p: np.sin(np.hypot(a, b) + p),
    lambda a, b, p: np.sign(np.sin(a + p) + np.sin(b * 0.5)),
    lambda a, b, p: np.maximum(np.sin(a), np.sin(b)) * 1.3 - 0.4,
    lambda a, b, p: np.sin(a + 2 * np.sin(0.4 * b)),
    lambda a, b, p: np.sign(np.sin(0.7 * (a + b))),
    lambda a, b, p: np.sin(a) * np.sin(0.35 * b + p) * 1.4,
    lambda a, b, p: np.sign(np.sin(0.5 * a)) * np.sin(1.2 * b),
    lambda a, b, p: np.sign(np.sin(b + p)),
    lambda a, b, p: np.sin(0.8 * a) * np.sin(0.8 * b + p) * 1.2,
    lambda a, b, p: np.sin(a * 0.8 - b * 0.8 + p),
    lambda a, b, p: np.sign(np.sin(0.6 * np.hypot(a, b) + p)),
)
"""Surface of each subject, from coordinates in texture periods (radians) and a phase."""

HOLLOW = {4: 0, 7: 0}
"""Shapes with a hole or a bay, and the filled shape that gaze falls on: people look at the whole object."""

FAMILIAR = tuple(range(10))
UNFAMILIAR = tuple(range(10, 14))


def _blur_family(image: Field, level: float, unit: float) -> Field:
    return cv2.GaussianBlur(image, (0, 0), (0.15 + 2.2 * level) * unit)


def _jpeg_family(image: Field, level: float, unit: float) -> Field:
    quality = int(round(np.exp(np.interp(level, [0, 1], [np.log(90), np.log(5)]))))
    _, code = cv2.imencode(".jpg", (image[..., ::-1] * 255 + 0.5).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1].astype(np.float32) / 255


def _contrast_family(image: Field, level: float, unit: float) -> Field:
    return 0.5 + (image - 0.5) * (1 - 0.9 * level)


LOCAL_FAMILIES: dict[str, Callable[[Field, float, float], Field]] = {
    "blur": _blur_family,
    "jpeg": _jpeg_family,
    "contrast": _contrast_family,
}
FAMILIES = ("noise", *LOCAL_FAMILIES)
NOISE_SD = 0.22


def generate(
    n: int,
    seed: int,
    *,
    height: int = 64,
    width: int = 96,
    center_bias: float = 0.12,
    families: tuple[str, ...] = ("blur", "noise"),
    categories: tuple[int, ...] = FAMILIAR,
    two_subjects: float = 0.0,
    level_beta: tuple[float, float] = LEVEL_BETA,
    level_jitter: float = LEVEL_JITTER,
    name: str = "world",
) -> ImageSet:
    """Draw `n` images of the micro-world; the same arguments give the same bytes.

    Images come in chunks that have their own random streams each, so the first images of a larger set are those of a
    smaller one (up to whole chunks of 125).

    Args:
        n: number of images, at least 1.
        seed: random seed, at least 0.
        height, width: image size in pixels, at least 32 each. Lengths of the story scale with `height` / 64.
        center_bias: share of gaze on the central Gaussian, 0 to 0.92.
        families: distortion families, of `FAMILIES`; each image takes one.
        categories: subjects that may appear, indices into `SHAPES`.
        two_subjects: share of images with two subjects, 0 to 1; the larger takes about two thirds of the gaze.
        level_beta: parameters of the Beta distribution of the common distortion level.
        level_jitter: standard deviation of the two levels around the common one.
        name: key of the resulting set.

    Raises:
        ValueError: an argument is outside its range.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"n={n}, seed={seed}: expected n of at least 1 and a seed of at least 0")
    story = _Story(height, width, center_bias, families, categories, two_subjects, level_beta, level_jitter)
    _check(story)
    starts = range(0, n, CHUNK)
    with ThreadPoolExecutor(2) as pool:
        chunks = list(pool.map(lambda start: _chunk(seed, start // CHUNK, min(CHUNK, n - start), story), starts))
    joined = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}
    mos = {who: joined.pop(f"mos.{who}") for who in OBSERVERS}
    return ImageSet(name=name, mos=mos, **joined)


class _Story(NamedTuple):
    """Arguments of `generate` that all chunks share."""

    height: int
    width: int
    center_bias: float
    families: tuple[str, ...]
    categories: tuple[int, ...]
    two_subjects: float
    level_beta: tuple[float, float]
    level_jitter: float


def _check(story: _Story) -> None:
    if story.height < 32 or story.width < 32:
        raise ValueError(f"size {story.height}x{story.width} is too small for a scene; expected at least 32x32")
    if not 0 <= story.center_bias <= SUBJECT_SHARE_WITHOUT_CENTER:
        raise ValueError(f"center_bias={story.center_bias}: expected a share from 0 to {SUBJECT_SHARE_WITHOUT_CENTER}")
    if not 0 <= story.two_subjects <= 1:
        raise ValueError(f"two_subjects={story.two_subjects}: expected a share from 0 to 1")
    unknown = [family for family in story.families if family not in FAMILIES]
    if unknown or not story.families:
        raise ValueError(f"unknown distortion families {unknown}; choose from: {', '.join(FAMILIES)}")
    if not story.categories or not all(0 <= index < len(SHAPES) for index in story.categories):
        raise ValueError(f"categories={story.categories}: expected indices from 0 to {len(SHAPES) - 1}")


@lru_cache(maxsize=64)
def _bank(seed: int, index: int, height: int, width: int) -> tuple[Field, ...]:
    """Dead-leaves scenes, larger than an image, from which chunks `4 * index` to `4 * index + 3` cut their backgrounds."""
    rng = np.random.default_rng([seed, index, STREAMS["bank"]])
    return tuple(_dead_leaves(rng, height * 5 // 2, width * 7 // 3) for _ in range(SCENES_PER_BANK))


def _dead_leaves(rng: np.random.Generator, height: int, width: int, leaves: int = 110) -> Field:
    unit = height / 160
    base = rng.uniform(0.15, 0.8, 3)
    image = np.empty((height, width, 3), np.float32)
    image[:] = base
    palette = np.clip(base + rng.normal(0, 0.22, (6, 3)), 0.03, 0.97)
    radii = np.minimum(np.sort(4 * (1 - rng.random(leaves)) ** (-1 / 1.6))[::-1], 70) * unit
    colours = np.clip(palette[rng.integers(6, size=leaves)] + rng.normal(0, 0.05, (leaves, 3)), 0, 1)
    centres = rng.random((leaves, 2)) * (width, height)
    flatness, angles, round_ = rng.uniform(0.4, 1, leaves), rng.uniform(0, 180, leaves), rng.random(leaves) < 0.6
    for radius, colour, (x, y), flat, angle, is_round in zip(
        radii, colours.tolist(), centres.astype(int).tolist(), flatness, angles.tolist(), round_, strict=True
    ):
        a, b = max(int(radius), 1), max(int(radius * flat), 1)
        if is_round:
            cv2.ellipse(image, (x, y), (a, b), angle, 0, 360, colour, -1, cv2.LINE_8)
        else:
            corners = cv2.boxPoints(((x, y), (2 * a, 2 * b), angle)).astype(np.int32)
            cv2.fillPoly(image, [corners], colour)
    octaves = [
        cv2.resize(rng.normal(0, 1, (max(height >> s, 2), max(width >> s, 2))).astype(np.float32), (width, height))
        * (1.0 if s else 0.6)
        for s in range(5)
    ]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    light = rng.normal(0, 0.12) * (rows / height - 0.5) + rng.normal(0, 0.08) * (columns / width - 0.5)
    return np.clip(image + (0.035 * rng.uniform(0.3, 1.2) * sum(octaves) + light)[..., None], 0, 1).astype(np.float32)


def _background(rng: np.random.Generator, bank: tuple[Field, ...], height: int, width: int) -> Field:
    scene = bank[rng.integers(len(bank))]
    zoom = rng.uniform(0.55, 1.0)
    crop_h, crop_w = int(height / zoom), int(width / zoom)
    top = rng.integers(scene.shape[0] - crop_h + 1)
    left = rng.integers(scene.shape[1] - crop_w + 1)
    image = cv2.resize(scene[top : top + crop_h, left : left + crop_w], (width, height), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    image = np.ascontiguousarray(image[..., rng.permutation(3)])
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(*DEFOCUS) * height / REFERENCE_HEIGHT)


def _two_colours(rng: np.random.Generator, n: int) -> tuple[Field, Field]:
    hue = rng.random(n)
    light = np.stack([hue, rng.uniform(0.45, 0.95, n), rng.uniform(0.65, 1.0, n)], -1)
    dark = np.stack([(hue + rng.uniform(0.2, 0.5, n)) % 1, rng.uniform(0.3, 0.9, n), rng.uniform(0.1, 0.45, n)], -1)
    return _rgb(light), _rgb(dark)


def _rgb(hsv: Field) -> Field:
    h, s, v = hsv[..., :1], hsv[..., 1:2], hsv[..., 2:]
    k = (np.array([5, 3, 1]) + h * 6) % 6
    return (v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)


def _subjects(
    rng: np.random.Generator, n: int, height: int, width: int, categories: tuple[int, ...], scale: float
) -> dict[str, Field]:
    """`n` subjects at once: `mask` and hole-free `gaze` mask (n, h, w), `surface` (n, h, w, 3), `category` (n,)."""
    category = rng.choice(np.asarray(categories), n)
    radius = rng.uniform(*RADIUS, n) * height * scale
    y = np.clip(rng.normal(0.5, 0.14, n), 0.18, 0.82) * height
    x = np.clip(rng.normal(0.5, 0.16, n), 0.14, 0.86) * width
    angle, aspect = rng.normal(0, 0.35, n), rng.uniform(0.85, 1.2, n)
    period = rng.uniform(*TEXTURE_PERIOD, n) * height / REFERENCE_HEIGHT
    phase, depth = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.7, 1.0, n)
    light, dark = _two_colours(rng, n)

    def column(values: np.ndarray) -> np.ndarray:
        return values[:, None, None].astype(np.float32)

    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = columns - column(x), rows - column(y)
    cos, sin = column(np.cos(angle)), column(np.sin(angle))
    a, b = (dx * cos + dy * sin) / column(aspect), (dy * cos - dx * sin) * column(aspect)
    u, v = a / column(radius), b / column(radius)
    r, theta = np.hypot(u, v), np.arctan2(v, u)
    wave = column(2 * np.pi / period)
    edge = column(radius / (0.45 * height / REFERENCE_HEIGHT))
    mask, gaze, texture = np.empty_like(r), np.empty_like(r), np.empty_like(r)
    for index in np.unique(category):
        own = category == index
        mask[own] = SHAPES[index](u[own], v[own], r[own], theta[own])
        filled = HOLLOW.get(int(index), int(index))
        gaze[own] = mask[own] if filled == index else SHAPES[filled](u[own], v[own], r[own], theta[own])
        texture[own] = TEXTURES[index](a[own] * wave[own], b[own] * wave[own], column(phase[own]))
    mix = (0.5 + 0.5 * np.clip(texture * column(depth), -1, 1))[..., None]
    surface = light[:, None, None] * mix + dark[:, None, None] * (1 - mix)
    return {"mask": _logistic(mask * edge), "gaze": _logistic(gaze * edge), "surface": surface, "category": category}


def _logistic(x: Field) -> Field:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def _chunk(seed: int, index: int, n: int, story: _Story) -> dict[str, np.ndarray]:
    height, width, center_bias, families, categories, two_subjects, level_beta, level_jitter = story
    rng, damaging, looking = (np.random.default_rng([seed, index, STREAMS[name]]) for name in ("scene", "damage", "gaze"))
    unit = height / REFERENCE_HEIGHT
    bank = _bank(seed, index // 4, height, width)
    subject = _subjects(rng, CHUNK, height, width, categories, 1.0)
    second = _subjects(rng, CHUNK, height, width, categories, 0.8)
    share = np.where(rng.random(CHUNK) < two_subjects, rng.uniform(0.25, 0.42, CHUNK), 0.0)
    family = np.asarray(families)[damaging.integers(len(families), size=CHUNK)]
    base = damaging.beta(*level_beta, CHUNK)
    levels = np.clip(base[:, None] + damaging.normal(0, level_jitter, (CHUNK, 2)), 0, 1).astype(np.float32)
    center = _center(height, width)

    out: dict[str, np.ndarray] = {
        "images": np.empty((n, height, width, 3), np.uint8),
        "subject": np.empty((n, height, width), np.uint8),
        "density": np.empty((n, height, width), np.float32),
        "fixations": np.empty((n, OBSERVERS_PER_IMAGE * FIXATIONS_PER_OBSERVER, 2), np.int16),
        **{f"mos.{who}": np.empty(n, np.float32) for who in OBSERVERS},
    }
    kernel = np.ones((3, 3), np.uint8)
    for i in range(n):
        image = _background(rng, bank, height, width)
        mask, gaze = subject["mask"][i], _gaze_mass(subject["gaze"][i], height)
        if share[i]:
            other = second["mask"][i]
            image += other[..., None] * (second["surface"][i] - image)
            gaze = (1 - share[i]) * gaze + share[i] * _gaze_mass(second["gaze"][i], height)
        image += mask[..., None] * (subject["surface"][i] - image)
        if share[i]:
            mask = np.maximum(mask, other)
        soft = np.clip(cv2.GaussianBlur(cv2.dilate(mask, kernel), (0, 0), 1.2 * unit), 0, 1)
        damage = levels[i, 1] + (levels[i, 0] - levels[i, 1]) * soft
        image = _distort(damaging, image, str(family[i]), levels[i], soft, damage, unit)
        density = center_bias * center + (1 - center_bias) * SUBJECT_OF_REST * gaze
        density += (1 - center_bias) * (1 - SUBJECT_OF_REST) / (height * width)
        seen, fixations = _opinions(looking, damage, density)
        out["images"][i] = np.clip(image, 0, 1) * 255 + 0.5
        out["subject"][i] = mask * 255 + 0.5
        out["density"][i], out["fixations"][i] = density, fixations
        for who in OBSERVERS:
            out[f"mos.{who}"][i] = seen[who]
    return out | {"levels": levels[:n], "family": family[:n], "category": subject["category"][:n].astype(np.int16)}


def _center(height: int, width: int) -> Field:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    bump = np.exp(-(((rows + 0.5) / height - 0.5) ** 2 + ((columns + 0.5) / width - 0.5) ** 2) / (2 * 0.2**2))
    return (bump / bump.sum()).astype(np.float32)


def _gaze_mass(mask: Field, height: int) -> Field:
    smooth = cv2.GaussianBlur(mask, (0, 0), GAZE_SIGMA * height)
    return smooth / smooth.sum()


def _distort(
    rng: np.random.Generator, image: Field, family: str, levels: Field, soft: Field, damage: Field, unit: float
) -> Field:
    if family == "noise":
        return image + rng.standard_normal(image.shape, np.float32) * (NOISE_SD * damage)[..., None]
    surround = LOCAL_FAMILIES[family](image, float(levels[1]), unit)
    return surround + soft[..., None] * (LOCAL_FAMILIES[family](image, float(levels[0]), unit) - surround)


def _opinions(rng: np.random.Generator, damage: Field, density: Field) -> tuple[dict[str, float], np.ndarray]:
    """Mean opinion score of each kind of observer, and the fixations (k, 2) of those who follow saliency."""
    shape = (OBSERVERS_PER_IMAGE, FIXATIONS_PER_OBSERVER)
    cumulative = np.cumsum(density, dtype=np.float64)
    looked = np.searchsorted(cumulative, rng.random(shape) * cumulative[-1]).clip(max=damage.size - 1)
    anywhere = rng.integers(damage.size, size=shape)
    seen = {}
    for who, places in zip(OBSERVERS, (looked, anywhere), strict=True):
        scores = 1 - damage.ravel()[places].mean(1) + rng.normal(0, OBSERVER_SD, OBSERVERS_PER_IMAGE)
        seen[who] = float(scores.mean())
    return seen, np.stack(np.divmod(looked.ravel(), damage.shape[1]), -1)
