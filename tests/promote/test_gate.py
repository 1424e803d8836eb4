import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.promote.gate import Verdict, decide
from components.settings import Gate

GATE = Gate(cvr_auc_margin=0.01, ctcvr_auc_margin=0.02, min_positives=100, pcoc_band=(0.5, 2.0))
UNDEFINED = {"value": None, "low": None, "high": None, "reason": "AUC: expected at least 10 positives, found 3 of 90 rows"}


def auc(value, low):
    return {"value": value, "low": low, "high": value}


def evaluation(*, champion=True, conversions=100, cvr=None, ctcvr=None, pcoc=(1.0, 1.0), faults=()):
    """An evaluation that passes; with a champion cvr and ctcvr are the differences, else the challenger's own AUCs."""
    passing = auc(0.0, -0.005) if champion else auc(0.7, 0.6)
    judged = {"cvr_auc": cvr or passing, "ctcvr_auc": ctcvr or passing}
    own = {"cvr_auc": auc(0.7, 0.6), "ctcvr_auc": auc(0.7, 0.6)} if champion else judged
    sound = {"finite": not faults, "in_range": True, "varying": True, "faults": faults}
    return {
        "conversions": conversions,
        "models": {"challenger": {**own, "pcoc": {"ctr": pcoc[0], "cvr": 1.0, "ctcvr": pcoc[1]}}, "champion": own if champion else None},
        "difference": judged if champion else None,
        "health": {"challenger": sound, "champion": sound if champion else None},
    }


@pytest.mark.parametrize("champion", [True, False])
def test_a_sound_challenger_that_is_not_worse_is_promoted_with_the_numbers(champion):
    verdict = decide(evaluation(champion=champion), gate=GATE)
    assert verdict.verdict == "promote"
    assert ("cvr_auc difference +0.0000 (low -0.0050) is not below the margin -0.0100" in verdict.reason) == champion
    assert ("cvr_auc of the challenger 0.7000 (low 0.6000) is above 0.5 (no champion yet)" in verdict.reason) != champion
    assert "PCOC of pctcvr 1.000 is inside the band 0.5 to 2" in verdict.reason


@pytest.mark.parametrize(
    ("cvr_low", "ctcvr_low", "verdict"),
    [(-0.01, -0.02, "promote"), (-0.010001, -0.02, "hold"), (-0.01, -0.020001, "hold"), (0.3, 0.3, "promote"), (-0.5, -0.5, "hold")],
)
def test_each_lower_bound_may_reach_its_margin_and_no_lower(cvr_low, ctcvr_low, verdict):
    assert decide(evaluation(cvr=auc(0.4, cvr_low), ctcvr=auc(0.4, ctcvr_low)), gate=GATE).verdict == verdict


def test_a_hold_names_what_failed_and_only_that():
    verdict = decide(evaluation(cvr=auc(-0.021, -0.035), pcoc=(1.0, 2.5)), gate=GATE)
    assert verdict == Verdict(
        "hold",
        "cvr_auc difference -0.0210 (low -0.0350) is below the margin -0.0100; PCOC of pctcvr 2.500 is outside the band 0.5 to 2",
    )


@pytest.mark.parametrize(
    ("cvr_low", "ctcvr_low", "verdict"), [(0.501, 0.501, "promote"), (0.5, 0.501, "hold"), (0.501, 0.5, "hold"), (0.3, 0.9, "hold")]
)
def test_the_first_champion_must_be_better_than_chance_on_both(cvr_low, ctcvr_low, verdict):
    first = evaluation(champion=False, cvr=auc(0.7, cvr_low), ctcvr=auc(0.7, ctcvr_low))
    assert decide(first, gate=GATE).verdict == verdict


@pytest.mark.parametrize("champion", [True, False])
@pytest.mark.parametrize(("conversions", "verdict"), [(0, "insufficient"), (99, "insufficient"), (100, "promote")])
def test_too_few_conversions_are_insufficient(champion, conversions, verdict):
    found = decide(evaluation(champion=champion, conversions=conversions), gate=GATE)
    assert found.verdict == verdict
    if verdict == "insufficient":
        assert found.reason == f"conversions in the holdout: {conversions}, fewer than gate.min_positives 100"


