"""Do the intervals cover, and do verdicts err? Simulated studies whose truth is known, to results/coverage.json.

python tests/benchmarks/coverage.py            minutes; --quick: 200 studies of each kind, written nowhere
    --transfer: only the intervals of what is transferred, beside what the file holds

Each study has R seeds and n test images. The value of a measure is its mean over all seeds and images, and a 95 %
interval should hold it in 95 of 100 studies. Where the truth is "no difference", a verdict errs when it says so.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from kdutils import claims, judging, stats, transfer, transferred
from kdutils.plumbing import machine, store
from kdutils.study import Measure

ROOT = Path(__file__).resolve().parents[2]
IMAGES, RESAMPLES = 500, 400
WEIGHTS = stats.image_weights(IMAGES, RESAMPLES)


def accuracies(rng, seeds):
    """Right or wrong: images differ in difficulty, seeds in skill. Returns the Estimate and the truth."""
    difficulty, skill = rng.normal(1.5, 1, IMAGES), rng.normal(0, 0.3, (seeds, 1))
    probability = 1 / (1 + np.exp(-(difficulty + skill)))
    right = (rng.random((seeds, IMAGES)) < probability).astype(float)
    return stats.two_level(right.mean(1), stats.weighted_means(right, WEIGHTS)), ACCURACY


def log_ratios(rng, seeds, gain=0.5):
    """A gain G: squared differences of two networks from one teacher, the log of the ratio of their means."""
    image, seed = rng.normal(0, 1, IMAGES), rng.normal(0, 0.2, (seeds, 1))
    one, other = (np.exp(image + seed * sign + rng.normal(0, 0.5, (seeds, IMAGES))) for sign in (1, -1))
    one = one * np.exp(gain)
    values = np.log(one.mean(1) / other.mean(1))
    resampled = np.log(stats.weighted_means(one, WEIGHTS) / stats.weighted_means(other, WEIGHTS))
    return stats.two_level(values, resampled), gain


def ece_differences(rng, seeds):
    """Two miscalibrated networks, over- and underconfident by an amount that varies with the seed."""
    parts, truth = [], 0.0
    difficulty = rng.beta(6, 1, IMAGES) * 0.5 + 0.4
    for off in (0.10, 0.06):
        c = np.tile(difficulty, (seeds, 1))
        right = rng.random((seeds, IMAGES)) < c - off + rng.normal(0, 0.01, (seeds, 1))
        values = [stats.calibration.expected_calibration_error(*row) for row in zip(c, right, strict=True)]
        parts.append((np.array(values), stats.weighted_eces(c, right, WEIGHTS)))
        truth = off - truth
    values, resampled = (a - b for a, b in zip(*parts, strict=True))
    return stats.two_level(values, resampled), 0.04


def own_teacher_shares(rng, seeds, share=0.2):
    """κ: students have about `share` of what is peculiar to their teachers, most of it on few images."""
    difficulty, weight = rng.normal(0, 0.02, IMAGES), 0.01 * np.exp(rng.normal(0, 0.5, IMAGES))
    own, noise = (weight * rng.normal(0, 1, (seeds, IMAGES)) for _ in range(2))
    copied, level = share + rng.normal(0, 0.05, (seeds, 1)), rng.normal(0, 0.01, (seeds, 1))
    teachers, students = 0.5 + difficulty + own, 0.5 + level + difficulty + copied * own + noise
    return stats.jackknife(transfer.own_teacher_share, students, teachers), share


def others_gains(rng, seeds, gain=0.1):
    """A gain towards other seeds' teachers: each pair of a student and a teacher has squared differences."""
    image = rng.normal(0, 1, IMAGES)
    student, teacher = rng.normal(0, 0.1, (seeds, 1, 1)), rng.normal(0, 0.1, (1, seeds, 1))
    pairs = [image + rng.normal(0, 0.5, (seeds, seeds, IMAGES)) for _ in range(2)]
    pairs[0] = pairs[0] + gain + student + teacher
    flat = [np.exp(rows).reshape(-1, IMAGES) for rows in pairs]
    without, with_it = (Measure(rows.mean(1), stats.weighted_means(rows, WEIGHTS)) for rows in flat)
    ratio = without.log_ratio(with_it)
    square = Measure(ratio.values.reshape(seeds, seeds), ratio.resampled.reshape(-1, seeds, seeds))
    return transferred.others(square).estimate(), gain


def true_accuracy():
    rng = np.random.default_rng(0)
    return float((1 / (1 + np.exp(-(rng.normal(1.5, 1, 10**6) + rng.normal(0, 0.3, 10**6))))).mean())


ACCURACY = true_accuracy()
KINDS = {"accuracy": accuracies, "log-ratio": log_ratios, "ECE difference": ece_differences}
TRANSFER_KINDS = {"own-teacher share": own_teacher_shares, "gain, other teachers": others_gains}


def coverage(kind, seeds, studies):
    rng, inside = np.random.default_rng([seeds, len(kind)]), 0
    for _ in range(studies):
        estimate, truth = (KINDS | TRANSFER_KINDS)[kind](rng, seeds)
        low, high = estimate.interval()
        inside += low <= truth <= high
    return inside / studies


def coverages(kinds, studies):
    return {kind: {str(seeds): coverage(kind, seeds, studies) for seeds in (3, 5, 10)} for kind in kinds}


def verdicts(gain, studies, seeds=10):
    """How often "G > log 1.25" is called supported where the gain is `gain`."""
    rng, bound, found = np.random.default_rng(int(100 * gain)), claims.DELTAS["log-ratio"], 0
    for _ in range(studies):
        condition = judging.Condition("", log_ratios(rng, seeds, gain)[0], bound)
        found += judging.verdict([condition], condition.p_value(), seeds) == "supported"
    return found / studies


def specificities(copied, studies, seeds=10):
    """How often students that take over `copied` of their teacher's own part are called specific at 5 %."""
    rng, found = np.random.default_rng(int(100 * copied)), 0
    for _ in range(studies):
        shared = rng.normal(0, 1, IMAGES)
        teachers = shared + rng.normal(0, 0.5, (seeds, IMAGES))
        students = shared + copied * (teachers - shared) + rng.normal(0, 0.5, (seeds, IMAGES))
        found += stats.specificity_test(stats.specificity(students, teachers), resamples=500)[1] <= 0.05
    return found / studies


def transfers(studies):
    """The intervals of what is transferred, with a time and commit of their own."""
    made = machine.provenance()
    about = {"made": made["made"], "commit": made["commit"], "studies": studies}
    return about | {"coverage": coverages(TRANSFER_KINDS, studies)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--transfer", action="store_true")
    options, path = parser.parse_args(), ROOT / "results" / "coverage.json"
    studies = 200 if options.quick else 2000
    if options.transfer:
        record = json.loads(path.read_text(encoding="utf-8"))
    else:
        record = machine.provenance() | {"studies": studies, "images": IMAGES, "coverage": coverages(KINDS, studies)}
        bound = claims.DELTAS["log-ratio"]
        record["false_verdicts"] = {"gain at the bound": verdicts(bound, studies), "no gain": verdicts(0.0, studies)}
        record["power"] = {f"gain {gain}": verdicts(gain, studies) for gain in (0.4, 0.6, 0.8)}
        record["specificity"] = {f"copied {part}": specificities(part, studies // 4) for part in (0.0, 0.02, 0.05, 0.1)}
    record["transfer"] = transfers(studies)
    print(json.dumps(record, indent=1))
    if not options.quick:
        store.write_atomically(path, store.to_json(record))


if __name__ == "__main__":
    main()
