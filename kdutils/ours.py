"""Our own claims about what is transferred, P1 to P6, fixed on explored seeds to be judged on fresh ones."""

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
}
SHARE = 0.05  # of what is peculiar to a teacher: more is something
A_TENTH, A_FIFTH = float(np.log(1.1)), float(np.log(1.25))  # a tenth more, and a fifth off


def share(study, name):
    """The Estimate of a network's own-teacher share κ."""
    return jackknife(transfer.own_teacher_share, study.field(name, "confidence"), study.field("TN", "confidence"))


def share_difference(study, one, other):
    """The Estimate of κ of network `one` − κ of network `other`."""

    def difference(first, second, teachers):
        return transfer.own_teacher_share(first, teachers) - transfer.own_teacher_share(second, teachers)

    return jackknife(difference, *(study.field(name, "confidence") for name in (one, other, "TN")))


def information_lost(study, name):
    """The Estimate of log(the teacher's mean mutual information / that of network `name`)."""
    teacher, own = (study.mean(study.field(key, "mutual_information")) for key in ("TN", name))
    return teacher.log_ratio(own).estimate()


def one_pass_gain(study, name):
    """The Estimate of log(MUPE of the passes / MUPE with dropout off), towards the teacher's passes."""
    return transferred.mupe(study, name, "on").log_ratio(transferred.mupe(study, name, "off")).estimate()


def conditions(study):
    """{claim: [Condition]} of a study with all seven networks and at least three seeds."""
    plain, distilled = (transferred.recalibrated_mupe(study, name) for name in ("SN2", "KD-SN2"))
    pairs, gain = plain.log_ratio(distilled), study.gain("SN2")
    own, others = transferred.own(pairs), transferred.others(pairs)
    unmet = "recalibrated gain of SN2 towards other teachers"
    return {
        "P1": [
            Condition("own-teacher share of KD-SN2", share(study, "KD-SN2"), SHARE),
            Condition("own-teacher share of SN2", share(study, "SN2"), SHARE, side="within", level=0.9),
        ],
        "P2": [Condition("own-teacher share KD-SN3 − KD-SN2", share_difference(study, "KD-SN3", "KD-SN2"))],
        "P3": [
            Condition("recalibrated gain of SN2 towards its own teacher", own.estimate()),
            Condition(unmet, others.estimate(), A_TENTH, side="within", level=0.9),
        ],
        "P4": [Condition("gain − recalibrated gain of SN2", (gain - own).estimate(), A_TENTH)],
        "P5": [
            *(
                Condition(f"log mutual information TN / {name}", information_lost(study, name), A_FIFTH)
                for name in ("KD-SN3", "KD-SN1")
            ),
            Condition(
                "log mutual information TN / SN3", information_lost(study, "SN3"), A_FIFTH, side="within", level=0.9
            ),
        ],
        "P6": [
            Condition(f"log MUPE 100 passes / one pass of {name}", one_pass_gain(study, name), -A_TENTH)
            for name in ("KD-SN2", "KD-SN1")
        ],
    }


def _rounded(row):
    return row | {"mean": transferred.rounded(row["mean"]), "interval": list(map(transferred.rounded, row["interval"]))}


def record(study):
    """[{"claim", "says", "controlled", "p", "conditions"}] of our claims, as the record of `claims` has them."""
    found = conditions(study)
    judged = judge(list(found.values()), study.seeds)
    return [
        {
            "claim": claim,
            "says": CLAIMS[claim],
            "controlled": controlled,
            "p": transferred.rounded(p),
            "conditions": [_rounded(condition.record()) for condition in own],
        }
        for (claim, own), (p, controlled) in zip(found.items(), judged, strict=True)
    ]