@pytest.mark.parametrize("champion", [True, False])
@pytest.mark.parametrize("metric", ["cvr", "ctcvr"])
def test_an_undefined_gate_metric_is_insufficient_with_its_reason(champion, metric):
    found = decide(evaluation(champion=champion, **{metric: UNDEFINED}), gate=GATE)
    assert found.verdict == "insufficient"
    assert found.reason.startswith(f"{metric}_auc {'difference' if champion else 'of the challenger'} is undefined (AUC: expected at least")


def test_a_champion_without_any_difference_is_insufficient():
    assert decide({**evaluation(), "difference": None}, gate=GATE).verdict == "insufficient"


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("found", "verdict"),
    [(0.5, "promote"), (2.0, "promote"), (0.499, "hold"), (2.001, "hold"), (None, "hold"), (math.nan, "hold"), (math.inf, "hold")],
)
def test_pcoc_of_pctr_and_pctcvr_must_lie_in_the_band_ends_included(which, found, verdict):
    pcoc = tuple(found if place == which else 1.0 for place in range(2))
    decided = decide(evaluation(pcoc=pcoc), gate=GATE)
    assert decided.verdict == verdict
    if found is None:
        assert decided.reason == f"PCOC of {('pctr', 'pctcvr')[which]} undefined is outside the band 0.5 to 2"


@pytest.mark.parametrize("part", ["finite", "in_range", "varying"])
def test_unsound_scores_hold_even_where_the_aucs_look_well(part):
    unsound = evaluation()
    unsound["health"]["challenger"] = {**unsound["health"]["challenger"], part: False, "faults": ["pcvr is 0.25 in all 90 rows"]}
    assert decide(unsound, gate=GATE) == Verdict("hold", "challenger: pcvr is 0.25 in all 90 rows")


def test_unsound_scores_are_named_beside_too_few_conversions():
    found = decide(evaluation(conversions=3, faults=("pctcvr is NaN or infinite in 1 of 9 rows",)), gate=GATE)
    assert found.verdict == "insufficient"
    assert found.reason.endswith("; challenger: pctcvr is NaN or infinite in 1 of 9 rows")


def test_unsound_scores_of_the_challenger_are_a_hold_and_not_a_lack_of_rows():
    found = decide(evaluation(cvr=UNDEFINED, faults=("pcvr is NaN or infinite in 1 of 9 rows",)), gate=GATE)
    assert found == Verdict("hold", "challenger: pcvr is NaN or infinite in 1 of 9 rows")


number = st.one_of(st.none(), st.just(math.nan), st.floats(-1, 1))
any_auc = st.one_of(st.just(UNDEFINED), st.builds(auc, number, number))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    champion=st.booleans(),
    conversions=st.integers(90, 200),
    cvr=any_auc,
    ctcvr=any_auc,
    pcoc=st.tuples(st.one_of(st.none(), st.just(math.nan), st.floats(0, 4)), st.one_of(st.none(), st.floats(0.4, 2.2))),
    faults=st.sampled_from([(), (), ("pctr is 0.1 in all 9 rows",)]),
)
def test_nothing_undefined_or_unsound_is_ever_promoted(champion, conversions, cvr, ctcvr, pcoc, faults):
    judged = evaluation(champion=champion, conversions=conversions, cvr=cvr, ctcvr=ctcvr, pcoc=pcoc, faults=faults)
    numbers = [cvr["value"], cvr["low"], ctcvr["value"], ctcvr["low"], *pcoc]
    defined = all(found is not None and math.isfinite(found) for found in numbers)
    found = decide(judged, gate=GATE)
    if not defined or faults or conversions < 100:
        assert found.verdict != "promote"
    elif found.verdict == "promote":
        assert all(low >= -margin if champion else low > 0.5 for low, margin in ((cvr["low"], 0.01), (ctcvr["low"], 0.02)))
    else:
        assert found.verdict == "hold"
    assert found.reason


def test_a_verdict_as_json_is_its_two_fields():
    assert Verdict("hold", "why").to_dict() == {"verdict": "hold", "reason": "why"}
