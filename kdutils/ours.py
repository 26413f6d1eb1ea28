"""Our own claims about what is transferred, P1 to P8, fixed on explored seeds to be judged on fresh ones."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from . import transfer, transferred
from .judging import Condition, judge
from .stats import jackknife

CLAIMS = {
    "P1": "a distilled student has something of its own teacher",
    "P2": "it has more with the teacher's own architecture",
    "P3": "beyond recalibration, it gains only towards its own teacher",
    "P4": "a good part of SN2's raw gain is recalibration",
    "P5": "the dropout uncertainty is not taken over: it shrinks",
    "P6": "a student's one pass follows the teacher as well as its hundred",
    "P7": "a one-pass student follows it better than a distilled student's hundred",
    "P8": "and under shift",
}
SHARE = 0.05  # of what is peculiar to a teacher: more is something
A_TENTH, A_FIFTH, A_THIRD = (float(np.log(ratio)) for ratio in (1.1, 1.25, 1.5))  # a tenth more; a fifth, a third off


class Need(NamedTuple):
    """What a claim needs: measure(study), an Estimate, on a side of `bound`, as in `judging.Condition`."""

    what: str
    measure: Callable
    bound: float = 0.0
    side: str = "above"
    level: float = 0.95
    images: str = "test"  # or the shift of `shifts.NAMES` that the study is of


def _share(*names):
    """Measures κ of a network; of two networks, the difference."""

    def share(*rows):
        *students, teachers = rows
        first, *rest = (transfer.own_teacher_share(own, teachers) for own in students)
        return first - sum(rest)

    return lambda study: jackknife(share, *(study.field(name, "confidence") for name in (*names, "TN")))


@lru_cache(maxsize=1)  # three conditions of a study ask for it
def recalibrated_gain(study):
    """The Measure (seeds, seeds) of SN2's gain, student i recalibrated to teacher j."""
    plain, distilled = (transferred.recalibrated_mupe(study, name) for name in ("SN2", "KD-SN2"))
    return plain.log_ratio(distilled)


def _recalibration(study):
    return (study.gain("SN2") - transferred.own(recalibrated_gain(study))).estimate()


def _information_lost(name):
    """Measures log(the teacher's mean mutual information / that of network `name`)."""

    def measure(study):
        teacher, own = (study.mean(study.field(key, "mutual_information")) for key in ("TN", name))
        return teacher.log_ratio(own).estimate()

    return measure


def _closer(far, near):
    """Measures log(MUPE of `far` / MUPE of `near`) towards the teacher's passes. Each: (network, dropout on or off)."""
    return lambda study: transferred.mupe(study, *far).log_ratio(transferred.mupe(study, *near)).estimate()


NEEDS = {
    "P1": [
        Need("own-teacher share of KD-SN2", _share("KD-SN2"), SHARE),
        Need("own-teacher share of SN2", _share("SN2"), SHARE, "within", 0.9),
    ],
    "P2": [Need("own-teacher share KD-SN3 − KD-SN2", _share("KD-SN3", "KD-SN2"))],
    "P3": [
        Need(
            "recalibrated gain of SN2 towards its own teacher",
            lambda study: transferred.own(recalibrated_gain(study)).estimate(),
        ),
        Need(
            "recalibrated gain of SN2 towards other teachers",
            lambda study: transferred.others(recalibrated_gain(study)).estimate(),
            A_TENTH,
            "within",
            0.9,
        ),
    ],
    "P4": [Need("gain − recalibrated gain of SN2", _recalibration, A_TENTH)],
    "P5": [
        Need("log mutual information TN / KD-SN3", _information_lost("KD-SN3"), A_FIFTH),
        Need("log mutual information TN / KD-SN1", _information_lost("KD-SN1"), A_FIFTH),
        Need("log mutual information TN / SN3", _information_lost("SN3"), A_FIFTH, "within", 0.9),
    ],
    "P6": [
        Need(f"log MUPE 100 passes / one pass of {name}", _closer((name, "on"), (name, "off")), -A_TENTH)
        for name in ("KD-SN2", "KD-SN1")
    ],
}


STUDENT, CONTROL = "ONE-SN2", "KD-SN2-steps"  # the control: the paper's distillation, given as many steps
ONE_PASS_NEEDS = {
    "P7": [
        Need("log MUPE KD-SN2, 100 passes / ONE-SN2", _closer(("KD-SN2", "on"), (STUDENT, "off")), A_FIFTH),
        Need("log MUPE KD-SN2-steps, one pass / ONE-SN2", _closer((CONTROL, "off"), (STUDENT, "off")), A_TENTH),
    ],
    "P8": [
        Need(
            f"log MUPE KD-SN2-steps, 100 passes / ONE-SN2, {images}",
            _closer((CONTROL, "on"), (STUDENT, "off")),
            A_THIRD,
            images=images,
        )
        for images in ("rotation-45", "fashion")  # no view of the student's training turns so far, or is no digit
    ],
}


def conditions(studies):
    """{claim: [Condition]} of {"test" or a shift: Study} with all seven networks and at least three seeds.

    P7 and P8 only where the test images' study has the one-pass student.
    """
    needs = NEEDS | (ONE_PASS_NEEDS if STUDENT in studies["test"].predictions else {})
    return {
        claim: [
            Condition(need.what, need.measure(studies[need.images]), need.bound, side=need.side, level=need.level)
            for need in own
        ]
        for claim, own in needs.items()
    }


def record(studies):
    """[{"claim", "says", "controlled", "p", "conditions"}] of our claims, as the record of `claims` has them.

    studies: as for `conditions`. The correction counts all of `CLAIMS`: p is 1 for a claim that is not measured.
    """
    found = conditions(studies)
    unmeasured = [[Condition("", None)] for claim in CLAIMS if claim not in found]
    judged = judge([*found.values(), *unmeasured], studies["test"].seeds)[: len(found)]
    return [
        {
            "claim": claim,
            "says": CLAIMS[claim],
            "controlled": controlled,
            "p": transferred.rounded(p),
            "conditions": transferred.rounded([condition.record() for condition in own]),
        }
        for (claim, own), (p, controlled) in zip(found.items(), judged, strict=True)
    ]
