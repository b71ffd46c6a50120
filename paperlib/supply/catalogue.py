"""Every data set and every file of weights: what it is, who needs it, what it weighs, its terms, and how it comes.

Which files of weights there are is told by the code that loads them (`paperlib.sources.source`,
`paperlib.models.quality.methods`); here stands what that code need not know: sources, hashes, terms and sizes. Addresses,
commits, hashes and numbers were read at the sources; sizes that are estimates say so.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from paperlib.datasets import sacid
from paperlib.errors import PaperlibError
from paperlib.supply.github import GithubFiles, matching, web_file
from paperlib.supply.hub import HubFile
from paperlib.supply.transfer import WebFile

if TYPE_CHECKING:
    from paperlib.models.official import OfficialFile
    from paperlib.profiles import Profile

Kind = Literal["data set", "weights"]

MAIN = "main"
"""A revision that is not pinned: the commit of the first fetch is recorded, and asked for from then on."""
DOWNLOADS = "downloads"
"""Folder of the data root in which archives are looked for, besides the data set's own folder."""

_WEIGHTS_COMMIT = "fad4d56d92d1f0c4f954a3261f8092aa80783eea"
_MIRROR = "chaofengc/IQA-PyTorch-Datasets"
_PYIQA = "chaofengc/IQA-PyTorch-Weights"
_DRIVE = "https://drive.google.com/uc?export=download&id="
_MB = 1_000_000
_GB = 1_000_000_000

FileSource = WebFile | HubFile
Source = FileSource | GithubFiles


@dataclass(frozen=True)
class Part:
    """What a data set is put together from.

    Attributes:
        what: for people.
        there: patterns of paths below the data set's folder; one match says that the part is there.
        source: where it is fetched from; None where that is to be done by hand.
        archives: patterns of the names of archives, any case, that it is unpacked from; empty where it is put into the
            folder as it is.
        marks: names, or patterns of them, one of which lies in the folder of the archive that is taken.
        into: folder below the data set's own that the content goes to; empty for that itself.
        hashes: known hashes of the archive, and what each stands for, besides that of the source; another content is
            refused. Where none is published, the content is checked after unpacking.
    """

    what: str
    there: tuple[str, ...]
    source: Source | None = None
    archives: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    into: str = ""
    hashes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Item:
    """One data set or one file of weights.

    Attributes:
        name: how the command line calls it.
        title: for people.
        kind: "data set" or "weights".
        download: bytes, about.
        on_disk: bytes, about.
        licence: in a word or two.
        terms: licence or terms of use, in one sentence.
        address: of the source, for people.
        steps: how to get it by hand.
        layout: how it lies on disk.
        estimated: the sizes are estimates.
        optional: no table or figure needs it.
        parts: of a data set.
        file: of weights.
        source: of weights; None where that is to be done by hand.
    """

    name: str
    title: str
    kind: Kind
    download: int
    on_disk: int
    licence: str
    terms: str
    address: str
    steps: tuple[str, ...]
    layout: str
    estimated: bool = False
    optional: bool = False
    parts: tuple[Part, ...] = ()
    file: "OfficialFile | None" = None
    source: FileSource | None = None

    @property
    def automatic(self) -> bool:
        """`data fetch` gets it without help."""
        return self.source is not None or (bool(self.parts) and all(part.source for part in self.parts))

    @property
    def is_made_here(self) -> bool:
        """Weights that this companion trains itself."""
        return self.name.startswith("baseline_")


