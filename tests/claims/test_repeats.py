"""Two planted runs on one device, whose verdicts stay, move and flip."""

import dataclasses

from planted import in_processes, speed

from tresnet_lite.claims.repeats import repeats


def run(name, day, *, stem, se):
    """ResNet50 with SpaceToDepth `stem` times as fast, and networks without SE `se` times."""
    records = [
        speed("stem", "conv7x7", "inference", 100, case="resnet50"),
        speed("stem", "space_to_depth", "inference", 100 * stem, case="resnet50"),
        speed("se", "three", "inference", 100, case="stages"),
        speed("se", "none", "inference", 100 * se, case="stages"),
    ]
    return [
        dataclasses.replace(
            record,
            provenance=dataclasses.replace(
                record.provenance, run=name, date=f"2026-01-0{day}T00:00:00+00:00"
            ),
        )
        for record in in_processes(records, 0.001, seed=day)
    ]


def test_two_runs_that_agree_and_two_that_do_not():
    first, second = run("a", 1, stem=1.04, se=1.2), run("b", 2, stem=1.04, se=1.2)
    third = run("c", 3, stem=0.9, se=0.98)
    table = repeats([*first, *second, *third])
    assert table["first"].tolist() == ["2026-01-01", "2026-01-02"]
    same, other = table.to_dict("records")
    assert same["claims"] == same["alike"] == same["judged"] == 4
    assert same["moved"] == same["flipped"] == 0 and same["which"] == ""
    # is the stem faster, and by how much; does SE cost time (how much, not: neither cost is right)
    assert other["flipped"] >= 3 and other["alike"] == 4 - other["flipped"] - other["moved"]
    changed = {"stem-speeds-inference-up", "stem-inference-gain", "se-slows-inference"}
    assert changed <= set(other["which"].split(", "))


def test_one_run_compares_with_nothing():
    assert repeats(run("a", 1, stem=1.04, se=1.2)).empty
    assert repeats([]).empty
