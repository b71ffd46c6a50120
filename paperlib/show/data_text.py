"""The catalogue of data sets and weights as people read it: tables for a terminal, and DATA.md."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paperlib.datasets.listed_files import listed
from paperlib.supply.catalogue import DATA_SETS, MAIN, VARIANTS, Item, items, needed_by, weights
from paperlib.supply.fetch import NOTES, Outcome, instructions
from paperlib.supply.github import GithubFiles
from paperlib.supply.hub import HubFile
from paperlib.supply.state import Found, archives_of
from paperlib.supply.transfer import in_units

if TYPE_CHECKING:
    from paperlib.profiles import Profile

_MAKES_ITS_OWN = {
    "simulation": "Profile {name} needs no data and no weights: it makes its own.",
    "stand-ins": "Profile {name} needs nothing from outside: it writes stand-ins for all data sets and weights into "
    "{root} by itself.",
}
_WIDTH = 110


def own_supply(profile: "Profile", names: Sequence[str]) -> str:
    """What a profile says that needs nothing from outside; empty for the others, and where items are asked for."""
    sentence = "" if names else _MAKES_ITS_OWN.get(profile.evidence, "")
    return sentence.format(name=profile.name, root=profile.data_root)


def status_text(found: Sequence[Found], profile: "Profile", notes: Sequence[str] = ()) -> str:
    """Per item what is there: fingerprint, size, licence, source, and who needs it; `notes` come first."""
    lines = [_folders(profile), *notes, ""]
    width = max((len(one.item.name) for one in found), default=0) + 2
    for one in found:
        size = in_units(one.size) if one.size else f"~{in_units(one.item.download)}" if one.item.download else "–"
        lines.append(f"{one.item.name:{width}}{one.condition:15}{size:>10}  {one.fingerprint or '–':18}{_users(one)}")
        lines.append(f"{'':{width}}{one.item.licence}; {one.item.address}{f'; {one.place}' if one.is_there else ''}")
        if one.detail and not one.is_there:
            lines += textwrap.wrap(one.detail, _WIDTH, initial_indent=" " * width, subsequent_indent=" " * width)
    lines += ["", *_verdict(found, profile)] if found else []
    return "\n".join(lines) + "\n"


def _folders(profile: "Profile") -> str:
    return f"Data root: {profile.data_root or 'none, give --data-root DIR'}   weights: {profile.weights_root}"


def _users(found: Found) -> str:
    return ", ".join(found.needed_by) or ("optional" if found.item.optional else "not needed by this profile")


def _verdict(found: Sequence[Found], profile: "Profile") -> list[str]:
    lacking = [one for one in found if not one.is_there]
    if not lacking:
        return [f"All {len(found)} that were asked for are there."]
    lines = [f"{len(lacking)} of {len(found)} are not ready."]
    kept = [one for one in lacking if one.condition == "wrong edition" or one.size and one.item.kind == "weights"]
    itself = [one for one in lacking if one.item.automatic and one not in kept]
    if itself:
        size, root = in_units(sum(one.item.download for one in itself)), "" if profile.data_root else " --data-root DIR"
        root = root if profile.name == "paper" else f" --profile {profile.name}{root}"
        lines.append(f"By itself: python -m paperlib data fetch{root}   ({len(itself)} items, about {size})")
    packed = [one.item.name for one in lacking if one.item.parts and archives_of(one.item, profile)]
    if packed:
        lines.append(f"Archives are there for {', '.join(packed)}: the same command unpacks them.")
    by_hand = [
        one.item.name for one in lacking if one not in itself and one.item.name not in packed and not one.item.is_made_here
    ]
    if by_hand:
        lines.append(f"By hand: {', '.join(by_hand)}; `python -m paperlib data fetch NAME` says how, and so does DATA.md.")
    trained = [one.item.name for one in lacking if one.item.is_made_here]
    if trained:
        lines.append(f"Trained here: {', '.join(trained)}; Table II makes them, then `python -m paperlib export`.")
    return lines


def fetch_text(outcomes: Sequence[Outcome], profile: "Profile") -> str:
    """What became of each item; for what is to be done by hand, the steps."""
    lines = []
    for one in outcomes:
        if one.done in ("by hand", "to be trained"):
            steps = _numbered(one.sentence.splitlines())
            lines += [f"{one.found.item.name}: {one.done}", *(f"  {step}" for step in steps)]
        elif one.done == "unreachable":
            continue
        elif one.sentence:
            lines.append(f"{one.found.item.name}: {one.done}: {one.sentence}")
        else:
            lines.append(f"{one.found.item.name}: {one.done}, in {one.found.where}")
    cut_off = [one for one in outcomes if one.done == "unreachable"]
    if cut_off:
        reasons = "; ".join(dict.fromkeys(one.sentence for one in cut_off))
        names = ", ".join(one.found.item.name for one in cut_off)
        lines.append(
            f"{len(cut_off)} are missing and their sources cannot be reached ({reasons}): {names}. Check the network "
            "and the proxy, or get them another way: DATA.md names the sources, `python -m paperlib data where` the "
            "places."
        )
    there = sum(one.found.is_there for one in outcomes)
    lacking = [one.found.item.name for one in outcomes if not one.found.is_there]
    lines += ["", f"{there} of {len(outcomes)} are there" + (f"; not there: {', '.join(lacking)}" if lacking else "") + "."]
    return "\n".join(lines) + "\n"


def _numbered(steps: Sequence[str]) -> list[str]:
    return [f"{number}. {step}" for number, step in enumerate(steps, 1)]


def where_text(found: Sequence[Found], profile: "Profile", notes: Sequence[str] = ()) -> str:
    """The folders, and the place of each item, or the one that it would get."""
    width = max((len(one.item.name) for one in found), default=0) + 2
    lines = [_folders(profile), *notes, ""]
    lines += [f"{one.item.name:{width}}{one.where}{'' if one.is_there else f'   ({one.condition})'}" for one in found]
    return "\n".join(lines) + "\n"


def status_json(found: Sequence[Found], profile: "Profile", ready: bool, notes: Sequence[str] = ()) -> str:
    """`status`, `verify` and `where` for programs."""
    return _json(
        {
            "profile": profile.name,
            "data_root": profile.data_root,
            "weights_root": profile.weights_root,
            "ready": ready,
            "notes": list(notes),
            "items": [_entry(one) for one in found],
        }
    )


def fetch_json(outcomes: Sequence[Outcome], profile: "Profile") -> str:
    """`fetch` for programs."""
    entries = [_entry(one.found) | {"done": one.done, "sentence": one.sentence} for one in outcomes]
    return _json({"profile": profile.name, "ready": all(one.found.is_there for one in outcomes), "items": entries})


def _entry(found: Found) -> dict[str, Any]:
    item = found.item
    return {
        "name": item.name,
        "title": item.title,
        "kind": item.kind,
        "condition": found.condition,
        "detail": found.detail,
        "fingerprint": found.fingerprint,
        "bytes": found.size,
        "where": str(found.where),
        "place": found.place,
        "download": item.download,
        "on_disk": item.on_disk,
        "estimated": item.estimated,
        "licence": item.licence,
        "terms": item.terms,
        "source": item.address,
        "automatic": item.automatic,
        "optional": item.optional,
        "needed_by": list(found.needed_by),
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


# ---- DATA.md --------------------------------------------------------------------------------------------------------
_HEAD = """# Data and weights

