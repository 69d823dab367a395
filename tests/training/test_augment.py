"""Changed training text: words and labels stay together, names stay names."""

import numpy as np

from training.augment import TITLES, Changes, change
from training.spans import find_spans

SENTENCE = (
    ["Yesterday", "Anne", "Elliot", "walked", "to", "Lyme", "."],
    ["O", "B-PER", "I-PER", "O", "O", "B-LOC", "O"],
)
NONE = Changes(0, 0, 0, 0, 0)


def changed(changes: Changes) -> list[tuple[list[str], list[str]]]:
    found = change([[SENTENCE] * 200], changes, np.random.default_rng(0))[0]
    assert all(len(words) == len(labels) for words, labels in found)
    return found


def names(sentence: tuple[list[str], list[str]]) -> list[tuple[str, str]]:
    words, labels = sentence
    return [(" ".join(words[a:b]), kind) for a, b, kind in find_spans(labels)]


def test_nothing_is_changed_unless_asked_for() -> None:
    assert changed(NONE) == [SENTENCE] * 200


def test_titles_stand_before_names_and_outside_of_them() -> None:
    for words, labels in changed(Changes(1, 0, 0, 0, 0)):
        assert words[1] in TITLES
        assert labels[1] == "O"
        assert names((words, labels))[0][0] in {"Anne Elliot", "Anne", "Elliot"}
        assert names((words, labels))[1] == ("Lyme", "LOC")


def test_first_names() -> None:
    assert {names(s)[0] for s in changed(Changes(0, 1, 0, 0, 0))} == {("Anne", "PER")}


def test_a_sentence_begins_later_outside_of_names() -> None:
    found = changed(Changes(0, 0, 1, 0, 0))
    assert {tuple(words) for words, _ in found} == {("Walked", "to", "Lyme", ".")}
    assert {tuple(labels) for _, labels in found} == {("O", "O", "B-LOC", "O")}


def test_calls_are_no_names() -> None:
    for words, labels in changed(Changes(0, 0, 0, 1, 0)):
        assert words[-len(SENTENCE[0]) :] == SENTENCE[0]
        assert set(labels[: -len(SENTENCE[0])]) == {"O"}


def test_names_change_places_with_others_of_their_kind() -> None:
    short = (["Jane", "left", "LYME"], ["B-PER", "O", "B-LOC"])
    found = change([[SENTENCE, short] * 50], Changes(0, 0, 0, 0, 1), np.random.default_rng(0))[0]
    people = {names(sentence)[0] for sentence in found}
    assert people == {("Anne Elliot", "PER"), ("Jane", "PER")}
    assert {names(sentence)[1] for sentence in found[::2]} == {("Lyme", "LOC")}
    assert {names(sentence)[1] for sentence in found[1::2]} == {("LYME", "LOC")}
