"""The rule by which claims are judged: conditions, each with its interval, and a verdict on all of a claim's."""

from typing import NamedTuple

from .stats import Estimate, holm

FEWEST_SEEDS = 10  # for a verdict other than "open", by the rule fixed beforehand
SIDES = {"above": "above {:.3f}", "below": "below {:.3f}", "within": "within ± {:.3f}"}
MARKS = {"yes": "\xa0✓", "no": "\xa0✗", "open": ""}  # whether a condition stands, taken alone; no line breaks them off


class Condition(NamedTuple):
    """One requirement of a claim: `estimate` lies above or below `bound`, or, an equivalence, within ± `bound` of 0.

    side: one of `SIDES`. p: of a test that replaces the t test; then there may be no estimate. With neither, the seeds
    were too few for the test. level: of the interval.
    met: of a requirement without chance, which has neither estimate nor p. remark: what else is to be said of it.
    """

    what: str
    estimate: Estimate | None
    bound: float = 0.0
    p: float | None = None
    side: str = "above"
    level: float = 0.95
    met: bool | None = None
    remark: str = ""

    def _mirrored(self):
        """(estimate, bound) as if the estimate had to lie above the bound."""
        below = self.side == "below"
        return (-self.estimate, -self.bound) if below else (self.estimate, self.bound)

    def p_value(self):
        """Of the test that this requirement does not hold; 0 or 1 for one without chance."""
        if self.met is not None:
            return float(not self.met)
        if self.p is not None:
            return self.p
        if self.estimate is None:
            return 1.0
        estimate, bound = self._mirrored()
        if self.side == "within":  # two one-sided tests
            return max(estimate.p_above(-bound), (-estimate).p_above(-bound))
        return estimate.p_above(bound)

    def holds(self):
        """Whether the whole interval lies where the claim says (a test without estimate: p < 0.05)."""
        if self.estimate is None:
            return self.p_value() < 0.05
        estimate, bound = self._mirrored()
        low, high = estimate.interval(self.level)
        return bool(-bound < low and high < bound if self.side == "within" else low > bound)

    def refuted(self):
        """Whether it lies wholly on the other side, or (90 % interval) no difference that would matter is shown."""
        if self.estimate is None:
            return False
        estimate, bound = self._mirrored()
        low, high = estimate.interval()
        if self.side == "within":
            return bool(low > bound or high < -bound)
        narrow = estimate.interval(0.9)
        return bool(high < min(0, bound) or (-bound < narrow[0] and narrow[1] < bound))

    def record(self):
        """As the record of `claims` holds it: what was needed and found, and whether it stands, taken alone."""
        if self.met is not None:
            answer = "yes" if self.met else "no"
            return {"what": self.what, "needed": "yes", "found": answer, "stands": answer}
        row = {"what": self.what, "stands": "yes" if self.holds() else "no" if self.refuted() else "open"}
        remark = f"; {self.remark}" * bool(self.remark)
        if self.estimate is None:
            found = "needs two seeds" if self.p is None else p_text(self.p)
            return row | {"needed": "p < 0.05", "found": found + remark, "p": self.p}
        row |= {"needed": SIDES[self.side].format(self.bound), "found": self.estimate.text(level=self.level) + remark}
        return row | self.estimate.record(self.level)


def marked(condition):
    """What was found of a condition, as `Condition.record` has it, with one of MARKS; "–" for None: not measured."""
    return condition["found"] + MARKS[condition["stands"]] if condition else "–"


def p_text(p):
    """A p-value in words: 0.0001 is the least that 10,000 random permutations can give."""
    return "p ≤ 0.0001" if p <= 1.0001e-4 else f"p = {p:.2g}"


def verdict(conditions, adjusted_p, seeds):
    """The verdict on a claim: "supported", "not supported" or "open"."""
    if seeds < FEWEST_SEEDS:
        return "open"
    if all(condition.holds() for condition in conditions) and adjusted_p < 0.05:
        return "supported"
    return "not supported" if any(condition.refuted() for condition in conditions) else "open"


def judge(family, seeds):
    """[(Holm-adjusted p, verdict)] of a family of claims, each a list of Conditions."""
    adjusted = holm([max(condition.p_value() for condition in conditions) for conditions in family])
    return [(float(p), verdict(found, p, seeds)) for found, p in zip(family, adjusted, strict=True)]