# ---- data sets ------------------------------------------------------------------------------------------------------
_PUT_IT = "Put it into {folder} or {downloads}, packed as it is."
_OF_SALICON = (
    Part(
        "pictures",
        ("images/val/*.jpg", "images/*.jpg"),
        archives=("images*.zip", "salicon*images*.zip", "stimuli*.zip"),
        marks=("images",),
        hashes=(("md5:eb2a1bb706633d1b31fc2e01422c5757", "pictures"),),
    ),
    Part(
        "fixations",
        ("fixations/val/*.mat",),
        archives=("fixations*.zip", "salicon*fixations*.zip"),
        marks=("train", "val"),
        into="fixations",
        hashes=(
            ("md5:462b70f4f9e8ea446ac628e46cea8d3d", "edition 2017"),
            ("md5:9a22db9d718200fb90252e5010c004c4", "edition 2015"),
        ),
    ),
    Part(
        "density maps", ("maps/val/*.png",), archives=("maps*.zip", "salicon*maps*.zip"), marks=("train", "val"), into="maps"
    ),
)
_OF_KONIQ = (
    Part(
        "pictures",
        ("512x384/*.jpg", "1024x768/*.jpg"),
        HubFile(_MIRROR, "koniq10k.tgz", "dataset", "6545abd7b3a8556cac11cf9ca5a567cb593e3f60"),
        ("koniq10k*.tgz", "koniq10k*.tar.gz", "koniq10k_512x384*.zip", "koniq10k_1024x768*.zip"),
        ("512x384", "1024x768"),
    ),
    Part(
        "table",
        ("koniq10k_distributions_sets.csv", "koniq10k_scores_and_distributions.csv", "meta_info_KonIQ10kDataset.csv"),
        WebFile(
            "https://raw.githubusercontent.com/subpic/koniq/master/metadata/koniq10k_distributions_sets.csv",
            "sha256:d0bd1ad54a60bc36fe172049e46ac76c83554e50ab84acebfd47b82b3e698a0a",
            1_147_194,
        ),
    ),
)

_OF_BIQ2021 = GithubFiles("nisarahmedrana/BIQ2021", "62c7b40c036b68ee280626409699aa5c1a37fe57", "biq2021_sample")
_OF_OSIE = GithubFiles(
    "NUS-VIP/predicting-human-gaze-beyond-pixels", "4a467890fcb40a2fec04cdded552760942bac7a4", "osie_files"
)
_OF_EYECROWD = GithubFiles("NUS-VIP/saliency-in-crowd", "8bb0416ee9942346f0a990f87a1325742fe3293f", "eyecrowd_sample")


def _with_gaze(source: GithubFiles, archive: str) -> Part:
    return Part("pictures and fixations", ("data/stimuli/*.jpg",), source, (archive,), ("stimuli",), "data")


def _by_hand(source: GithubFiles, name: str) -> tuple[str, ...]:
    """An archive of GitHub holds the whole repository."""
    return (
        f"Download {source.page}/archive/{source.revision}.zip, the whole repository, as {name}-{source.revision[:7]}.zip.",
        _PUT_IT,
    )


