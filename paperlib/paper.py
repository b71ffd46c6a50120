"""Everything that the paper published, as data: Tables I-III, the claims, the errata, and one look for every method.

Kirillov, Moskalenko, Vatolin, "Bridging the Gap Between Saliency Prediction and Image Quality Assessment",
arXiv 2405.04997. Nothing here was computed by this companion: a number in this module is a published number.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CITATION = """\
@misc{kirillov2024bridging,
  title         = {Bridging the Gap Between Saliency Prediction and Image Quality Assessment},
  author        = {Kirillov, Alexey and Moskalenko, Andrey and Vatolin, Dmitriy},
  year          = {2024},
  eprint        = {2405.04997},
  archivePrefix = {arXiv}
}
"""


class PublishedRow(NamedTuple):
    """One row of a published table.

    Attributes:
        section: the table's "Type" column; empty in Table II, which has none.
        method: key of `METHODS`.
        label: the method's name as this table prints it, without the reference number.
        values: (dataset key, metric key) -> published value; cells that the paper leaves out are absent.
    """

    section: str
    method: str
    label: str
    values: Mapping[tuple[str, str], float]


class Method(NamedTuple):
    """How one method is called and drawn, the same in every table and figure.

    Attributes:
        key: the `method` of result rows.
        label: name for people.
        group: the paper's type where it has one; "Control" for what tests a claim; "Added, ..." for our further rows.
        colour: hexadecimal RGB from a palette that the colour-blind can tell apart.
        marker: Matplotlib marker; (colour, marker) is unique.
    """

    key: str
    label: str
    group: str
    colour: str
    marker: str


class Claim(NamedTuple):
    """A claim of the paper that the companion tests.

    Attributes:
        id: "C1" to "C4".
        section: section of the paper, and the table or figure that carries the claim.
        text: the paper's own words, at most 25.
        ours: what has to be true here for the claim to hold.
        notebook: file name in `notebooks/` where it is tested.
    """

    id: str
    section: str
    text: str
    ours: str
    notebook: str


class Erratum(NamedTuple):
    """A place where the paper's text disagrees with itself, with its data, or leaves out what a reader needs.

    Attributes:
        number: 1 to 25.
        where: section, table or figure.
        says: what the text says, in our words.
        finding: what we found.
        source: what the finding rests on.
    """

    number: int
    where: str
    says: str
    finding: str
    source: str


_SALIENCY = ("NSS", "SIM", "CC", "KLD")
_COLUMNS = {
    1: tuple(("salicon", metric) for metric in _SALIENCY),
    2: (("koniq10k", "SROCC"), ("koniq10k", "PLCC"), ("clive", "SROCC"), ("clive", "PLCC"))
    + tuple((dataset, metric) for dataset in ("salicon", "cat2000") for metric in _SALIENCY),
    3: (("sacid", "SROCC"), ("sacid", "PLCC"), ("sacid", "FracCP")),
}


def _row(table: int, section: str, method: str, label: str, printed: str) -> PublishedRow:
    """A row as the paper prints it: its numbers in the order of the columns, "-" where a cell has none."""
    cells = zip(_COLUMNS[table], printed.split(), strict=True)
    return PublishedRow(
        section, method, label, MappingProxyType({column: float(value) for column, value in cells if value != "-"})
    )


TABLE1: tuple[PublishedRow, ...] = (
    _row(1, "Dummy", "center_prior", "Center Prior", ".582 .534 .541 .784"),
    _row(1, "GradCAM from IQA", "baseline", "Baseline-EfficientNet", ".604 .584 .637 .700"),
    _row(1, "GradCAM from IQA", "baseline_resnet50", "Baseline-ResNet50", ".621 .555 .590 .782"),
    _row(1, "GradCAM from IQA", "topiq", "TOPIQ", ".597 .552 .572 .759"),
    _row(1, "GradCAM from IQA", "dbcnn", "DBCNN", ".579 .566 .590 .707"),
    _row(1, "GradCAM from IQA", "clipiqa_plus", "CLIP-IQA+", ".584 .550 .589 .741"),
    _row(1, "SOTA SP", "msinet", "MSINet", ".612 .767 .891 .252"),
    _row(1, "SOTA SP", "transalnet", "TranSalNet", ".613 .776 .903 .258"),
)

TABLE2: tuple[PublishedRow, ...] = (
    _row(2, "", "center_prior", "Center Prior", "- - - - .578 .536 .544 .779 .303 .599 .771 .672"),
    _row(2, "", "baseline", "Baseline", ".913 .931 .862 .848 .604 .584 .637 .700 .308 .613 .781 .585"),
    _row(2, "", "baseline_sal_loss", "Baseline-Sal-Loss", ".914 .930 .845 .839 .618 .688 .803 .429 .372 .665 .818 .433"),
    _row(
        2,
        "",
        "baseline_gradcam_loss",
        "Baseline-GradCAM-Loss",
        ".912 .931 .852 .840 .615 .703 .825 .396 .382 .676 .826 .403",
    ),
    _row(2, "", "msinet", "MSINet", "- - - - .612 .767 .891 .252 .370 .664 .820 .421"),
    _row(2, "", "transalnet", "TranSalNet", "- - - - .613 .776 .903 .258 .369 .670 .829 .407"),
)

TABLE3: tuple[PublishedRow, ...] = (
    _row(3, "NSS based", "ms_ssim", "MS-SSIM", ".807 .849 .507"),
    _row(3, "NSS based", "brisque", "BRISQUE", ".817 .833 .572"),
    _row(3, "NSS based", "psnr", "PSNR", ".822 .858 .505"),
    _row(3, "NSS based", "ssim", "SSIM", ".835 .880 .502"),
    _row(3, "NSS based", "vif", "VIF", ".848 .891 .526"),
    _row(3, "NSS based", "ew_ssim", "EW-SSIM", ".850 .867 .636"),
    _row(3, "NSS based", "ew_psnr", "EW-PSNR", ".875 .893 .678"),
    _row(3, "FR", "ahiq", "AHIQ", ".789 .817 .546"),
    _row(3, "FR", "lpips", "LPIPS", ".818 .854 .512"),
    _row(3, "FR", "pieapp", "PieAPP", ".833 .869 .535"),
    _row(3, "FR", "topiq_fr", "TOPIQ-FR", ".836 .848 .629"),
    _row(3, "FR", "dists", "DISTS", ".871 .904 .589"),
    _row(3, "NR", "maniqa", "MANIQA", ".752 .773 .564"),
    _row(3, "NR", "tres", "TReS", ".765 .800 .559"),
    _row(3, "NR", "hyperiqa", "HyperIQA", ".784 .802 .562"),
    _row(3, "NR", "sgdnet_none", "SGDNet-None", ".820 .853 .651"),
    _row(3, "NR", "paq2piq", "PaQ2PiQ", ".848 .858 .619"),
    _row(3, "NR", "sgdnet_output", "SGDNet-Output", ".854 .879 .687"),
    _row(3, "NR", "baseline_gradcam_loss", "Baseline-GradCAM-Loss", ".863 .865 .624"),
    _row(3, "NR", "clipiqa_plus", "CLIP-IQA+", ".869 .896 .598"),
    _row(3, "NR", "baseline", "Baseline", ".871 .881 .609"),
    _row(3, "NR", "topiq_nr", "TOPIQ-NR", ".876 .886 .629"),
    _row(3, "NR", "baseline_sal_loss", "Baseline-Sal-Loss", ".880 .886 .630"),
    _row(3, "NR", "musiq", "MUSIQ", ".888 .899 .662"),
    _row(3, "NR", "dbcnn", "DBCNN", ".901 .917 .666"),
)

TABLES: Mapping[int, tuple[PublishedRow, ...]] = MappingProxyType({1: TABLE1, 2: TABLE2, 3: TABLE3})


def _row_of(table: int, method: str) -> PublishedRow | None:
    if table not in TABLES:
        raise ValueError(f"expected table 1, 2 or 3, got {table!r}; use the number of one of the paper's tables")
    return next((row for row in TABLES[table] if row.method == method), None)


def published(table: int, method: str, dataset: str, metric: str) -> float | None:
    """The paper's number in one cell.

    Args:
        table: 1, 2 or 3.
        method: key of `METHODS`.
        dataset: "salicon", "cat2000", "koniq10k", "clive" or "sacid".
        metric: "NSS", "SIM", "CC", "KLD", "SROCC", "PLCC" or "FracCP"; the paper's NSS is the mean z-score over pixels
            with density > 0 (see erratum 7), so "NSS_fix" has no published value.

    Returns:
        The value as printed, or None where the paper has none.

    Raises:
        ValueError: `table` is not 1, 2 or 3.
    """
    row = _row_of(table, method)
    return None if row is None else row.values.get((dataset, metric))


def section(table: int, method: str) -> str:
    """The type under which `table` lists `method`; the method's own group where the paper has no type for it.

    Raises:
        ValueError: `table` is not 1, 2 or 3.
    """
    row = _row_of(table, method)
    return row.section if row is not None and row.section else look(method).group


# The eight colours are those of seaborn's "colorblind" palette that stay legible on white, and black.
_BLUE, _ORANGE, _GREEN, _RED = "#0173b2", "#de8f05", "#029e73", "#d55e00"
_PURPLE, _BROWN, _GREY, _SKY, _BLACK = "#cc78bc", "#ca9161", "#949494", "#56b4e9", "#000000"
_CONTROL = "Control"
_ADDED_FR, _ADDED_NR = "Added, FR", "Added, NR"

_METHODS = (
    Method("center_prior", "Center Prior", "Dummy", _BLACK, "X"),
    Method("baseline", "Baseline", "GradCAM from IQA", _BLUE, "o"),
    Method("baseline_resnet50", "Baseline-ResNet50", "GradCAM from IQA", _BLUE, "s"),
    Method("topiq", "TOPIQ", "GradCAM from IQA", _BLUE, "^"),
    Method("dbcnn", "DBCNN", "GradCAM from IQA", _BLUE, "v"),
    Method("clipiqa_plus", "CLIP-IQA+", "GradCAM from IQA", _BLUE, "D"),
    Method("baseline_sal_loss", "Baseline-Sal-Loss", "Dual task", _GREEN, "o"),
    Method("baseline_gradcam_loss", "Baseline-GradCAM-Loss", "Dual task", _RED, "o"),
    Method("baseline_sal_loss_resnet50", "Baseline-ResNet50-Sal-Loss", "Dual task", _GREEN, "^"),
    Method("baseline_gradcam_loss_resnet50", "Baseline-ResNet50-GradCAM-Loss", "Dual task", _RED, "^"),
    Method("msinet", "MSINet", "SOTA SP", _PURPLE, "s"),
    Method("transalnet", "TranSalNet", "SOTA SP", _PURPLE, "D"),
    Method("transalnet_res", "TranSalNet-Res", "SOTA SP", _PURPLE, "^"),
    Method("fastgaze", "FastGaze", "SOTA SP", _PURPLE, "v"),
    Method("saliency_net", "Saliency net", "Supervised SP", _PURPLE, "o"),
    Method("ms_ssim", "MS-SSIM", "NSS based", _SKY, "^"),
    Method("brisque", "BRISQUE", "NSS based", _SKY, "v"),
    Method("psnr", "PSNR", "NSS based", _SKY, "o"),
    Method("ssim", "SSIM", "NSS based", _SKY, "s"),
    Method("vif", "VIF", "NSS based", _SKY, "D"),
    Method("ew_ssim", "EW-SSIM", "NSS based", _GREEN, "s"),
    Method("ew_psnr", "EW-PSNR", "NSS based", _GREEN, "D"),
    Method("ahiq", "AHIQ", "FR", _BROWN, "o"),
    Method("lpips", "LPIPS", "FR", _BROWN, "s"),
    Method("pieapp", "PieAPP", "FR", _BROWN, "^"),
    Method("topiq_fr", "TOPIQ-FR", "FR", _BROWN, "v"),
    Method("dists", "DISTS", "FR", _BROWN, "D"),
    Method("maniqa", "MANIQA", "NR", _ORANGE, "o"),
    Method("tres", "TReS", "NR", _ORANGE, "s"),
    Method("hyperiqa", "HyperIQA", "NR", _ORANGE, "^"),
    Method("sgdnet_none", "SGDNet-None", "NR", _ORANGE, "v"),
    Method("sgdnet_output", "SGDNet-Output", "NR", _ORANGE, "D"),
    Method("paq2piq", "PaQ2PiQ", "NR", _ORANGE, "P"),
    Method("topiq_nr", "TOPIQ-NR", "NR", _ORANGE, "<"),
    Method("musiq", "MUSIQ", "NR", _ORANGE, ">"),
    Method("gmsd", "GMSD", _ADDED_FR, _SKY, "P"),
    Method("fsim", "FSIM", _ADDED_FR, _SKY, "<"),
    Method("vsi", "VSI", _ADDED_FR, _SKY, ">"),
    Method("nlpd", "NLPD", _ADDED_FR, _SKY, "p"),
    Method("piqe", "PIQE", _ADDED_NR, _SKY, "h"),
    Method("noise_map", "Noise map", _CONTROL, _GREY, "o"),
    Method("shuffled_map", "Shuffled map", _CONTROL, _GREY, "s"),
    Method("pretrained_activation", "Pretrained activations", _CONTROL, _GREY, "^"),
    Method("pretrained_norm", "Pretrained, norm of features", _CONTROL, _GREY, "2"),
    Method("random_head", "Pretrained, random head", _CONTROL, _GREY, "<"),
    Method("center_only", "Centre only", _CONTROL, _GREY, ">"),
    Method("edge_energy", "Edge energy", _CONTROL, _GREY, "p"),
    Method("frozen_backbone", "Frozen backbone + head", _CONTROL, _GREY, "v"),
    Method("uniform_observers", "Baseline, uniform observers", _CONTROL, _GREY, "D"),
    Method("baseline_centered", "Baseline, MOS centred", _CONTROL, _GREY, "P"),
    Method("unpretrained", "Baseline, not pretrained", _CONTROL, _GREY, "X"),
    Method("bitrate_only", "Bit-rate alone", _CONTROL, _BLACK, "o"),
    Method("preset_order", "Fixed preset order", _CONTROL, _BLACK, "s"),
    Method("ew_psnr_center", "EW-PSNR, centre prior", _CONTROL, _BROWN, "<"),
    Method("ew_psnr_shuffled", "EW-PSNR, shuffled map", _CONTROL, _BROWN, ">"),
    Method("ew_psnr_gaze", "EW-PSNR, true gaze", _CONTROL, _BROWN, "p"),
    Method("ew_ssim_center", "EW-SSIM, centre prior", _CONTROL, _GREY, "h"),
    Method("ew_ssim_shuffled", "EW-SSIM, shuffled map", _CONTROL, _GREY, "d"),
    Method("ew_ssim_gaze", "EW-SSIM, true gaze", _CONTROL, _GREY, "*"),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.key: method for method in _METHODS})


def look(method: str) -> Method:
    """Name and look of a method; one that the registry does not know is called by its key and drawn in black.

    A user's own model takes this way, so that tables and figures need no registration.
    """
    return METHODS.get(method) or Method(method, method, "Own", _BLACK, "P")


DATASETS: Mapping[str, str] = MappingProxyType(
    {
        "salicon": "SALICON",
        "cat2000": "CAT2000",
        "koniq10k": "KonIQ-10k",
        "clive": "CLIVE",
        "sacid": "SACID",
        "biq2021": "BIQ2021",
        "osie": "OSIE",
        "eyecrowd": "EyeCrowd",
        "own": "Own data",
        "world": "Micro-world",
        "world_uniform": "Micro-world, uniform observers",
        "world_shifted": "Micro-world, shifted",
        "photographs": "Photographs",
        "photographs_uniform": "Photographs, uniform observers",
    }
)


CLAIMS: Mapping[str, Claim] = MappingProxyType(
    {
        "C1": Claim(
            "C1",
            "III-A, Table I",
            "GradCAM-extracted saliency maps from IQA models outperform center-prior baseline, but are surpassed by "
            "SOTA saliency prediction methods.",
            "The GradCAM map of an IQA network beats the centre prior in CC and in KLD, and a network trained on gaze "
            "beats both. The controls beside it show how much of that any map would reach.",
            "03a_extracting_saliency.ipynb",
        ),
        "C2": Claim(
            "C2",
            "III-B, Fig. 2",
            "Masking important areas (MoRF) decreases image quality more than masking trivial areas (LeRF). The same "
            "observation holds for GradCAM.",
            "The SROCC of the network on masked images is higher with LeRF than with MoRF at every masked fraction, "
            "for saliency and for GradCAM maps.",
            "03b_saliency_masking.ipynb",
        ),
        "C3": Claim(
            "C3",
            "III-C, Table II",
            "These approaches maintain the performance of IQA models while significantly improving the results for SP.",
            "Training on quality and saliency together changes SROCC by at most 0.02 and raises CC by at least 0.1, "
            "for Baseline-Sal-Loss and for Baseline-GradCAM-Loss.",
            "03c_dual_task_training.ipynb",
        ),
        "C4": Claim(
            "C4",
            "III-D, Table III",
            "Notably, salient versions of PSNR and SSIM remarkably outperformed the originals.",
            "On images coded with saliency-driven bit allocation, EW-PSNR exceeds PSNR and EW-SSIM exceeds SSIM in FracCP.",
            "03d_nonuniform_compression.ipynb",
        ),
    }
)


_WITHIN = "comparison inside the paper"
_CAM_LIBRARY = "jacobgil/pytorch-grad-cam, README and base_cam.py"
_SACID = "Alexkkir/SACID: file list and moses.csv"
_X264 = "msu-video-group/x264_saliency_mod, encoder/ratecontrol.c and README"
_NOT_STATED = "absent from the text"

ERRATA: tuple[Erratum, ...] = (
    Erratum(
        1,
        "III-D",
        "50 source images, four presets and three bit-rates make 720 coded images.",
        "50 x 4 x 3 is 600. The published data set has 60 images, and 60 x 4 x 3 is 720.",
        _SACID,
    ),
    Erratum(
        2,
        "III-C",
        "The averages over ten runs are said to stand in Table 1.",
        "They stand in Table II; Table I belongs to III-A.",
        _WITHIN,
    ),
    Erratum(
        3,
        "Tables I and II",
        "Center Prior on SALICON has two different rows: .582/.534/.541/.784 and .578/.536/.544/.779.",
        "All other rows that both tables share are identical, although Table II is a mean over ten runs; so two fits "
        "or two samples of the centre prior were used.",
        _WITHIN,
    ),
    Erratum(
        4,
        "References",
        "[37] and [41] are listed as two works.",
        "They are one paper (ICCP 2017), cited once for the map transform and once for the codec.",
        _WITHIN,
    ),
    Erratum(
        6,
        "Table I, caption",
        "GradCAM maps beat the centre prior and lose to the saliency networks.",
        "Not in every column: in NSS, DBCNN (.579) is below the centre prior (.582) and Baseline-ResNet50 (.621) is "
        "above both saliency networks (.612, .613); in KLD, Baseline-ResNet50 (.782) all but ties with the centre "
        "prior (.784).",
        _WITHIN,
    ),
    Erratum(
        7,
        "Tables I and II, II-A",
        "NSS lies between .58 and .62 for all methods on SALICON, beside CC between .54 and .90.",
        "At fixations the best networks reach about 1.9 and a centre prior about 1.0 on SALICON. Averaging the "
        "z-scored map over all pixels with density > 0 gives the printed size and its narrow range; we report both "
        "conventions. The abbreviation NSS also stands for natural scene statistics in II-A and in Table III.",
        "own simulation; bench.py of msu-video-group/video-saliency-prediction-benchmark; inferred, not confirmed",
    ),
    Erratum(
        8,
        "III-A, Fig. 1, Tables I-III",
        "One model has several names: CLIP-IQA and CLIP-IQA+; Baseline-EfficientB0, Baseline-EfficientNet and Baseline.",
        "We read CLIP-IQA+ throughout, and Baseline as the EfficientNet-B0 variant: its saliency values in Table II "
        "equal those of Baseline-EfficientNet in Table I.",
        _WITHIN,
    ),
    Erratum(
        9,
        "III-A and III-C",
        "III-A uses HiResCAM; the formula of III-C is GradCAM with averaged gradients, and the detached weight is "
        "indexed i.",
        "After global average pooling the two maps are proportional for any head, so the choice is void for the "
        "Baselines. The detached weight must be indexed by the channel k.",
        "derivation, tested in this companion; " + _WITHIN,
    ),
    Erratum(
        10,
        "I and III-C",
        "The dual-task training is called parameter-free.",
        "That is true of Baseline-GradCAM-Loss. Baseline-Sal-Loss adds a 1 x 1 convolution.",
        _WITHIN,
    ),
    Erratum(
        11,
        "III-A",
        "Each image passes six times with small rotations, and the feature map of the last channel is decomposed.",
        "The cited library's default is also six passes, but of flips and brightness factors, without rotation. A "
        "single channel has no channel-wise decomposition; we read it as the last layer. Both smoothings are "
        "parameters here.",
        _CAM_LIBRARY,
    ),
    Erratum(
        12,
        "III-B",
        "Maps are blurred with a kernel of about 101 pixels and a small sigma; pixels not above the threshold are masked.",
        "The sigma is not given, and the sentence on thresholds describes LeRF alone; MoRF follows one paragraph later.",
        _WITHIN,
    ),
    Erratum(
        13,
        "III-B, Fig. 1",
        "Fig. 1 is said to show images with regions filled with black.",
        "By its caption Fig. 1 shows saliency maps and GradCAM maps; no figure shows masked images.",
        _WITHIN,
    ),
    Erratum(
        14,
        "II-C and III-B",
        "The area over the perturbation curve and the MoRF and LeRF orders are credited to [29].",
        "They come from Samek et al., Evaluating the visualization of what a deep neural network has learned. "
        "Reference [29] studies how reliable such measures are and finds that rankings depend on fill and order.",
        "abstract of arXiv 1912.01451; the credit to Samek et al. is from memory",
    ),
    Erratum(
        15,
        "III-D",
        "The saliency-weighted PSNR and SSIM are remarkably better than the originals.",
        "In FracCP, yes (+.173 and +.134). In SROCC the gains are +.053 and +.015, and the PLCC of EW-SSIM (.867) is "
        "below that of SSIM (.880).",
        "Table III",
    ),
    Erratum(
        16,
        "III-D, V",
        "Saliency does not improve deep metrics notably.",
        "SGDNet-Output gains .034 SROCC, .026 PLCC and .036 FracCP over SGDNet-None, and Baseline-Sal-Loss gains .009 "
        "SROCC and .021 FracCP over Baseline; only Baseline-GradCAM-Loss loses SROCC.",
        "Table III",
    ),
    Erratum(
        17,
        "I, III-C",
        "The two tasks are solved together without a drop in quality.",
        "On CLIVE, SROCC falls from .862 to .845 and .852, and PLCC from .848 to .839 and .840. No standard "
        "deviation is given, although every experiment was run ten times.",
        "Table II",
    ),
    Erratum(
        18,
        "III-D, Table III",
        "FracCP groups pairs by image.",
        "With all 66 pairs of an image, an SROCC of .82 and a FracCP of .50 exclude each other; with groups of image "
        "and bit-rate (six pairs) both are possible. The ranks differ as well: SGDNet-Output leads in FracCP, and "
        "DBCNN, which leads in SROCC, is third.",
        _SACID + "; own computation; inferred by elimination",
    ),
    Erratum(
        19,
        "III-D, Table III",
        "All models of the PYIQA toolbox were evaluated, and saliency models such as SGDNet.",
        "The table has 25 rows; SGDNet is the only saliency model among them, and its variants None and Output are "
        "not explained. PSNR, SSIM, MS-SSIM and VIF are listed as natural-scene-statistics methods but are "
        "full-reference fidelity measures, next to BRISQUE, which needs no reference.",
        _WITHIN,
    ),
    Erratum(
        20,
        "III-D",
        "The bit-rates .08, .12 and .16 bpp are called similar to those of CLIC 2021.",
        "That challenge used .075, .15 and .3 bpp.",
        "clic.compression.cc",
    ),
    Erratum(
        21,
        "III-D",
        "The presets are pairs of numbers such as (75, 80), without units.",
        "With a percent sign the encoder reads the first as a quantile of the map and without it as an absolute "
        "level. We read percent: the most salient 25 % of blocks get 80 % of the bits. Then (60, 40) gives 40 % of "
        "the bits to 40 % of the area and is hardly saliency-driven.",
        _X264 + "; own measurement",
    ),
    Erratum(
        22,
        "III-C",
        "Dual-task models trained with proxy maps from MSINet are tested on SALICON.",
        "MSINet was itself trained on SALICON, so part of the gain in saliency prediction is distillation of a "
        "SALICON model.",
        "published training data of MSINet; inferred",
    ),
    Erratum(
        23,
        "III-D",
        "EW-PSNR and EW-SSIM gain on images whose bits were placed by saliency.",
        "The authors' notebook reads one folder of maps, so the metric most likely weights with the map that steered "
        "the encoder. SROCC is ruled by bit-rate: the target bit-rate by itself has a mean SROCC of .900, which only "
        "DBCNN (.901) reaches, and a fixed order of presets has a FracCP of .717, above every row of the table.",
        _SACID + " and 1-run-models.ipynb; own computation",
    ),
    Erratum(
        25,
        "III",
        "More than 1400 assessors compared pairs; models are ranked by mean correlations.",
        "How many votes were kept, how pairs were drawn, intervals and tests of significance, input sizes and "
        "GradCAM layers are not stated. Resampling the 60 images gives a 95 % half width of about .05 in FracCP: "
        ".61, .63 and .66 cannot be told apart, .505 and .678 can.",
        _NOT_STATED + "; own computation on moses.csv of Alexkkir/SACID",
    ),
)
