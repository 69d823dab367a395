"""Raw data of a stream -> network inputs x<t>, whatever the cut of the stream into values."""

from beam_rnn.features.feature import Feature as Feature
from beam_rnn.features.text import Token as Token
from beam_rnn.features.text import Tokenizer as Tokenizer
from beam_rnn.features.text import Words as Words