DATA_SETS = (
    Item(
        "salicon",
        "SALICON, gaze by mouse on pictures of COCO",
        "data set",
        5 * _GB,
        6 * _GB,
        "see its page",
        "Its terms of use stand on its page; the pictures are COCO's and come from Flickr, each under a licence of its own. "
        "Check before use.",
        "http://salicon.net/challenge-2017/",
        (
            f"Pictures (3.0 GB): open {_DRIVE}1g8j-hTT-51IG1UFwP0xTGhLdgIUCW5e5 in a browser and save as images.zip.",
            f"Fixations, edition 2017: open {_DRIVE}1P-jeZXCsjoKO79OhFUgnj6FGcyvmLDPj and save as fixations.zip. "
            "(Edition 2015 has the id 1WVEiXba-I4GN33f0uUl4KhaN1rK7qzs6; never mix the editions.)",
            f"Density maps, edition 2017: open {_DRIVE}1PnO7szbdub1559LfjYHMy65EDC4VhJC8 and save as maps.zip.",
            "Put the three archives into {folder} or {downloads}, packed as they are.",
        ),
        "salicon/images/{train,val}/COCO_val2014_000000000133.jpg, salicon/fixations/{train,val}/*.mat, "
        "salicon/maps/{train,val}/*.png; the paper's split is val, 5,000 pictures of 640x480",
        estimated=True,
        parts=_OF_SALICON,
    ),
    Item(
        "cat2000",
        "CAT2000, training set: eye tracking on 2,000 pictures of 20 categories",
        "data set",
        2 * _GB,
        2 * _GB,
        "check before use",
        "No licence is known here: check before use, and cite arXiv 1505.03581.",
        "http://saliency.mit.edu/results_cat2000.html",
        ("Download http://saliency.mit.edu/trainSet.zip (md5 56ad5c77e6c8f72ed9ef2901628d6e48).", _PUT_IT),
        "cat2000/trainSet/Stimuli/<Category>/001.jpg, trainSet/FIXATIONLOCS/<Category>/001.mat, "
        "trainSet/FIXATIONMAPS/<Category>/001.jpg; folders Output are never read; the test set has no gaze and is not "
        "needed",
        estimated=True,
        parts=(
            Part(
                "training set",
                ("trainSet/FIXATIONLOCS/*/*.mat", "FIXATIONLOCS/*/*.mat"),
                WebFile("http://saliency.mit.edu/trainSet.zip", "md5:56ad5c77e6c8f72ed9ef2901628d6e48"),
                ("trainSet*.zip",),
                ("Stimuli",),
                "trainSet",
            ),
        ),
    ),
    Item(
        "koniq10k",
        "KonIQ-10k: 10,073 photographs with opinions of a crowd",
        "data set",
        6_351 * _MB,
        7 * _GB,
        "CC BY-SA 4.0 (tag)",
        "The copy on the hub is tagged cc-by-sa-4.0; the photographs come from Flickr under Creative Commons licences of "
        "their own. Check before use.",
        "http://database.mmsp-kn.de/koniq-10k-database.html",
        (
            "Smaller than what is fetched by itself (both sizes, 6.35 GB): http://datasets.vqa.mmsp-kn.de/archives/"
            "koniq10k_512x384.zip, only the size that the paper uses.",
            "Put it into {folder} or {downloads}, packed as it is; `data fetch` adds the table.",
        ),
        "koniq10k/512x384/10004473376.jpg (10,073 of them) and koniq10k/koniq10k_distributions_sets.csv (MOS on 0..100, "
        "official split)",
        parts=_OF_KONIQ,
    ),
    Item(
        "clive",
        "CLIVE, LIVE In the Wild Image Quality Challenge: 1,162 photographs",
        "data set",
        326 * _MB,
        350 * _MB,
        "form and password",
        "On request by a form, with a password; free to use with notice and citation (notice of the University of Texas at "
        "Austin).",
        "http://live.ece.utexas.edu/research/ChallengeDB/index.html",
        (
            "Fill in the form on http://live.ece.utexas.edu/research/ChallengeDB/index.html; the password comes by e-mail.",
            "Download ChallengeDB_release.zip with it.",
            "Put it into {folder} or {downloads}, packed as it is; if the archive itself asks for the password, unpack it "
            "into {folder} yourself.",
            f"The maintainers of pyiqa keep a copy, live_challenge.tgz in {_MIRROR} on the Hugging Face hub (326 MB); it is "
            "understood when you put it there, but it is not fetched by itself, because the authors ask for the form.",
        ),
        "clive/Images/3.bmp, Images/1017.JPG (1,162; Images/trainingImages is not read), clive/Data/AllImages_release.mat, "
        "Data/AllMOS_release.mat",
        parts=(
            Part(
                "pictures and scores",
                ("Images/*.bmp", "ChallengeDB_release/Images/*.bmp", "*/Images/*.bmp"),
                archives=("ChallengeDB*.zip", "live_challenge*.tgz", "live_challenge*.tar.gz"),
                marks=("Images",),
            ),
        ),
    ),
    Item(
        "sacid",
        "SACID: 60 photographs coded in 12 ways each, with subjective scores",
        "data set",
        767 * _MB,
        767 * _MB,
        "none stated",
        "None stated, neither on GitHub nor on the hub: without a licence only what the law allows; ask the authors before "
        "you publish pictures of it.",
        "https://github.com/Alexkkir/SACID",
        (
            "Another way: https://github.com/Alexkkir/SACID, button Code, Download ZIP; that copy holds 42 of "
            "the 60 references.",
            "Put it into {folder} or {downloads}, packed as it is, under a name that starts with SACID.",
        ),
        "sacid/reference/<sequence>.png, sacid/saliency/<sequence>.png, "
        "sacid/compressed/<sequence>/h264v@targetbbp100=12_preset=p132.jpg (720), sacid/moses.csv",
        parts=(
            Part(
                "pictures and scores",
                ("compressed/*/*.jpg", "compressed/*/*.png"),
                HubFile("alexkkr/SACID", "", "dataset", MAIN),
                ("SACID*.zip",),
                ("compressed",),
            ),
        ),
    ),
    Item(
        "biq2021",
        "BIQ2021, a sample: 3,300 of 12,000 photographs, judged in a laboratory",
        "data set",
        115_477_842,
        115_477_842,
        "none stated",
        "None stated; its README says that part 03 is from Unsplash, parts 01 and 02 the authors' own. Download it for your "
        "own use, and pass nothing on.",
        _OF_BIQ2021.page,
        _by_hand(_OF_BIQ2021, "BIQ2021"),
        "biq2021/Images/ss01 (10).jpg (3,300), biq2021/train.csv, biq2021/test.csv (MOS on 0..1)",
        parts=(Part("tables and pictures", ("Images/*.jpg",), _OF_BIQ2021, ("BIQ2021-*.zip",), ("Images",)),),
    ),
    Item(
        "osie",
        "OSIE: eye tracking of 15 observers on 700 pictures",
        "data set",
        50_142_799,
        50_142_799,
        "MIT",
        "MIT (its repository); the rights in each picture are not known.",
        _OF_OSIE.page,
        _by_hand(_OF_OSIE, "predicting-human-gaze-beyond-pixels"),
        "osie/data/stimuli/1001.jpg (700), osie/data/eye/fixations.mat",
        parts=(_with_gaze(_OF_OSIE, "predicting-human-gaze-beyond-pixels-*.zip"),),
    ),
    Item(
        "eyecrowd",
        "EyeCrowd, a sample: eye tracking of 16 observers on 100 of 500 pictures of crowds",
        "data set",
        34_029_184,
        34_029_184,
        "MIT",
        "MIT (its repository); the rights in each picture are not known.",
        _OF_EYECROWD.page,
        _by_hand(_OF_EYECROWD, "saliency-in-crowd"),
        "eyecrowd/data/stimuli/005.jpg (100), eyecrowd/data/eye/fixations.mat (of all 500)",
        parts=(_with_gaze(_OF_EYECROWD, "saliency-in-crowd-*.zip"),),
    ),
    Item(
        "clic2021",
        "CLIC 2021, professional test set: photographs to code yourself",
        "data set",
        250 * _MB,
        250 * _MB,
        "Unsplash",
        "Photographs from Unsplash, under its licence; see the page of the challenge.",
        "https://clic.compression.cc/2021/tasks/",
        (
            "Download https://storage.googleapis.com/clic2021_public/professional_test_2021.zip "
            "(md5 4476b708ea4c492505dd70061bebe202).",
            _PUT_IT,
        ),
        "clic2021/*.png, about 60 photographs of 2.6 megapixels; give the folder to `python -m paperlib code`",
        estimated=True,
        optional=True,
        parts=(
            Part(
                "photographs",
                ("*.png",),
                WebFile(
                    "https://storage.googleapis.com/clic2021_public/professional_test_2021.zip",
                    "md5:4476b708ea4c492505dd70061bebe202",
                ),
                ("professional_test_2021*.zip",),
                ("*.png",),
            ),
        ),
    ),
)
"""Commits, md5s and Google Drive ids: the listings of the hub and of GitHub; pysaliency 6a45d24 and MSI-Net bd81e58
(SALICON, CAT2000); NeuralCompression (CLIC). The hash of KonIQ's table is that of subpic/koniq 1c27157."""


