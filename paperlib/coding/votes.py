"""Pairwise votes and the scores that come out of them (Section III-D).

Who is shown which pairs, how a *simulated* assessor answers, whom the verification pairs exclude, and the
Bradley-Terry scores of the remaining votes, with the conventions of the authors' lab (repository
msu-video-group/Subjectify): a tie counts half a win for each side, 0.1 virtual wins stand in every ordered pair, and
the worst version of each picture has the score 0.

The simulated assessors are a model, not people. An assessor looks at a few points of a picture and compares the
damage seen there. Damage is Watson's visibility model of the 8x8 DCT, so that neither a squared error nor a structural
similarity nor any other metric of Table III decides the votes.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

LEFT, TIE, RIGHT = 1, 0, -1
VIRTUAL_WINS = 0.1
BLOCK = 8

_WATSON_THRESHOLDS = np.array(
    [
        [1.40, 1.01, 1.16, 1.66, 2.40, 3.43, 4.79, 6.56],
        [1.01, 1.45, 1.32, 1.52, 2.00, 2.71, 3.67, 4.93],
        [1.16, 1.32, 2.24, 2.59, 2.98, 3.64, 4.60, 5.88],
        [1.66, 1.52, 2.59, 3.77, 4.55, 5.30, 6.28, 7.60],
        [2.40, 2.00, 2.98, 4.55, 6.15, 7.46, 8.71, 10.17],
        [3.43, 2.71, 3.64, 5.30, 7.46, 9.62, 11.58, 13.51],
        [4.79, 3.67, 4.60, 6.28, 8.71, 11.58, 14.50, 17.29],
        [6.56, 4.93, 5.88, 7.60, 10.17, 13.51, 17.29, 21.15],
    ]
)
_WATSON_LUMINANCE_EXPONENT, _WATSON_MASKING_EXPONENT, _WATSON_POOLING_EXPONENT = 0.649, 0.7, 4.0
_MID_GREY, _BLACK = 128.0, 16.0
_FOVEA = 16.0  # standard deviation of what is seen at a point, in pixels
_LONGEST_STEP, _STEP_TOLERANCE, _MOST_STEPS = 2.0, 1e-8, 100


class ConnectivityWarning(UserWarning):
    """Some versions were never compared with the others, not even through third ones."""


RANDOM_PAIRS, VERIFICATION_PAIRS = 25, 3
"""Pairs that each of the paper's assessors saw (section III-D)."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Which pairs are shown to whom; all arrays are (n,) integers, one entry per pair, grouped by assessor.

    Attributes:
        assessor, image: indices.
        left, right: versions of that image.
        expected: `LEFT` or `RIGHT` for a verification pair, whose answer is known; 0 for a pair that counts.
    """

    assessor: np.ndarray
    image: np.ndarray
    left: np.ndarray
    right: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True)
class AssessorModel:
    """How a simulated assessor looks and judges.

    Attributes:
        fixations: points looked at per pair, the same points in both versions.
        noise: standard deviation of a judgement, in units of log2(1 + damage), of the median assessor.
        noise_spread: standard deviation over assessors of the natural logarithm of their noise.
        tie: differences below this are called "almost the same"; same unit as `noise`.
        inattentive: share of assessors who answer at random.

    Raises:
        ValueError: a value out of range.
    """

    fixations: int = 6
    noise: float = 0.2
    noise_spread: float = 0.3
    tie: float = 0.1
    inattentive: float = 0.05

    def __post_init__(self) -> None:
        if self.fixations < 1 or min(self.noise, self.noise_spread, self.tie) < 0:
            raise ValueError(f"expected fixations >= 1 and no negative noise or tie, got {self}")
        if not 0 <= self.inattentive <= 1:
            raise ValueError(f"inattentive must be a share in [0, 1], got {self.inattentive}")


@dataclass(frozen=True, eq=False)
class BradleyTerry:
    """Scores of G groups of n versions.

    Attributes:
        scores: (G, n) float64, natural logarithm of the odds; the worst version of each group is 0.
        standard_errors: (G, n) of `scores`, as differences to the worst version, whose own entry is 0.
    """

    scores: np.ndarray
    standard_errors: np.ndarray


def schedule(
    assessors: int,
    images: int,
    versions: int,
    rng: np.random.Generator,
    random_pairs: int = RANDOM_PAIRS,
    verification_pairs: int = VERIFICATION_PAIRS,
    obvious: tuple[int, int] | None = None,
) -> Schedule:
    """Draw the pairs of a study: both versions of a pair show the same image, no assessor sees a pair twice.

    Args:
        assessors, images, versions: counts; at least 1, 1 and 2.
        rng: source of randomness.
        random_pairs: pairs that count, per assessor; at most images x versions (versions - 1) / 2.
        verification_pairs: pairs with a known answer, per assessor, each of another image; at most `images`.
        obvious: (better, worse) versions shown as verification pair; may name a version beyond `versions`, such as the
            undamaged original. Needed with `verification_pairs` > 0.

    Returns:
        The schedule: per assessor the verification pairs, then the random pairs. Sides are random.

    Raises:
        ValueError: a count out of range, or `obvious` missing.
    """
    first, second = np.triu_indices(versions, 1)
    if assessors < 1 or images < 1 or versions < 2:
        raise ValueError(f"expected >= 1 assessor, >= 1 image, >= 2 versions, got {assessors}, {images}, {versions}")
    if not 0 <= random_pairs <= images * len(first):
        raise ValueError(f"random_pairs must lie in [0, {images * len(first)}] (all pairs), got {random_pairs}")
    if not 0 <= verification_pairs <= images:
        raise ValueError(f"verification_pairs must lie in [0, {images}] (one per image), got {verification_pairs}")
    if verification_pairs and obvious is None:
        raise ValueError("verification pairs need `obvious`, the versions (better, worse) that they show")
    better, worse = obvious or (0, 0)
    drawn, checked = (  # (assessors, count) places, different within each row
        np.argsort(rng.random((assessors, places)), axis=1)[:, :count]
        for places, count in ((images * len(first), random_pairs), (images, verification_pairs))
    )
    pair = drawn % len(first)
    image = np.concatenate([checked, drawn // len(first)], axis=1)
    left = np.concatenate([np.full_like(checked, better), first[pair]], axis=1)
    right = np.concatenate([np.full_like(checked, worse), second[pair]], axis=1)
    expected = np.concatenate([np.full_like(checked, LEFT), np.zeros_like(drawn)], axis=1)
    swap = rng.random(image.shape) < 0.5
    return Schedule(
        assessor=np.repeat(np.arange(assessors), image.shape[1]),
        image=image.ravel(),
        left=np.where(swap, right, left).ravel(),
        right=np.where(swap, left, right).ravel(),
        expected=np.where(swap, -expected, expected).ravel(),
    )


def watson_damage(distorted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Visible damage per 8x8 block, in just noticeable differences (Watson, "DCTune", SID Digest 1993).

    DCT errors of the luma are divided by visibility thresholds, which rise with the block's luminance (exponent .649)
    and with the reference coefficient itself (contrast masking, exponent .7), and pooled over frequencies with
    exponent 4. Chroma is ignored.

    Args:
        distorted, reference: (H, W, 3) uint8 RGB; H and W multiples of 8.

    Returns:
        (H/8, W/8) float64, >= 0; 0 where the block's luma is intact.

    Raises:
        ValueError: shapes or types differ from these.
    """
    for name, image in (("distorted", distorted), ("reference", reference)):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or any(s % BLOCK for s in image.shape[:2]):
            raise ValueError(
                f"{name} must be (H, W, 3) uint8 with sides that are multiples of {BLOCK}, got {image.shape} {image.dtype}"
            )
    if distorted.shape != reference.shape:
        raise ValueError(f"both pictures must have the same size, got {distorted.shape} and {reference.shape}")
    coefficients, error = _block_dct(_luma(reference)), _block_dct(_luma(distorted) - _luma(reference))
    luminance = np.maximum(coefficients[..., :1, :1] / BLOCK, _BLACK) / _MID_GREY
    thresholds = _WATSON_THRESHOLDS * luminance**_WATSON_LUMINANCE_EXPONENT
    exponent = _WATSON_MASKING_EXPONENT
    masked = np.maximum(thresholds, np.abs(coefficients) ** exponent * thresholds ** (1 - exponent))
    masked[..., 0, 0] = thresholds[..., 0, 0]
    visible = np.abs(error) / masked
    return (visible**_WATSON_POOLING_EXPONENT).sum(axis=(2, 3)) ** (1 / _WATSON_POOLING_EXPONENT)


