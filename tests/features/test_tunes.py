"""ABC in its plain spelling: what is left out, what is refused, tokens, beats, a cut end."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn.errors import InputError
from beam_rnn.features.tunes import (
    Abc,
    Key,
    bar_of,
    closed,
    is_token,
    parted,
    plain,
    split,
    tokens,
    units_of,
)

HEAD = "X:1\nT:A tune\nM:6/8\nL:1/8\nK:G\n"


def body(notes: str, head: str = HEAD) -> str:
    return plain(head + notes).split("\n")[3]


def test_what_is_no_melody_is_left_out() -> None:
    tune = 'Z:someone\nR:jig\nK:G major\n|: "Am"~G2A (BAG) |\\\n{gf}d3 !trill!.e2-e | @\n'
    with pytest.raises(InputError, match="is no note"):
        plain("X:1\n" + tune)
    tune = tune.replace(" @\n", "\nw: la la\n% end\n")
    assert plain("X:1\nM:6/8\n" + tune) == "M:6/8\nL:1/8\nK:G\n|:G2ABAG|d3e2-e|]\n"


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("c,2 C' A1 B//", "C2cAB/4|]"),
        ("A4/2 B3/2 x2 c''", "A2B3/z2c''|]"),
        ("[CEG]2 [c2e2] | [Ac]/", "G2e2|c/|]"),
        ("A>B c<<d (3efg ^c__d=e", "A>Bc<<d(3efg^c__d=e|]"),
        ("A|B||c|]", "A|B||c|]"),
        ("A|\n|B [| c :|\n|: d :|: e :: f :|", "A|B||c::d::e::f:|"),
        ("A |1 B :|2 c || A [1 B :| [2 c", "A|1B:|2c||A|1B:|2c|]"),
        ("| A | B |:", "A|B|]"),
    ],
)
def test_one_spelling_for_what_is_the_same(written: str, spelled: str) -> None:
    assert body(written) == spelled


def test_fields_that_are_absent_are_what_the_standard_says() -> None:
    assert plain("K:Dm\nA") == "M:C\nL:1/8\nK:Dm\nA|]\n"
    assert plain("M:2/4\nK:C#min\nA").startswith("M:2/4\nL:1/16\nK:C#m\n")
    assert plain("K:A mixolydian\nA").split("\n")[2] == "K:Amix"


@pytest.mark.parametrize(
    ("tune", "reason"),
    [
        ("", "no field K"),
        ("X:1\nT:nothing but a title", "no field K"),
        ("X:1\nK:G\n", "no notes"),
        ("X:1\nK:G\n|: || :|", "no notes"),
        ("X:1\nK:Hp\nA", "no key that is known"),
        ("X:1\nM:free\nK:G\nA", "no metre"),
        ("X:1\nL:quarter\nK:G\nA", "no unit"),
        ("X:1\nK:G\nA|B\nK:D\nc", "K: stands among the notes"),
        ("X:1\nK:G\nA|[M:3/4]B", "M: stands among the notes"),
        ("X:1\nK:G\nV:1\nA", "V: stands among the notes"),
        ("X:1\nK:G\nAB & cd", "more than one voice"),
        ("X:1\nK:G\nAé", "'é' is no note"),
        ("X:1\nK:G\nA7/0", "no length"),
        ("hello\nX:1\nK:G\nA", "comes before the field K:"),
        ("X:1\nK:G\n(3:2:4ABc", "tuplet of the form"),
    ],
)
def test_what_is_no_tune_is_refused(tune: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        plain(tune)


def test_a_tune_that_has_not_ended_may_stop_anywhere() -> None:
    assert plain(HEAD, ended=False) == "M:6/8\nL:1/8\nK:G\n"
    assert plain(HEAD + "GAB d2", ended=False).endswith("\nGABd2")
    assert plain(HEAD + "GAB d2|", ended=False).endswith("d2|")
    assert plain(HEAD + "GAB d2|]", ended=False).endswith("d2||")


def test_a_file_is_cut_into_tunes() -> None:
    assert split("% songs\n\nX:1\nK:C\nA\n\nsome words\n\nX:2\nK:D\nB") == [
        "X:1\nK:C\nA",
        "X:2\nK:D\nB",
    ]
    assert split("K:C\nA") == ["K:C\nA"]
    assert split("no tune at all") == []


@given(
    st.lists(
        st.sampled_from(["A", "c'2", "B,,3/2", "z", "|", ":|2", "|1", "(3", ">", "=e/", " ", "-"]),
        min_size=1,
    )
)
@settings(max_examples=80, deadline=None)
def test_plain_text_is_plain_and_tokens_give_it_back(parts: list[str]) -> None:
    once = plain(HEAD + "A" + "".join(parts))
    assert plain(f"X:1\n{once}") == once
    assert "".join(tokens(once)) == once
    assert all(is_token(token) for token in tokens(once))


def test_beats_of_tokens_add_up_to_the_bar() -> None:
    for metre, unit, notes in (
        ("6/8", "1/8", "A>Bc d3/e/f"),
        ("C|", "1/8", "(3ABc d2 e4"),
        ("2/4", "1/16", "A3B (3cde f/g/a"),
    ):
        text = plain(f"X:1\nM:{metre}\nL:{unit}\nK:D\n{notes}|")
        head, _, *own = tokens(text)
        assert sum(map(units_of, own)) == bar_of(head)
    assert units_of("/4") == Fraction(-3, 4)


def test_signatures() -> None:
    assert Key.read("Ador").signature == dict.fromkeys("CDEGAB", 0) | {"F": 1}
    assert Key.read("Bb").signature == dict.fromkeys("CDFGA", 0) | {"B": -1, "E": -1}
    assert Key.read("F#m").sharps == 3
    assert Key.read("C#").signature == dict.fromkeys("CDEFGAB", 1)
    assert str(Key.read("Eb minor")) == "Ebm"


def test_a_tune_that_was_cut_ends_at_its_last_bar_line() -> None:
    head = "M:6/8\nL:1/8\nK:G\n"
    assert closed(head + "A3|B3|c") == head + "A3|B3|]\n"
    assert closed(head + "A3|B3:|") == head + "A3|B3:|\n"
    assert closed(head + "A3|B3|]\n") == head + "A3|B3|]\n"
    assert closed(head + "A3|B3|K:D\nc|") == head + "A3|B3|]\n"
    assert closed(head + "A3") == closed(head) == closed("A|") == closed("") == ""


def test_tunes_that_follow_each_other() -> None:
    head = "M:6/8\nL:1/8\nK:G\n"
    assert parted(f"{head}A3|]\n{head}B3|]\n{head}c") == [
        head + "A3|]\n",
        head + "B3|]\n",
        head + "c",
    ]
    assert parted("A|]\n" + head) == ["A|]\n", head]
    assert parted("") == []


def test_tokens_that_are_not_known_are_read_as_characters() -> None:
    reader = Abc(["", "A", "c", "'", "|", "3", "/"])
    assert reader.ids("Ac'3/|") == [1, 2, 3, 5, 6, 4]
    with pytest.raises(InputError, match="'e' is not in the vocabulary"):
        reader.ids("Ae")
    with pytest.raises(InputError, match="at character 2 is no plain ABC"):
        reader.ids("A?")