def _variant(name: str, source: GithubFiles, title: str, size: int, estimated: bool = False) -> Item:
    """An item of one part, from another source."""
    item = next(one for one in DATA_SETS if one.name == name)
    (part,) = item.parts
    parts = (replace(part, source=source),)
    return replace(item, title=title, download=size, on_disk=size, estimated=estimated, parts=parts)


VARIANTS = {
    ("biq2021", "all"): _variant(
        "biq2021",
        replace(_OF_BIQ2021, listing="", choose=matching("Images/*", "train.csv", "test.csv")),
        "BIQ2021: all 12,000 photographs",
        424 * _MB,
    ),
    ("eyecrowd", "all"): _variant(
        "eyecrowd",
        replace(_OF_EYECROWD, listing="", choose=matching("data/stimuli/*.jpg", "data/eye/fixations.mat")),
        "EyeCrowd: all 500 pictures",
        178 * _MB,
    ),
    ("sacid", "sample"): _variant(
        "sacid",
        GithubFiles("Alexkkir/SACID", MAIN, choose=sacid.of_sample),
        "SACID, a sample: 12 photographs that have a reference, coded in 12 ways each",
        170 * _MB,
        estimated=True,
    ),
}
"""(name, `extent` of a profile) -> what such a profile means by an item; for others, the item itself."""


