"""Rows of bases against their definition, written out, and for any cut of the sequence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import InputError, OptionError, StateError
from beam_rnn.features.dna import AMBIGUOUS, Nucleotides, SpliceWindow, encode

STOPS = ("TAA", "TAG", "TGA")
dna = st.text("ACGTacgtuNR \n", max_size=80)


def reverse_complement(text: str) -> str:
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def scale(codons: int) -> int:
    return 0 if codons == 0 else 1 + int(3 * np.log2(codons))


@given(st.lists(dna, max_size=6), st.sampled_from([0, 3, 7, 40]))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("kind", ["bases", "splice"])
def test_any_cut_gives_the_rows_of_the_whole(kind: str, pieces: list[str], lookahead: int) -> None:
    feature = Nucleotides(lookahead) if kind == "bases" else SpliceWindow()
    memory, pairs = b"", []
    for piece in pieces:
        more, memory = feature.feed(piece, memory)
        pairs += more
    pairs += feature.finish(memory)
    whole = "".join("".join(pieces).split())
    assert "".join(letter for letter, _ in pairs) == whole
    if whole:
        np.testing.assert_array_equal(np.stack([row for _, row in pairs]), feature.rows(whole))


@pytest.mark.parametrize("lookahead", [0, 5, 30])
def test_rows_say_what_they_should(lookahead: int) -> None:
    draw = np.random.default_rng(lookahead)
    text = "".join(draw.choice(list("ACGTN"), 300, p=[0.3, 0.2, 0.2, 0.28, 0.02]))
    rows = Nucleotides(lookahead).rows(text)
    for q in range(len(text)):
        row, last = rows[q], min(q + lookahead, len(text) - 1)
        for frame in range(3):
            own = q - (q - frame) % 3
            for strand in range(2):

                def stops(at: int, strand: int = strand) -> bool:
                    codon = text[at : at + 3] if at >= 0 else ""
                    return (reverse_complement(codon) if strand else codon) in STOPS

                back = [k for k in range(1, 101) if stops(own - 3 * k)]
                ahead = [k for k in range(101) if stops(own + 3 * k) and own + 3 * k + 2 <= last]
                side = 3 * strand + frame
                assert row[2 + side] == scale(min(back, default=0))
                assert row[8 + side] == (scale(ahead[0] + 1) if ahead else 0)
        seen = [at for at in range(q, last - 1) if "N" not in text[at : at + 3]]
        counts = np.zeros((3, 64), int)
        for at in seen:
            codon = text[at : at + 3]
            counts[at % 3, sum("ACGT".index(b) * 4 ** (2 - i) for i, b in enumerate(codon))] += 1
        np.testing.assert_array_equal(row[14:].reshape(3, 64), counts)


def test_no_row_depends_on_what_comes_after_the_lookahead() -> None:
    text = "".join(np.random.default_rng(1).choice(list("ACGT"), 200))
    rows, cut = Nucleotides(20).rows(text), Nucleotides(20).rows(text[:150])
    np.testing.assert_array_equal(rows[:130], cut[:130])


def test_ids_are_within_their_limits() -> None:
    rows = Nucleotides(30).rows("ATGTAANNRYACGT" * 60)
    limits = np.array(Nucleotides.columns)
    assert ((rows < limits) | (limits == 0)).all()
    assert (SpliceWindow().rows("ACGTN" * 20) < SpliceWindow.columns).all()


def test_letters() -> None:
    codes = [0, 1, 2, 3, 3, AMBIGUOUS, AMBIGUOUS, 0]
    assert encode("ACGTu Nr\na").tolist() == codes
    with pytest.raises(InputError, match="'E' at place 3 is no nucleotide: expected ACGTU"):
        encode("ACEL")
    with pytest.raises(InputError, match=r"expected nucleotides \(str\), got bytes"):
        encode(b"ACGT")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'é' at place 2"):
        encode("Aé")


def test_places_beyond_the_window_are_padding() -> None:
    rows = SpliceWindow().rows("A" * 70)
    assert (rows[60:, :2] == 0).all()
    assert (rows[2:, 2] == 1).all()


def test_refused() -> None:
    for lookahead in (-1, 1.5, 20_000):
        with pytest.raises(OptionError, match="lookahead is"):
            Nucleotides(lookahead)  # type: ignore[arg-type]
    for feature in (Nucleotides(), SpliceWindow()):
        with pytest.raises(StateError, match="memory of"):
            feature.feed("A", b"\x00")
