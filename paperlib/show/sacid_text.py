"""The numbers of SACID's scores for a terminal."""

from paperlib.study.sacid_scores import SacidScores


def sacid_text(found: SacidScores) -> str:
    """Agreement of bit-rate and preset with the scores, and the presets' means, as a few lines of text."""
    rate, order = found["bitrate_only"], found["preset_order"]
    fraccp = _with_interval(order["fraccp"], order["fraccp_interval"])
    presets = list(dict.fromkeys(preset for means in found["preset_means"].values() for preset in means))
    lines = [
        f"{found['images']} sequences with {found['versions']} versions; 95 % bootstrap intervals over sequences",
        "",
        f"bit-rate alone   SROCC   {_with_interval(rate['srocc'], rate['srocc_interval'])}",
        f"                 PLCC    {_with_interval(rate['plcc'], rate['plcc_interval'])}",
        f"preset order     FracCP  {fraccp}  {order['groups']} groups, {' < '.join(order['order'])}",
        "",
        "mean score  " + "".join(f"{preset:>8}" for preset in presets),
    ]
    for bits, means in found["preset_means"].items():
        lines.append(f"{int(bits) / 100:>7.2f} bpp " + "".join(f"{means[preset]:8.3f}" for preset in presets))
    return "\n".join(lines) + "\n"


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.4f}  [{interval[0]:.4f}, {interval[1]:.4f}]"
