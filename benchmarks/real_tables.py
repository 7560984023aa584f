"""Tables in Markdown of what `real_runs.run` found, a row a set; pure functions of its JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from service.estimation.verdicts import SURE

Found = Mapping[str, Any]  # what `real_runs.run` says of one set, as JSON
OBJECTIVES = {"ca": "align", "cp_x_to_y": "predict x → y", "cp_y_to_x": "predict y → x"}
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
COMPONENTS = 12  # of alignment, shown with their covariates
NONE = "–"


def tables(found: Mapping[str, Found]) -> str:
    """Every table, with its caption."""
    parts: Sequence[tuple[str, str, Sequence[str], Callable[[str, Found], Iterable[Sequence[str]]]]] = (
        ("The pairs", "", ("set", "x", "y", "pairs used", "dx, dy", "labels", "groups", "covariates"), _pairs),
        (
            "The answer",
            f"In brackets the probability. Conclusive: the regime of x → y has {SURE} or more.",
            ("set", "regime x → y", "regime y → x", "conclusive", "better way to predict", "recommendation"),
            _answers,
        ),
        (
            "Ratios",
            "Median and interval; r/s: r of s signal components stand above the nuisance floor.",
            ("set", *OBJECTIVES.values()),
            _ratios,
        ),
        (
            "The published procedure beside it",
            "On the same features (complete pairs, scaled where the set says so), without groups and covariates; "
            "∞ where it finds no nuisance.",
            ("set", "features", "regime x → y", "regime y → x", *OBJECTIVES.values()),
            _published,
        ),
        (
            "Evidence and model",
            "p-values of the tests behind a claim, correlation of the leading direction on held-out pairs, the model "
            "that was fitted, and what the data are worth to it.",
            (
                "set",
                "p, pairing",
                "held-out correlation",
                "p, labels with x; y",
                "signal claimed",
                "model (misfit)",
                "effective pairs; labels",
                "crowding",
            ),
            _evidence,
        ),
        (
            "Rehearsal",
            "R² for numbers, balanced accuracy for classes, ± standard error. Best: the cross-modal encoder of the "
            "largest lift over chance, averaged over labels, with the dimension of its embedding.",
            ("set", "label", "chance", "x", "y", "both", "best cross-modal encoder", "its score"),
            _rehearsals,
        ),
        (
            "Stability",
            "Over random halves of the pairs, or of the groups: how often a half names the regime (x → y) that all "
            "pairs name; which regimes the conclusive halves name; how many of these contradict the one that most of "
            "them name, and a conclusive answer of all pairs; how often the published procedure, which is never in "
            "doubt, agrees with itself. Over seeds of the estimator, on all pairs: which regimes it names, and which "
            "with a probability of 0.8 or more.",
            (
                "set",
                "regime of all",
                "halves that claim signal",
                "halves that agree",
                "conclusive halves",
                "contradict each other",
                "contradict all pairs",
                "published: agree",
                "by seed",
                "conclusive by seed",
            ),
            _stabilities,
        ),
        ("Warnings", "", ("set", "codes"), _warnings),
        (
            "Accidents",
            "A column of x stands in y once more; the rows of y are shuffled; x and y are pure noise beside the real "
            "labels. Warnings: those that the sound pair does not have.",
            ("set", "accident", "signal claimed", "regime x → y", "recommendation", "warnings"),
            _accidents,
        ),
        (
            "What covariates explain",
            f"The first {COMPONENTS} components of alignment of the sets that have covariates: corrected canonical "
            "correlation, posterior share of signal, class, and the share of each covariate (adjusted R²).",
            ("set", "#", "correlation", "signal", "class", "covariates"),
            _components,
        ),
    )
    return "\n\n".join(
        "\n\n".join(
            part
            for part in (
                f"### {title}",
                caption,
                _table(head, [row for name, one in found.items() for row in rows(name, one)]),
            )
            if part
        )
        for title, caption, head, rows in parts
    )


def between_markers(page: str, text: str) -> str:
    """The page with `text` in the place of what stands between the markers.

    Raises: ValueError when the page has no such place.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page needs a line {BEGIN} and a later one {END}: the tables go between them.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def agreement(halves: Sequence[Mapping[str, Any]], regime: str) -> dict[str, Any]:
    """How halves agree with `regime`, that of all pairs.

    Returns: `agree`, halves that name it; `conclusive`, sure halves by regime; `split`, sure halves that name another
    regime than most sure ones; `against`, sure halves that name another than `regime`.
    """
    sure = Counter(half["regime"] for half in halves if half["probability"] >= SURE)
    return {
        "agree": sum(half["regime"] == regime for half in halves),
        "conclusive": dict(sure.most_common()),
        "split": sure.total() - max(sure.values(), default=0),
        "against": sure.total() - sure[regime],
    }


def ratio(separation: Mapping[str, Any]) -> str:
    """A ratio with its interval, or why there is none, and how many signal components stand above the floor."""
    if separation["status"] == "no_signal":
        return "no signal"
    value = "∞" if separation["ratio"] is None else _number(separation["ratio"])
    counts = f"{separation['recovered_count']}/{separation['signal_count']}"
    interval = separation["interval"]
    if interval is None:
        return f"{value}, {counts}"
    high = "∞" if interval["high"] is None else _number(interval["high"])
    return f"{value} ({_number(interval['low'])} to {high}), {counts}"