def _luma(image: np.ndarray) -> np.ndarray:
    return image @ np.array([0.299, 0.587, 0.114])


def _block_dct(plane: np.ndarray) -> np.ndarray:
    """(H/8, W/8, 8, 8) orthonormal DCT coefficients."""
    height, width = plane.shape
    blocks = plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(0, 2, 1, 3)
    return fft.dctn(blocks, axes=(2, 3), norm="ortho")


def foveal_response(damage: np.ndarray) -> np.ndarray:
    """What is felt at each point of a picture: log2(1 + damage), the damage pooled over a Gaussian fovea with exponent 4.

    The logarithm is Weber's law: two strong damages differ by their ratio.

    Args:
        damage: (..., h, w) damage per 8x8 block, >= 0.

    Returns:
        (..., h, w) float64.

    Raises:
        ValueError: fewer than two dimensions, or negative damage.
    """
    damage = np.asarray(damage, dtype=np.float64)
    if damage.ndim < 2 or damage.min() < 0:
        raise ValueError(f"expected damage (..., h, w) >= 0, got shape {damage.shape}")
    sigma = (0,) * (damage.ndim - 2) + (_FOVEA / BLOCK,) * 2
    pooled = ndimage.gaussian_filter(damage**_WATSON_POOLING_EXPONENT, sigma, mode="nearest")
    return np.log2(1 + np.maximum(pooled, 0) ** (1 / _WATSON_POOLING_EXPONENT))


