"""Codes a photograph in every version, and asks simulated assessors about them.

Nothing here lets a metric judge itself. The assessors look where the *gaze* density says and see damage by Watson's
DCT model; the encoder and the eye-tracking weighted metrics know the *predicted* map alone. The same study is run with
assessors who look everywhere alike (`uniform`): what a metric wins there, it does not owe to saliency.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paperlib.coding import votes
from paperlib.coding.polls import block_gaze, felt
from paperlib.coding.rate import encode_at_rate
from paperlib.coding.x264 import EncoderSettings, StillEncoder, allocate, macroblock_mean, plain_qp
from paperlib.datasets.photographs import predicted_saliency
from paperlib.engine.units import Inputs, Result
from paperlib.experiments.compression.coded_photographs import photograph
from paperlib.vocabulary import OBSERVERS


def code(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Arrays: `stream<i>`, the bit-stream of version i (bit-rates outside, presets inside); `response`
    (versions + 1, H/8, W/8), what an assessor feels at each place (`paperlib.coding.votes.foveal_response`), the last
    one for the undamaged original. Rows per version: bpp, whether it was reached, CRF, and the share of the predicted
    bits in the salient group.
    """
    shown = photograph(params["photograph"])
    image, settings = shown.image, EncoderSettings(params["encoder_preset"])
    saliency = macroblock_mean(predicted_saliency(shown))
    arrays: dict[str, np.ndarray] = {}
    pictures: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    for bpp in params["bpps"]:
        plain = encode_at_rate(StillEncoder(image, settings=settings), bpp)
        qp = plain_qp(image, plain.search.crf, settings)
        for name, rule in params["presets"]:
            found, share = plain, math.nan
            if rule is not None:
                allocation = allocate(saliency, qp, *rule)
                found = encode_at_rate(StillEncoder(image, allocation.offsets, settings), bpp)
                share = allocation.share_after
            arrays[f"stream{len(pictures)}"] = np.frombuffer(found.coded.stream, dtype=np.uint8)
            pictures.append(found.coded.picture)
            values = {"bpp": found.search.bpp, "reached": found.search.reached, "crf": found.search.crf, "share": share}
            variant = f"{shown.name}@{bpp:g}"
            rows += [
                {
                    "method": name,
                    "dataset": params["dataset"],
                    "metric": key,
                    "variant": variant,
                    "value": float(value),
                    "n": 1,
                }
                for key, value in values.items()
            ]
    arrays["response"] = felt([*pictures, image], image).astype(np.float32)
    return Result(rows=pd.DataFrame(rows), arrays=arrays)


def poll(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Arrays: `scores` and `standard_errors` (photographs, versions), `wins` (photographs, versions, versions). Rows: the
    share of excluded assessors and of ties, the number of votes that count, the median score of the best version.
    """
    responses = [inputs[name].arrays["response"] for _, name in params["prepared"]]
    gaze = [block_gaze(one.gaze, params["observers"]) for one in map(photograph, params["photographs"])]
    count, worst_version = len(responses[0]) - 1, 0
    rng = np.random.default_rng([params["seed"], OBSERVERS.index(params["observers"])])
    plan = votes.schedule(
        params["assessors"],
        len(responses),
        count,
        rng,
        params["random_pairs"],
        params["verification_pairs"],
        obvious=(count, worst_version),
    )
    model = votes.AssessorModel(
        fixations=params["fixations"], noise=params["noise"], tie=params["tie"], inattentive=params["inattentive"]
    )
    choice = votes.simulate(plan, responses, gaze, rng, model)
    kept = votes.counted(plan, choice)
    wins = votes.count_wins(plan.image[kept], plan.left[kept], plan.right[kept], choice[kept], len(responses), count)
    fitted = votes.bradley_terry(wins)
    values = {
        "excluded": 1 - votes.attentive(plan, choice).mean(),
        "ties": (choice[kept] == votes.TIE).mean(),
        "votes": kept.sum(),
        "best_score": np.median(fitted.scores.max(axis=1)),
    }
    rows = [
        {
            "method": "votes",
            "dataset": params["dataset"],
            "metric": key,
            "variant": params["observers"],
            "seed": params["seed"],
            "value": float(value),
            "n": params["assessors"],
        }
        for key, value in values.items()
    ]
    arrays = {"scores": fitted.scores, "standard_errors": fitted.standard_errors, "wins": wins}
    return Result(rows=pd.DataFrame(rows), arrays=arrays)