<!-- Written by `python -m paperlib readme` from paperlib/supply/catalogue.py; a test keeps the two equal. -->

**What limits use.** Nothing of this lies in the repository, and the licence of the code does not cover it. pyiqa
itself is under a non-commercial licence, and its collection of weights is CC BY-NC-SA 4.0: no commercial use. SACID
and SGDNet state no licence at all, nor does BIQ2021, so only what the law allows is allowed. Weights trained on
ImageNet inherit that its pictures are for non-commercial research. Every data set has terms of its own, told below as
far as they are known; where it says "check before use", look at the source first. Pass nothing on before you have
read its terms.

The demo needs none of it. The profile `paper` needs {needed} items, about {download} to download and {disk} on disk:

    python -m paperlib data status --data-root DIR     what is there, what is missing
    python -m paperlib data fetch  --data-root DIR     gets what may be fetched, says how to get the rest
    python -m paperlib data verify --data-root DIR     reads every picture and computes every hash
    python -m paperlib data where  --data-root DIR     the place of each item

`data fetch NAME` gets one item; a method of the tables (`ahiq`, `topiq`) stands for its files. An archive that you
put into the data set's folder or into `DIR/downloads` is checked, unpacked and then left where it is. A broken
download goes on where it stopped. Files are checked before they get their names. Files of pyiqa, torchvision and CLIP
go to torch's cache (`$TORCH_HOME/hub`), those of timm to the cache of Hugging Face (`$HF_HOME`); a copy in the folder
of weights (`--weights`, or `DIR/weights`) comes first. `HF_ENDPOINT`, `HF_HUB_OFFLINE` and the usual proxy variables
are respected. Nothing else is written.