# ---- weights --------------------------------------------------------------------------------------------------------
_SHA256 = {
    "cfanet_nr_koniq_res50": "9a73138beb3748dd6a83365610ac88fa1cd53225342c77fc9ed44a3be461354c",
    "HyperIQA-resnet50-koniq10k": "c96c41b1094c8c1ed86cbd661941717f95e24e09e791b2c512d4ffbbde7253ed",
    "tres_koniq": "f050292679758cc69e8ef0be7f1fd00729bfbadd6e29d88a3f1f09129efe1bfe",
    "DISTS_weights": "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
    "LPIPS_v0.1_alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "RN50": "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
}
"""Whole hashes, where they are published or were computed from a copy; others stand in part in the file's own name."""

_TIMM_COMMITS = {
    "resnet50.a1_in1k": "5d9e13b8fdab4d9718bcf2c8f5c3af01878367e8",
    "vit_base_patch8_224.augreg2_in21k_ft_in1k": "9c48fc9fd87ab0a53f3368f1f7bccb20fca62aad",
}

_IN_COMMIT = re.compile("AHIQ|CLIP-IQA|DBCNN|DISTS|HyperIQA|LPIPS|P2P|PieAPP|brisque_svm|cfanet_nr|tres", re.IGNORECASE)
"""Files that were seen in the listing of pyiqa's weights up to `_WEIGHTS_COMMIT`."""

_SIZES = {
    "AHIQ_vit_p8_epoch33": 326 * _MB,
    "CLIP-IQA+_learned_prompts": 17_100,
    "CNNIQA-LIVE": 2_900_000,
    "DBCNN_KonIQ10k": 61 * _MB,
    "DISTS_weights": 12_288,
    "HyperIQA-resnet50-koniq10k": 110 * _MB,
    "LPIPS_v0.1_alex": 6_009,
    "P2P_RoIPoolModel-fit.10.bs.120": 47 * _MB,
    "PieAPPv0.1": 274 * _MB,
    "RN50": 255 * _MB,
    "alexnet-owt": 244 * _MB,
    "baseline_efficientnet_b0": 22 * _MB,
    "baseline_resnet50": 103 * _MB,
    "brisque_svm_weights": 116_421,
    "cfanet_fr_kadid_res50": 145 * _MB,
    "cfanet_nr_koniq_res50": 181 * _MB,
    "ckpt_koniq10k": 543 * _MB,
    "efficientnet_b0.ra_in1k": 21_400_000,
    "fastgaze": 489_616,
    "msinet": 100 * _MB,
    "musiq_koniq_ckpt": 109 * _MB,
    "resnet50.a1_in1k": 102 * _MB,
    "sgdnet_none": 106 * _MB,
    "sgdnet_output": 106 * _MB,
    "transalnet_dense": 307 * _MB,
    "transalnet_res": 290 * _MB,
    "tres_koniq": 610 * _MB,
    "vgg16": 553 * _MB,
    "vit_base_patch8_224.augreg2_in21k_ft_in1k": 346 * _MB,
}
"""Of the hub's listings, else of networks of that size written in the official format."""

