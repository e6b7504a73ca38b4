"""What counts as the same value, and what as none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestion.resolution.normalize import NORMALIZERS, Placeholders
from ingestion.resolution.rules import PLACEHOLDERS, Normal


@pytest.mark.parametrize(
    ("form", "same"),
    [
        ("email", ["Ada@Example.org", " ada@example.org", "ada+shop@example.org", "ADA@EXAMPLE.ORG."]),
        ("email", ["a.da@gmail.com", "ada@googlemail.com", "ada+x@gmail.com"]),
        ("name", ["Zoë Núñez", "NUNEZ, Zoe", "zoe  nunez", "Nu\u0301n\u0303ez Zoe\u0308", "Ｚｏｅ Nunez"]),
        ("name", ["Łukasz Müller-Strauß", "strauss muller lukasz"]),
        ("text", ["DE 12/34-X", "de1234x", "ＤＥ1234Ｘ"]),
        ("none", ["A-1", " A-1 "]),
    ],
)
def test_spellings_of_one_value(form: Normal, same: list[str]) -> None:
    assert len({NORMALIZERS[form](value) for value in same}) == 1


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        ("email", "a.da@example.org", "ada@example.org"),
        ("email", "ada@example.org", "ada@example.com"),
        ("name", "1990-01-02", "1990-02-01"),
        ("name", "Ada Byron", "Ada Bryon"),
        ("text", "12-34", "12-35"),
        ("none", "a-1", "A-1"),
        ("text", "किरण", "करण"),
    ],
)
def test_different_values_stay_different(form: Normal, first: str, second: str) -> None:
    assert NORMALIZERS[form](first) != NORMALIZERS[form](second)


@pytest.mark.parametrize("value", ["ada", "@example.org", "ada@", "ada@local", "a da@example.org", "+x@example.org"])
def test_no_address_is_none(value: str) -> None:
    assert NORMALIZERS["email"](value) is None


@given(st.sampled_from(["text", "email", "name", "none"]), st.text(max_size=20) | st.emails())
@example("text", "R\u00b8")  # the cedilla comes apart from its space, and falls to the R
def test_a_normal_form_is_its_own(form: Normal, value: str) -> None:
    normal = NORMALIZERS[form](value)
    assert normal is None or NORMALIZERS[form](normal) == normal


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "-", "...", "UNKNOWN", "n/a", "N.A.", "n / a", "xxx", "not provided"),
        *("00", "0000000000", "999999", "00000000-0000-0000-0000-000000000000", "0.0.0.0"),
        *("noreply@bank.example", "none@none.example"),
    ],
)
def test_placeholders_are_known(value: str) -> None:
    assert Placeholders(PLACEHOLDERS)(value)


@pytest.mark.parametrize("value", ["0", "7", "11", "Li", "A-17", "dev-000", "ada@example.org", "Nan Wu", "10.0.0.1"])
def test_values_are_no_placeholders(value: str) -> None:
    assert not Placeholders(PLACEHOLDERS)(value)