def _pairs(name: str, found: Found) -> Iterable[Sequence[str]]:
    data = found["report"]["data"]
    labels = ", ".join(
        label["name"] + ("" if label["classes"] is None else f" ({len(label['classes'])} classes)")
        for label in data["labels"]
    )
    used = f"{data['n_pairs_used']:,}"
    if data["n_pairs_used"] < data["n_pairs"]:
        used += f" of {data['n_pairs']:,}"
    yield (
        name,
        found["x_name"],
        found["y_name"],
        used,
        f"{data['n_features_x']}, {data['n_features_y']}",
        labels,
        NONE if data["n_groups"] is None else str(data["n_groups"]),
        ", ".join(covariate["name"] for covariate in data["covariates"]) or NONE,
    )


def _answers(name: str, found: Found) -> Iterable[Sequence[str]]:
    report = found["report"]
    direction = report["direction"]
    yield (
        name,
        _regime(report, "x_to_y"),
        _regime(report, "y_to_x"),
        _yes(report["conclusive"]),
        NONE if direction is None else f"{_way(direction)} ({report['direction_probability']:.2f})",
        _recommendation(report["recommendation"]),
    )


def _ratios(name: str, found: Found) -> Iterable[Sequence[str]]:
    yield name, *(ratio(found["report"]["separation"][objective]) for objective in OBJECTIVES)


def _published(name: str, found: Found) -> Iterable[Sequence[str]]:
    titles = {"same_features": "the same", "as_they_are": "as they are"}
    for place, one in found["published"].items():
        ratios = (ratio(one["separation"][objective]) for objective in OBJECTIVES)
        yield name, titles[place], one["regimes"]["x_to_y"], one["regimes"]["y_to_x"], *ratios


def _evidence(name: str, found: Found) -> Iterable[Sequence[str]]:
    evidence, model = found["report"]["evidence"], found["report"]["model"]
    yield (
        name,
        _number(evidence["coupling_p_value"]),
        f"{evidence['held_out_correlation']:.2f}",
        f"{_number(evidence['labels_p_value_x'])}; {_number(evidence['labels_p_value_y'])}",
        _yes(evidence["signal_claimed"]),
        f"{model['kind']} ({_number(model['misfit'])})",
        f"{model['effective_pairs']:,.0f}; {model['effective_labels']:,.0f}",
        _number(model["crowding"]),
    )


def _rehearsals(name: str, found: Found) -> Iterable[Sequence[str]]:
    best = found["best_cross_modal"]
    rows = found["report"]["rehearsal"]["rows"]
    for label in dict.fromkeys(row["label"] for row in rows):
        scores = {(row["encoder"], row["embedding_dim"]): row for row in rows if row["label"] == label}
        yield (
            name,
            label,
            f"{scores['x', None]['chance']:.2f}",
            *(_score(scores[encoder, None]) for encoder in ("x", "y", "both")),
            NONE if best is None else f"{best[0]}, {best[1]}",
            NONE if best is None else _score(scores[tuple(best)]),
        )


def _stabilities(name: str, found: Found) -> Iterable[Sequence[str]]:
    halves, regime = found["halves"], found["report"]["regime"]
    said = agreement(halves, regime)
    published = found["published"]["same_features"]["regimes"]["x_to_y"]
    agree = sum(half["published"] == published for half in halves)
    yield (
        name,
        _regime(found["report"], "x_to_y"),
        f"{sum(half['claimed'] for half in halves)} of {len(halves)}",
        f"{said['agree']} of {len(halves)}",
        _counts(said["conclusive"]),
        str(said["split"]),
        str(said["against"]) if found["report"]["conclusive"] else NONE,
        f"{agree} of {len(halves)} ({published})",
        _counts(Counter(one["regime"] for one in found["seeds"])),
        _counts(agreement(found["seeds"], regime)["conclusive"]),
    )


def _warnings(name: str, found: Found) -> Iterable[Sequence[str]]:
    yield name, _codes(warning["code"] for warning in found["report"]["warnings"])


def _accidents(name: str, found: Found) -> Iterable[Sequence[str]]:
    known = {warning["code"] for warning in found["report"]["warnings"]}
    for accident, report in found["accidents"].items():
        yield (
            name,
            accident,
            _yes(report["evidence"]["signal_claimed"]),
            _regime(report, "x_to_y"),
            _recommendation(report["recommendation"]),
            _codes(warning["code"] for warning in report["warnings"] if warning["code"] not in known),
        )


def _components(name: str, found: Found) -> Iterable[Sequence[str]]:
    for component in found["report"]["spectra"]["ca"][:COMPONENTS]:
        if component["covariates"]:
            yield (
                name,
                str(component["index"]),
                f"{component['corrected_value']:.2f}",
                f"{component['signal_share']:.2f}",
                component["class"],
                ", ".join(f"{covariate} {share:.2f}" for covariate, share in component["covariates"].items()),
            )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _regime(report: Mapping[str, Any], direction: str) -> str:
    regime = report["regimes"][direction]
    return f"{regime} ({report['regime_probabilities'][direction][regime]:.2f})"


def _recommendation(recommendation: Mapping[str, Any]) -> str:
    if recommendation["modality"] is not None:
        return f"{recommendation['objective']}: {recommendation['modality']}"
    if recommendation["direction"] is not None:
        return f"{recommendation['objective']} {_way(recommendation['direction'])}"
    return str(recommendation["objective"])


def _way(direction: str) -> str:
    return direction.replace("_to_", " → ")


def _score(row: Mapping[str, Any]) -> str:
    return f"{row['score']:.3f} ± {row['standard_error']:.3f}"


def _codes(codes: Iterable[str]) -> str:
    counts = Counter(codes)
    return ", ".join(f"`{code}`" + (f" ({count})" if count > 1 else "") for code, count in counts.items()) or "none"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {regime}" for regime, count in counts.items()) or "none"


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _number(value: float) -> str:
    """Three digits, without an exponent where one can be spared."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