def simulate(
    plan: Schedule,
    responses: Sequence[np.ndarray],
    gaze: Sequence[np.ndarray],
    rng: np.random.Generator,
    model: AssessorModel = AssessorModel(),
) -> np.ndarray:
    """Answers of simulated assessors.

    For every pair an assessor draws `model.fixations` points from the gaze density, compares the mean response there,
    with noise of their own size, and says "almost the same" below the tie threshold. Inattentive assessors answer at
    random.

    Args:
        plan: the pairs.
        responses: per image (versions, h, w), see `foveal_response`; higher means worse.
        gaze: per image (h, w), non-negative, not all zero; need not sum to 1.
        rng: source of randomness.
        model: the assessors.

    Returns:
        (n,) int8 of `LEFT`, `TIE`, `RIGHT`: the preferred side.

    Raises:
        ValueError: number or shapes of `responses` and `gaze` do not fit the schedule.
    """
    if len(responses) != len(gaze) or len(gaze) <= plan.image.max():
        raise ValueError(
            f"expected responses and gaze for {plan.image.max() + 1} images, got {len(responses)} and {len(gaze)}"
        )
    assessors = int(plan.assessor.max()) + 1
    noise = model.noise * np.exp(model.noise_spread * rng.standard_normal(assessors))
    difference = np.empty(len(plan.image))
    for index, (response, density) in enumerate(zip(responses, gaze, strict=True)):
        shown = np.flatnonzero(plan.image == index)
        last_version = max(plan.left[shown].max(initial=0), plan.right[shown].max(initial=0))
        if response.ndim != 3 or response.shape[1:] != density.shape or len(response) <= last_version:
            raise ValueError(
                f"expected responses (versions, {', '.join(map(str, density.shape))}) with more than {last_version} "
                f"versions, got {response.shape}"
            )
        flat = response.reshape(len(response), -1)
        points = _draw(density, (len(shown), model.fixations), rng)
        gap = flat[plan.right[shown, None], points] - flat[plan.left[shown, None], points]
        difference[shown] = gap.mean(axis=1)
    difference += noise[plan.assessor] * rng.standard_normal(len(difference))
    choice = np.where(np.abs(difference) < model.tie, TIE, np.where(difference > 0, LEFT, RIGHT)).astype(np.int8)
    careless = (rng.random(assessors) < model.inattentive)[plan.assessor]
    guesses = rng.integers(-1, 2, size=len(choice), dtype=np.int8)
    return np.where(careless, guesses, choice)


