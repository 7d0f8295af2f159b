"""Label schemes: what each claims to be able to cut, and what a broken one says."""

from __future__ import annotations

import json

import pytest

from asda_fast.core.errors import UserError
from asda_fast.parts.scheme import SCHEMES, Scheme, load_scheme
from asda_fast.parts.types import SHARE, TYPES, mirrored


def test_types_are_the_paper_s_26_in_the_released_order():
    assert len(TYPES) == len(set(TYPES)) == len(SHARE) == 26
    assert TYPES[0] == "Left-arm"
    assert TYPES[9] == "All"
    assert TYPES[24:] == ("Right-shoe", "Glove")
    assert [round(10 * share) for share in SHARE] == [  # REFERENCE.md 2.2, in the order of the types
        3, 3, 3, 3, 4, 5, 5, 4, 4, 9, 2, 2, 1, 2, 2, 3, 3, 3, 1, 4, 7, 1, 1, 1, 1, 1,
    ]  # fmt: skip


def test_mirrored():
    assert mirrored("Left-leg-with-shoe") == "Right-leg-with-shoe"
    assert mirrored("Right-arm") == "Left-arm"
    assert mirrored("Face") == "Face"


@pytest.mark.parametrize("name", SCHEMES)
def test_built_in_schemes(name):
    scheme = load_scheme(name)
    assert scheme.types == TYPES
    cut = [rule.type for rule in scheme.rules]
    assert len(set(cut)) == len(cut)
    for rule in scheme.rules:
        assert set(rule.ids) <= set(scheme.labels)
        assert not set(rule.ids) & set(scheme.background)
        assert {i for group in rule.need for i in group} <= set(rule.ids)
        assert mirrored(rule.type) in cut  # a scheme knows both sides or neither


def test_what_each_scheme_cannot_know():
    cut = {name: {rule.type for rule in load_scheme(name).rules} for name in SCHEMES}
    assert cut["lip"] == set(TYPES)
    assert set(TYPES) - cut["cihp"] == {"Jumpsuits"}  # id 10 is torso skin
    assert set(TYPES) - cut["atr"] == {"Coat", "Socks", "Jumpsuits", "Glove"}
    assert cut["pascal"] == {"Head", "Upper-body", "Upper-body-with-head", "Lower-body", "All"}
    # one `skin` and one `shoes`: neither sides nor faces
    assert not {t for t in cut["ccp"] if t.startswith(("Left-", "Right-")) or t in ("Face", "Head")}


def test_torso_skin_belongs_to_the_upper_body():
    rules = {rule.type: rule for rule in load_scheme("cihp").rules}
    assert all(10 in rules[t].ids for t in ("Upper-body", "Upper-body-with-head", "All"))
    assert not any(rule.ids == (10,) for rule in rules.values())


def test_own_scheme_may_add_types(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"labels": {"3": "Tail"}, "types": {"Tail": ["Tail"]}}))
    scheme = load_scheme(path)
    assert scheme.types == (*TYPES, "Tail")
    assert scheme.rules[0].ids == (3,)
    assert scheme.name == "own"


def test_rules_come_in_the_order_of_types_and_own_ones_last(tmp_path):
    path, order = tmp_path / "own.json", ["Tail", "Skirt", "Ear", "Left-arm", "All"]
    path.write_text(json.dumps({"labels": {"3": "Fur"}, "types": {name: ["Fur"] for name in order}}))
    scheme = load_scheme(path)
    assert [rule.type for rule in scheme.rules] == ["Left-arm", "All", "Skirt", "Tail", "Ear"]
    assert scheme.types == (*TYPES, "Tail", "Ear")
    assert scheme.known == {0, 3}
    assert Scheme("by hand", {3: "Fur"}, ()).known == {0, 3}  # 0 shows nobody, also where no file says so


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON"),
        ("[]", "not a scheme"),
        ('{"labels": {"1": "a"}}', "not a scheme"),
        ('{"labels": {"1": "a"}, "types": {}}', "empty"),
        ('{"labels": {"300": "a"}, "types": {"x": ["a"]}}', "0..255"),
        ('{"labels": {"1": "a"}, "types": {"x": ["b"]}}', "'b'"),
        ('{"labels": {"1": "a", "2": "a"}, "types": {"x": ["a"]}}', "same label name"),
        ('{"labels": {"1": "a"}, "pairs": [["a"]], "types": {"x": ["a"]}}', "two labels"),
        ('{"labels": {"1": "a"}, "pairs": 3, "types": {"x": ["a"]}}', "pairs: expected a list of label names, got 3"),
        ('{"labels": {"1": "a", "1": "b"}, "types": {"x": ["b"]}}', "the key '1' stands twice"),
        ('{"labels": {"1": "a", "01": "b"}, "types": {"x": ["b"]}}', "two keys mean the same id"),
        ('{"labels": {"one": "a"}, "types": {"x": ["a"]}}', "label ids must be 0..255, got 'one'"),
        ('{"labels": {"1": 7}, "types": {"x": ["a"]}}', "labels: expected names, id '1' has 7"),
        ('{"labels": {"1": "a"}, "types": {"x": "a"}}', "type 'x': expected a list of label names or an object"),
        ('{"labels": {"1": "a"}, "types": {"x": []}}', "type 'x': expected a list of label names, got \\[\\]"),
        ('{"labels": {"1": "a"}, "types": {"x": {"label": ["a"]}}}', "the key 'label'; .* perhaps labels"),
        ('{"labels": {"1": "a"}, "types": {"x": {"labels": ["a"], "each": "no"}}}', "`each` to be true or false"),
        ('{"labels": {"1": "a"}, "types": {"x": {"labels": ["a"], "need": [[]]}}}', "type 'x', need: expected a list"),
        ('{"labels": {"1": "a", "2": "b"}, "types": {"x": {"labels": ["a"], "need": [["b"]]}}}', "'b', which is not"),
        ('{"labels": {"0": "a"}, "types": {"x": ["a"]}}', "to be cut from 'a', which is background"),
        ('{"labels": {"1": "a"}, "background": [255], "types": {"x": ["a"]}}', "expected id 0 among it"),
        ('{"labels": {"1": "a"}, "background": [0, 1e400], "types": {"x": ["a"]}}', "0..255, got inf"),
        ('{"labels": {"1": "a"}, "background": 0, "types": {"x": ["a"]}}', "background: expected a list of ids, got 0"),
        ('{"labels": {"1": "a"}, "typos": 1, "types": {"x": ["a"]}}', "the key 'typos'; .* perhaps types"),
        ('{"labels": {"1": "a"}, "colours": "blue", "types": {"x": ["a"]}}', "colours: .* or \"red\", got 'blue'"),
        ('{"labels": {"1": "a"}, "colours": {"2": [0, 0, 9]}, "types": {"x": ["a"]}}', "2 is an id that `labels`"),
        ('{"labels": {"1": "a"}, "colours": {"1": [0, 256, 9]}, "types": {"x": ["a"]}}', r"of 0\.\.255 for 1"),
        ('{"labels": {"1": "a"}, "colours": {"1": [0, 5, 9, 1]}, "types": {"x": ["a"]}}', r"of 0\.\.255 for 1"),
        ('{"labels": {"1": "a"}, "colours": {"0": [1, 1, 1], "1": [1, 1, 1]}, "types": {"x": ["a"]}}', "same colour"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_scheme_is_one_line(tmp_path, text, words):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load_scheme(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_unknown_scheme():
    with pytest.raises(UserError, match=r"lip, cihp, .*, sapiens2 or a .json file, got 'lipp'; perhaps lip$"):
        load_scheme("lipp")