_IMAGENET = "trained on ImageNet, whose pictures are for non-commercial research."
_TERMS = {
    "pyiqa": (
        "CC BY-NC-SA 4.0",
        "CC BY-NC-SA 4.0 for pyiqa's collection: non-commercial; the networks' authors may ask for more.",
    ),
    "checkpoints": ("BSD-3-Clause", f"torchvision is BSD-3-Clause, for its weights no other licence is stated; {_IMAGENET}"),
    "clip": ("MIT", "MIT (OpenAI's CLIP; see its model card for what it is meant for)."),
    "timm": ("Apache-2.0", f"Apache-2.0 by its model card; {_IMAGENET}"),
    "cnniqa": ("none stated", "None stated in its repository."),
    "fastgaze": ("Apache-2.0", "Apache-2.0 (its repository)."),
    "sgdnet": (
        "none stated",
        "None stated in its repository: ask the authors before you use it for more than checking results.",
    ),
    "msinet": ("MIT", "MIT (its repository)."),
    "transalnet_dense": ("MIT", "MIT (its repository)."),
    "transalnet_res": ("MIT", "MIT (its repository)."),
}
_UNKNOWN = ("check before use", "Not known here: check before use.")

_BY_HAND = {
    "msinet": (
        "MSI-Net trained on SALICON, frozen graph of TensorFlow",
        "https://github.com/alexanderkroner/saliency",
        "1Xy9C72pcA8DO4CY0rc6B7wsuE9L9DDZY",
    ),
    "transalnet_dense": (
        "TranSalNet on DenseNet-161, trained on SALICON",
        "https://github.com/LJOVO/TranSalNet",
        "1JVTYq5UE6Q0OHoOVoXWF5WW5w42jlM1T",
    ),
    "transalnet_res": (
        "TranSalNet on ResNet-50, trained on SALICON",
        "https://github.com/LJOVO/TranSalNet",
        "14czAAQQcRLGeiddPOM6AaTJTieu6QiHy",
    ),
    "sgdnet_none": (
        "SGDNet without saliency, trained on KonIQ-10k (Keras)",
        "https://github.com/ysyscool/SGDNet",
        "1TvCBvZypSsiKUOHeBRrF-5L8SaA8dwLH",
    ),
    "sgdnet_output": (
        "SGDNet with saliency, trained on KonIQ-10k (Keras)",
        "https://github.com/ysyscool/SGDNet",
        "1TvCBvZypSsiKUOHeBRrF-5L8SaA8dwLH",
    ),
}
"""Title, page, and id on Google Drive, as the repositories' README files name them."""


_FREE = {
    "fastgaze.vxm": (
        "FastGaze, a small saliency network trained on eye tracking",
        "https://github.com/twitter-research/image-crop-analysis",
        web_file(
            "twitter-research/image-crop-analysis",
            "d66ad3bb3881fdbd12a27e04c3e57cc8fd772dd1",
            "bin/fastgaze.vxm",
            "sha256:b76cefc218ec8969cc62b26ad0f41111800421287e7f2725d808da1d90afbdf7",
        ),
    )
}
"""Files that no library keeps and anybody may fetch: title, page, source."""


@lru_cache(maxsize=1)
def weights() -> tuple[Item, ...]:
    """Every official file that the code loads, once, in the order of the tables."""
    return tuple(_item(file) for file in dict.fromkeys(_official_files()))


def _official_files() -> Iterator["OfficialFile"]:
    from paperlib.models.quality.methods import describe
    from paperlib.models.quality.model import expected_files
    from paperlib.models.quality.networks import CNNIQA_LIVE
    from paperlib.profiles import PROFILES
    from paperlib.sources.source import KNOWN, Source, official_files

    for source in KNOWN.values():
        yield from official_files(source)
    paper = PROFILES["paper"]
    for backbone in paper.dual_task.backbones:
        yield from official_files(Source("activation", backbone))
    for method in _loaded(paper.compression.scored_methods):
        yield from describe(method).files
    yield from expected_files(CNNIQA_LIVE)


