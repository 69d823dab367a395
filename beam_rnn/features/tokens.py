"""Text of a stream -> tokens: cut as CoNLL-2003 and the Penn Treebank cut running text."""

import re
from typing import Any, NamedTuple

from beam_rnn.errors import InputError, StateError

__all__ = ["LONGEST", "Token", "Tokenizer"]

LONGEST = 256
"""Characters after which an unbroken run is cut, and beyond which white space is dropped."""

_L = r"(?:[^\W_]|[\u0300-\u036f])"  # a letter or digit, or an accent that combines with one
_TITLES = (
    "Mr|Mrs|Ms|Messrs|Mmes|Mlle|Mme|Dr|Drs|Prof|Rev|Hon|Esq|St|Ste|Mt|Ft|Jr|Sr|Gen|Col|Maj|Capt"
    "|Cpt|Lt|Sgt|Cpl|Pvt|Adm|Cmdr|Gov|Sen|Rep|Pres|Supt|Co|Corp|Inc|Ltd|Bros|Dept|Univ|Assn|Ave"
    "|Blvd|Rd|Jan|Feb|Apr|Aug|Sept|Sep|Oct|Nov|Dec|Ala|Ariz|Ark|Calif|Colo|Conn|Fla|Ind|Kan|Mich"
    "|Minn|Mont|Neb|Nev|Okla|Ore|Tenn|Tex|Va|Vt|Wis|Wyo|vs|etc|viz|cf|approx|vol|fig"
)

_PIECE = re.compile(
    rf"""
      https?://\S*[\w/] | www\.\S*[\w/] | [\w.+-]+@[\w-]+(?:\.[\w-]+)+     # addresses
    | (?:{_TITLES})\.(?!{_L})                                              # Mr.  Corp.
    | (?:[A-Za-z]\.){{2,}}(?!{_L})(?:-{_L}+)*                              # U.S.  U.S.-based
    | (?:[A-Z]\.)+[A-Z](?!{_L})                                            # U.S.A
    | [A-HJ-Z]\.(?!{_L}) | [A-Z]\.(?=[A-Z][a-z])                           # J.  (but: It was I.)
    | [A-Z]{{0,2}}\$                                                       # US$
    | [nN]['’][tT](?!{_L}) | {_L}+?(?=[nN]['’][tT](?!{_L}))                          # did + n't
    | ['’](?:[sSmMdD]|re|RE|ve|VE|ll|LL)(?!{_L}) | ['’]\d+s?(?!{_L})       # 's  '96
    | (?:(?<!\S)[-+](?=\.?\d))?(?:(?<!\S)\.(?=\d))?                        # -1.5  .5
      {_L}+(?:(?:-
              | ['’](?!(?:[sSmMdD]|re|RE|ve|VE|ll|LL)(?!{_L}))             # O'Brien
              | \.(?=[a-z0-9]) | &(?=[A-Z]) | (?<=\d)[,:/](?=\d)           # 1,000  AT&T
              ){_L}+)*
    | \.{{2,}} | -{{2,}} | [—–]+ | `` | ''
    | \S
    """,
    re.VERBOSE,
)
_RUN = re.compile(rf"(\s*)(\S{{1,{LONGEST}}})")


class Token(NamedTuple):
    """A token and the white space that came before it: joined, the tokens give the text back."""

    text: str
    before: str


class Tokenizer:
    """Cuts the text of a stream into tokens; a Feature whose network input is the token's text.

    Punctuation, `'s` and `n't` are split off; hyphenated words, numbers with `.` and `,` in them,
    abbreviations ("U.S.", "Mr.") and names like "O'Brien" stay whole. A token is never made
    before it is known to be finished, which is when white space follows, so any cut of the text
    into values gives the same tokens. The memory is the unfinished tail of the text in UTF-8:
    at most LONGEST characters of white space and LONGEST - 1 of the run that follows. A run
    without white space is cut every LONGEST characters; white space beyond LONGEST is dropped.
    """

    echoes = Token

    def feed(self, value: str, memory: bytes = b"") -> tuple[list[tuple[Token, Any]], bytes]:
        """Tokens that `value` finishes, as [(token, token.text), ...], and the new memory.

        Raises InputError if value is not a str or holds half a surrogate pair.
        """
        tokens, memory = tokenize(value, memory)
        return [(token, token.text) for token in tokens], memory

    def finish(self, memory: bytes) -> list[tuple[Token, Any]]:
        """The tokens of the tail, as the text ends here; white space at the end is dropped."""
        return [(token, token.text) for token in tokenize_tail(memory)]


def tokenize(value: str, memory: bytes) -> tuple[list[Token], bytes]:
    """The tokens that `value` finishes after the tail in `memory`, and the new tail."""
    if not isinstance(value, str):
        raise InputError(f"expected a piece of text (str), got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"expected text, got half a surrogate pair at {error.start}") from None
    text = _decode(memory) + value
    tokens: list[Token] = []
    done = 0
    for run in _RUN.finditer(text, 0, len(text.rstrip())):  # linear, however much white space
        if run.end() == len(text) and len(run[2]) < LONGEST:
            break  # more of it may come
        _append_run(run[2], run[1], tokens)
        done = run.end()
    tail = text[done:]
    word = tail.lstrip()
    space = tail[: len(tail) - len(word)][:LONGEST]
    return tokens, (space + word).encode()


def tokenize_tail(memory: bytes) -> list[Token]:
    """The tokens of a tail that nothing follows."""
    tail = _decode(memory)
    word = tail.strip()
    tokens: list[Token] = []
    if word:
        _append_run(word, tail[: len(tail) - len(tail.lstrip())], tokens)
    return tokens


def _append_run(run: str, before: str, tokens: list[Token]) -> None:
    """Cuts a run without white space into tokens; what a run gives depends on the run alone."""
    before = before[:LONGEST]
    if run.isalpha():  # most runs: one word
        tokens.append(Token(run, before))
        return
    for piece in _PIECE.finditer(run):
        tokens.append(Token(piece[0], before))
        before = ""


def _decode(memory: bytes) -> str:
    try:
        return memory.decode()
    except (UnicodeDecodeError, AttributeError):
        raise StateError("the memory of a tokenizer is not UTF-8 text") from None