**How sure is it that you get the same files?** Web addresses carry a published MD5 or SHA-256 (torchvision's names
hold the first 8 digits of theirs). Files of the hub are asked for at a fixed commit, or, where pyiqa's name holds 8
digits of the SHA-256, are checked against those. Files of a GitHub repository come one by one, at a fixed commit, and
are checked by the hash that git has of each. For these no commit is known here: {unpinned}. They are **trusted on
first use**: the commit that the branch `main` has at the first fetch is written to `{notes}` in the data root, and
that one is asked for from then on. Data sets are also checked by their loaders: names, sizes, published statistics of
the scores; `data status` prints a fingerprint of each. By-hand files without a published hash (the density maps of
SALICON, CLIVE, TranSalNet, MSI-Net, SGDNet) are checked by what they hold. Sizes are approximate; those with ~ are
estimates.
"""


def data_md() -> str:
    """DATA.md, all of it."""
    from paperlib.profiles import PROFILES

    needed = needed_by(PROFILES["paper"])
    used = [item for item in items() if item.name in needed]
    head = _HEAD.format(
        needed=len(used),
        download=in_units(sum(item.download for item in used)),
        disk=in_units(sum(item.on_disk for item in used)),
        unpinned=", ".join(f"`{item.name}`" for item in items() if _is_unpinned(item)),
        notes=NOTES.as_posix(),
    )
    parts = [head, "\n## Data sets\n", *(_section(item, needed.get(item.name, ())) for item in DATA_SETS)]
    parts += ["\n## Weights\n\n", _weights_table(needed), "\n### How to get those that are not fetched by themselves\n"]
    for item in weights():
        if not item.automatic:
            steps = "\n".join(_numbered(instructions(item)))
            parts.append(f"\n**`{item.name}`**: {item.title}. {item.terms}\n\n{steps}\n")
    return "".join(parts)


def _is_unpinned(item: Item) -> bool:
    """The hub is asked for the branch main, and no hash would tell another file."""
    sources = [item.source, *(part.source for part in item.parts)]
    return any(isinstance(source, HubFile) and source.revision == MAIN and not source.known_hash for source in sources)


def _section(item: Item, users: Sequence[str]) -> str:
    about = "~" if item.estimated else ""
    lines = [
        f"\n### `{item.name}`: {item.title}\n",
        f"- **Needed by**: {', '.join(users) or f'nothing in the paper; {_beside(item)}'}",
        f"- **Size**: {about}{in_units(item.download)} to download, {about}{in_units(item.on_disk)} on disk",
        f"- **Terms**: {item.terms}",
        f"- **Source**: <{item.address}>",
        f"- **How it comes**: {_how(item)}",
        f"- **On disk**: `DATA_ROOT/` {item.layout}",
        *_variants(item),
        "",
        "By hand:" if not item.automatic else "By hand, instead:",
        "",
        *_numbered(instructions(item)),
    ]
    return "\n".join(lines) + "\n"


def _beside(item: Item) -> str:
    return "optional" if item.optional else "the profile `open`"


def _variants(item: Item) -> list[str]:
    """What a profile of another extent gets."""
    return [
        f"- **With `extent={extent}`**: {one.title}; {'~' if one.estimated else ''}{in_units(one.download)}; {_how(one)}"
        for (name, extent), one in VARIANTS.items()
        if name == item.name
    ]


def _how(item: Item) -> str:
    told = []
    for part in item.parts:
        source = part.source
        if source is None:
            told.append(f"{part.what} by hand")
        elif isinstance(source, HubFile):
            path = f", `{source.path}`" if source.path else ""
            told.append(f"{part.what} from the Hugging Face hub, {source.repo}{path}, {_at(source)}")
        elif isinstance(source, GithubFiles):
            count = f"{len(listed(source.listing)):,} listed files" if source.listing else "the files that GitHub lists"
            told.append(f"{part.what} from GitHub, {source.repo}, {_at(source)}, {count}, each checked by its git hash")
        else:
            told.append(f"{part.what} from <{source.url}>, {source.known_hash.replace(':', ' ')}")
    return "; ".join(told)


def _at(source: HubFile | GithubFiles) -> str:
    is_open = source.revision == MAIN
    return "branch main, the commit of the first fetch from then on" if is_open else f"commit {source.revision}"


def _weights_table(needed: Mapping[str, Sequence[str]]) -> str:
    head = "| item | file | size | licence | source | check | needed by |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    return head + "".join(
        f"| `{item.name}` | `{item.file.name if item.file else ''}` | "
        f"{'~' if item.estimated else ''}{in_units(item.on_disk)} | "
        f"{item.licence} | {f'<{item.address}>' if item.address.startswith('http') else item.address} | {_check(item)} | "
        f"{', '.join(needed.get(item.name, ())) or _beside(item)} |\n"
        for item in weights()
    )


def _check(item: Item) -> str:
    """How one knows that a file is the right one."""
    source = item.source
    if source is None:
        return "made here" if item.is_made_here else "by hand; by its content"
    checks = []
    if isinstance(source, HubFile) and source.revision != MAIN:
        checks.append(f"commit {source.revision[:12]}")
    if source.known_hash:
        kind, _, digits = source.known_hash.partition(":")
        told = {"sha256": "SHA-256", "sha256-prefix": "SHA-256 starts"}.get(kind, kind.upper())
        checks.append(f"{told} {digits[:16]}{'…' if len(digits) > 16 else ''}")
    return ", ".join(checks) or "trust on first use"