def _loaded(methods: Iterable[str]) -> list[str]:
    """Methods of Table III that have official files, or none; the Baselines are trained."""
    from paperlib.experiments.compression.plan import BASELINES

    return [method for method in methods if method not in BASELINES]


def _item(file: "OfficialFile") -> Item:
    name, layout = file.short, f"weights/{file.name}"
    size = _SIZES.get(name, 100 * _MB)
    licence, terms = _TERMS.get(file.cache or name, _UNKNOWN)
    common: dict[str, Any] = {
        "name": name,
        "kind": "weights",
        "download": size,
        "on_disk": size,
        "licence": licence,
        "terms": terms,
        "layout": layout,
        "estimated": name not in _SIZES,
        "optional": file.cache == "cnniqa",
        "file": file,
    }
    if name in _BY_HAND:
        title, page, drive = _BY_HAND[name]
        steps = (
            f"Open {_DRIVE}{drive} in a browser (the link of {page}) and save what comes; if it is an archive, unpack it.",
            f"Put {file.name} into {{weights}}, under exactly this name.",
        )
        return Item(title=title, address=page, steps=steps, **common)
    if name.startswith("baseline_"):
        steps = (
            "Train it with Table II (`./run_all.sh --profile paper --only 03c`).",
            "Write it with `python -m paperlib export --profile paper --data-root DIR`.",
        )
        common |= {"licence": "yours", "terms": "Yours: it is trained here.", "download": 0}
        title = "trained for Table II, and written by the verb export"
        return Item(title=title, address="this companion", steps=steps, **common)
    title, address, source, cache = _published(file)
    steps = (f"Get {file.name} from {address if source else file.where}.", "Put it into {weights} under this name.")
    common["layout"] += f", or {cache}" if cache else ""
    return Item(title=title, address=address, steps=steps, source=source, **common)


def _published(file: "OfficialFile") -> tuple[str, str, FileSource | None, str]:
    """Title, address for people, source, and place in its library's cache."""
    if file.name in _FREE:
        return *_FREE[file.name], ""
    place = f"$TORCH_HOME/hub/{file.cache}/{file.name}"
    known = f"sha256:{_SHA256[file.short]}" if file.short in _SHA256 else ""
    if found := re.search(r"-([0-9a-f]{8})\.\w+$", file.name):
        known = known or f"sha256-prefix:{found[1]}"
    if file.cache == "pyiqa":
        revision = _WEIGHTS_COMMIT if _IN_COMMIT.match(file.name) else MAIN
        source = HubFile(_PYIQA, file.name, "model", revision, known)
        return "weights of pyiqa", f"https://huggingface.co/{_PYIQA}", source, place
    if file.cache == "checkpoints":
        url = f"https://download.pytorch.org/models/{file.name}"
        return "ImageNet weights of torchvision", url, WebFile(url, known), place
    if file.cache == "clip":
        url = f"https://openaipublic.azureedge.net/clip/models/{_SHA256[file.short]}/{file.name}"
        return "CLIP on ResNet-50", "https://github.com/openai/CLIP", WebFile(url, known), place
    if file.cache == "timm":
        repo = f"timm/{file.short}"
        source = HubFile(repo, "model.safetensors", "model", _TIMM_COMMITS.get(file.short, MAIN))
        address = f"https://huggingface.co/{repo}"
        return "ImageNet weights of timm", address, source, "the cache of Hugging Face ($HF_HOME)"
    title = "CNNIQA of Li, trained on LIVE: a small network to try things with"
    return title, "https://github.com/lidq92/CNNIQA", None, ""


# ---- names ----------------------------------------------------------------------------------------------------------
def items() -> tuple[Item, ...]:
    """All data sets, then all weights."""
    return DATA_SETS + weights()


