"""Simulated studies whose truth is known."""

from types import SimpleNamespace

import numpy as np

NETWORKS = ("TN", "KD-SN1", "KD-SN2", "KD-SN3", "SN1", "SN2", "SN3")


def fake_study(seeds=10, images=400, *, copying=0.0, effects=None, seed=0):
    """{network: [Predictions, …]}: images of their own difficulty; students `copying` their teacher's confidence."""
    rng = np.random.default_rng(seed)
    difficulty = rng.beta(8, 1, images)
    teachers = [(difficulty + rng.normal(0, 0.05, images)).clip(0.1, 1) for _ in range(seeds)]
    study = {}
    for name in NETWORKS:
        study[name] = []
        for teacher in teachers:
            own = (difficulty + rng.normal(0, 0.05, images)).clip(0.1, 1)
            share = copying if name.startswith("KD-") else 0
            c = (
                teacher
                if name == "TN"
                else (share * teacher + (1 - share) * own + (effects or {}).get(name, 0)).clip(0, 1)
            )
            right = rng.random(images) < own
            study[name].append(
                SimpleNamespace(
                    confidence=c,
                    correct=right,
                    deterministic_confidence=c**2,
                    deterministic_correct=right,
                    expected_max=c**3,
                    mc_mean=np.stack([c, 1 - c], 1),
                    mc_sd=0.3 * c,
                )
            )
    return study