def _draw(density: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Flat indices drawn in proportion to `density`."""
    cumulative = np.cumsum(density.ravel(), dtype=np.float64)
    if not cumulative[-1] > 0 or density.min() < 0:
        raise ValueError("gaze must be non-negative and not all zero")
    return np.searchsorted(cumulative, rng.random(shape) * cumulative[-1], side="right")


def attentive(plan: Schedule, choice: np.ndarray) -> np.ndarray:
    """(assessors,) bool: who passes the exclusion rule, with answers (n,): every verification pair answered as expected;
    "almost the same" is a failure."""
    wrong = (plan.expected != 0) & (choice != plan.expected)
    return np.bincount(plan.assessor, weights=wrong) == 0


def counted(plan: Schedule, choice: np.ndarray) -> np.ndarray:
    """(n,) bool: votes that enter the scores, those of attentive assessors on pairs that are no verification."""
    return attentive(plan, choice)[plan.assessor] & (plan.expected == 0)


def count_wins(
    image: np.ndarray, left: np.ndarray, right: np.ndarray, choice: np.ndarray, images: int, versions: int
) -> np.ndarray:
    """Wins per ordered pair; a tie is half a win for each side.

    Args:
        image, left, right: (n,) integer indices.
        choice: (n,) of `LEFT`, `TIE`, `RIGHT`.
        images, versions: counts.

    Returns:
        (images, versions, versions) float64; [g, i, j] is how often i was preferred to j.

    Raises:
        ValueError: lengths differ, an index is out of range, a version meets itself, or another choice.
    """
    image, left, right, choice = (np.asarray(column) for column in (image, left, right, choice))
    if not image.shape == left.shape == right.shape == choice.shape or image.ndim != 1:
        raise ValueError("image, left, right and choice must be vectors of one length")
    lowest = min(column.min(initial=0) for column in (image, left, right))
    if lowest < 0 or image.max(initial=-1) >= images or max(left.max(initial=-1), right.max(initial=-1)) >= versions:
        raise ValueError(f"image must lie in [0, {images}) and left and right in [0, {versions})")
    if np.any(left == right) or np.any(np.abs(choice) > 1):
        raise ValueError("left and right must be different versions and choice one of LEFT = 1, TIE = 0, RIGHT = -1")
    half_wins = (choice + 1).astype(np.float64)
    cell = (image * versions + left) * versions + right
    mirrored = (image * versions + right) * versions + left
    size = images * versions * versions
    wins = np.bincount(cell, half_wins, size) + np.bincount(mirrored, 2 - half_wins, size)
    return 0.5 * wins.reshape(images, versions, versions)


def bradley_terry(wins: np.ndarray, virtual_wins: float = VIRTUAL_WINS) -> BradleyTerry:
    """Maximum likelihood scores of the Bradley-Terry model, all groups at once by Newton's method.

    P(i preferred to j) = 1 / (1 + exp(score_j - score_i)).

    Args:
        wins: (G, n, n) wins of row over column, >= 0, fractions allowed; the diagonal is ignored.
        virtual_wins: added to every ordered pair, >= 0; keeps scores finite and pulls them together.

    Raises:
        ValueError: wrong shape or negative wins; or, without virtual wins, a group in which some versions never lost
            against the others, so that no finite maximum exists.

    Warns:
        ConnectivityWarning: in some group the versions fall into parts that were never compared.
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim != 3 or wins.shape[1] != wins.shape[2] or wins.shape[1] < 2:
        raise ValueError(f"wins must be (groups, n, n) with n >= 2, got {wins.shape}")
    if not np.isfinite(wins).all() or wins.min(initial=0) < 0 or virtual_wins < 0:
        raise ValueError("wins and virtual_wins must be finite and not negative")
    size = wins.shape[1]
    apart = ~np.eye(size, dtype=bool)
    _check_connected(wins * apart, virtual_wins)
    wins = (wins + virtual_wins) * apart
    trials, won = wins + wins.transpose(0, 2, 1), wins @ np.ones(size)
    scores, information = _newton(trials, won)
    covariance = np.linalg.inv(information)
    worst = scores.argmin(axis=1)
    groups = np.arange(len(scores))
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    squared = variance + variance[groups, worst][:, None] - 2 * covariance[groups, worst]
    return BradleyTerry(scores - scores[groups, worst][:, None], np.sqrt(np.maximum(squared, 0)))


def _newton(trials: np.ndarray, won: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the greatest likelihood, and the information before the last step.

    As Newton's steps shrink quadratically, the next one would be below the tolerance when the square of this one is.
    """
    scores = np.log(won / (trials @ np.ones(trials.shape[1]) - won))
    for _ in range(_MOST_STEPS):
        expected, information = _moments(scores, trials)
        step = np.linalg.solve(information, (won - expected)[..., None])[..., 0]
        longest = np.abs(step).max(initial=0)
        if longest > _LONGEST_STEP:
            step /= np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True) / _LONGEST_STEP)
        scores += step
        if longest**2 <= _STEP_TOLERANCE:
            return scores, information
    raise ValueError(f"no convergence in {_MOST_STEPS} Newton steps; raise virtual_wins")


def _moments(scores: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected wins (G, n) and the information matrix (G, n, n), made regular along its free direction (1, ..., 1)."""
    chance = 1 / (1 + np.exp(scores[:, None, :] - scores[:, :, None]))
    weighted = trials * chance
    curvature = weighted * (1 - chance)
    information = 1.0 - curvature
    diagonal = np.arange(scores.shape[1])
    ones = np.ones(scores.shape[1])
    information[:, diagonal, diagonal] += curvature @ ones
    return weighted @ ones, information


def _check_connected(wins: np.ndarray, virtual_wins: float) -> None:
    if virtual_wins == 0:
        stuck = ~_reachable(wins > 0).all(axis=(1, 2))
        if stuck.any():
            raise ValueError(
                f"group {int(stuck.argmax())} has versions that never lost to (or never met) the others, so no finite "
                f"scores exist; use virtual_wins > 0"
            )
        return
    parted = ~_reachable((wins + wins.transpose(0, 2, 1)) > 0).all(axis=(1, 2))
    if parted.any():
        warnings.warn(
            f"{int(parted.sum())} of {len(wins)} groups (first: {int(parted.argmax())}) fall into parts that were "
            f"never compared; scores between the parts rest on the virtual wins alone",
            ConnectivityWarning,
            stacklevel=3,
        )


def _reachable(edges: np.ndarray) -> np.ndarray:
    """Transitive closure of batched boolean graphs."""
    size = edges.shape[1]
    reach = edges | np.eye(size, dtype=bool)
    for _ in range(int(np.ceil(np.log2(size)))):
        if reach.all():
            break
        paths = reach.astype(np.float32)
        reach = paths @ paths > 0
    return reach
