"""How the tagger does on stories: known people and places in the committed sample of novels.

    python training/evaluate_prose.py models/tag_names.safetensors

Nobody labelled the novels. What is counted is each mention of a word that is always a person or
always a place there, by the kind that the tagger gives it; and words that are never names.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import Token, Words
from training.evaluate_names import tag

SAMPLE = Path(__file__).resolve().parents[1] / "pipelines" / "sample" / "texts.jsonl"
WANTED = {
    "PER": (
        "Darcy Bingley Bennet Elizabeth Emma Harriet Weston Knightley Elton Woodhouse Anne Walter"
        " Wentworth Musgrove Fanny Edmund Norris Bertram Crawford Rushworth Elinor Marianne"
        " Dashwood Willoughby Catherine Thorpe Tilney Morland Allen Isabella Jane Collins Wickham"
    ),
    "LOC": (
        "Netherfield Hartfield Highbury London Bath Meryton Longbourn Kellynch Uppercross Lyme"
        " Norland Barton Sotherton Fullerton Northanger Derbyshire Hertfordshire Devonshire"
    ),
    "O": "Oh Ah Nay Mr. Mrs. Miss Sir Lady Captain Nothing Indeed What Why But Sorrow Dear My",
}
ADDRESSES = {"Park", "Abbey", "Hall", "Street", "Road", "House", "Cottage", "Lane", "Court"}


def read_novels(path: Path) -> dict[str, str]:
    """The text of each stream of the sample that is a chapter of a novel."""
    texts: dict[str, str] = defaultdict(str)
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["stream"][-1].isdigit():  # the others are about countries
            texts[event["stream"]] += event["text"]
    return texts


def tokens_of(words: Words, text: str) -> list[Token]:
    """All tokens of a text."""
    pairs, memory = words.feed(text)
    return [token for token, _ in [*pairs, *words.finish(memory)]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    options = parser.parse_args()
    network = rnn.load(options.model)
    words = Words(network.vocabulary or ())
    kind_of = {word: kind for kind, names in WANTED.items() for word in names.split()}
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in WANTED}
    missed: dict[str, Counter[str]] = {kind: Counter() for kind in WANTED}
    for text in read_novels(options.sample).values():
        found = [token.text for token in tokens_of(words, text)]
        labels = tag(network, words, found)
        for here, after, label in zip(found, [*found[1:], ""], labels, strict=True):
            wanted = kind_of.get(here)
            if wanted is None or (wanted == "PER" and after in ADDRESSES):
                continue
            given = label.rpartition("-")[2]
            counts[wanted][given] += 1
            if given != wanted:
                missed[wanted][f"{here} {given}"] += 1
    for kind, given_to in counts.items():
        total = given_to.total()
        shares = [f"{given} {100 * n / total:.1f} %" for given, n in given_to.most_common()]
        print(f"{kind}: {total} mentions: {', '.join(shares)}")
        print("   ", ", ".join(f"{name} ({n})" for name, n in missed[kind].most_common(12)))


if __name__ == "__main__":
    main()