def find(names: Iterable[str]) -> list[Item]:
    """Items by their names; the official name of a file, and a method of the tables (all its files), are understood.

    Raises:
        PaperlibError: there is no such item; names that are near are told.
    """
    spelled = {method: files for method, files in _of_methods().items() if files}
    spelled |= {item.file.name: (item,) for item in weights() if item.file}
    spelled |= {item.name: (item,) for item in items()}
    known = {name.casefold(): (name, meant) for name, meant in spelled.items()}
    found: dict[str, Item] = {}
    for name in names:
        if name.casefold() not in known:
            near = [known[one][0] for one in difflib.get_close_matches(name.casefold(), known, 3, 0.5)]
            advice = f"names like it: {', '.join(near)}" if near else "choose among those of `data where`"
            raise PaperlibError(f"there is no data set or file of weights {name!r}; {advice}")
        found |= {item.name: item for item in known[name.casefold()][1]}
    return list(found.values())


@lru_cache(maxsize=1)
def _of_methods() -> dict[str, tuple[Item, ...]]:
    """Method of Table I or III -> its files."""
    from paperlib.models.quality.methods import describe
    from paperlib.profiles import PROFILES
    from paperlib.sources.source import KNOWN, official_files

    found = {method: official_files(source) for method, source in KNOWN.items()}
    found |= {method: describe(method).files for method in _loaded(PROFILES["paper"].compression.scored_methods)}
    by_name = {item.name: item for item in weights()}
    return {method: tuple(by_name[file.short] for file in files) for method, files in found.items()}


# ---- who needs what -------------------------------------------------------------------------------------------------
def needed_by(profile: "Profile") -> dict[str, tuple[str, ...]]:
    """Name of an item -> the tables and figures of `profile` that need it; items that none needs are left out.

    The demo needs nothing. Weights of the user's own models are theirs, and not among the items.
    """
    from paperlib.experiments.compression.plan import BASELINES
    from paperlib.experiments.dual_task.plan import SUPERVISED
    from paperlib.experiments.maps.plan import published_sources
    from paperlib.models.quality.methods import describe
    from paperlib.sources.source import KNOWN, of_user, official_files
    from paperlib.sources.source import Source as MapSource

    if profile.evidence == "simulation":
        return {}
    photographs, training, compression = profile.photographs, profile.dual_task, profile.compression
    sections = profile.sections
    found: dict[str, dict[str, None]] = {}

    def note(names: Iterable[str], *outputs: str) -> None:
        for name in names:
            found.setdefault(name, {}).update(dict.fromkeys(outputs))

    def note_files(source: MapSource, *outputs: str) -> None:
        note((file.short for file in official_files(source)), *outputs)

    note(photographs.datasets, "Table I")
    note(profile.masking.opinions, "Figure 2")
    shown = published_sources(profile) | of_user(profile.models, profile.model_folders)
    is_trained = photographs.networks == "trained"  # then no Baseline comes from a file
    for source in (one for one in shown.values() if not (is_trained and one.kind == "baseline")):
        note_files(source, "Table I", *(("Figure 2",) if source.scores or source.kind == "network" else ()))
    if "03c" in sections:
        for_table3 = "03d" in sections and set(BASELINES) & set(compression.scored_methods)
        outputs = ("Table II", "Table III") if for_table3 else ("Table II",)
        note((training.training_set, *training.quality_sets, *training.gaze_sets), *outputs)
        trained = [*(KNOWN[one] for one in training.targets), *(MapSource("activation", one) for one in training.backbones)]
        for source in trained:
            note_files(source, *outputs)
        for method in SUPERVISED:
            if method in photographs.methods:
                note_files(KNOWN[method], "Table II")
    if "03d" in sections:
        note([compression.compression_set], "Table III")
        for method in _loaded(compression.scored_methods):
            note((file.short for file in describe(method).files), "Table III")
        if compression.weighting_model:
            note_files(KNOWN[compression.weighting_model], "Table III")
    known = {item.name for item in items()}
    return {name: tuple(outputs) for name, outputs in found.items() if name in known}


def chosen_items(profile: "Profile", names: Iterable[str]) -> list[Item]:
    """The items that are named, else those that `profile` needs, in the order of the catalogue, in its extent.

    Raises:
        PaperlibError: as `find`.
    """
    needed = needed_by(profile)
    chosen = find(names) or [item for item in items() if item.name in needed]
    return [VARIANTS.get((item.name, profile.extent), item) for item in chosen]
