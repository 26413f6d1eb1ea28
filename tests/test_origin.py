import pytest
from kdutils import origin
from kdutils.runs import NETWORKS

DISTILLED = {"KD-SN1", "KD-SN2", "KD-SN3"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        ("1", set(NETWORKS)),
        ("KD-SN2", {"KD-SN2"}),
        ("SN2, KD-SN1", {"SN2", "KD-SN1"}),
        ("TN", {"TN"} | DISTILLED),
    ],
)
def test_networks_that_are_forced(text, names):
    found, since = origin.forced(f"{text}@2026-01-31T12:00:00+00:00", NETWORKS)
    assert found == names
    assert since == "2026-01-31T12:00:00+00:00"
    assert origin.forced(text, NETWORKS)[1] > since


@pytest.mark.parametrize("text", ["SN4", "KD-SN2,sn1", "0", "True"])
def test_a_network_that_is_not_known_cannot_be_forced(text):
    with pytest.raises(ValueError, match=r"unknown network .* to force: known are 1, TN, KD-SN1"):
        origin.forced(text, NETWORKS)


def test_the_code_that_decides_results_is_that_of_files():
    for names in origin.DECIDES.values():
        assert all((origin.PACKAGE / f"{name}.py").is_file() for name in names)
    assert origin.code("training") != origin.code("prediction")
