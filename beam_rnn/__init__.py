"""Recurrent networks over unbounded streams: the hidden state a⟨t⟩ carried by Apache Beam."""

from beam_rnn.errors import InputError as InputError
from beam_rnn.errors import ModelError as ModelError
from beam_rnn.errors import OptionError as OptionError
from beam_rnn.errors import RnnError as RnnError
from beam_rnn.errors import StateError as StateError
from beam_rnn.errors import WeightsError as WeightsError
from beam_rnn.nn import CRF as CRF
from beam_rnn.nn import GRU as GRU
from beam_rnn.nn import LSTM as LSTM
from beam_rnn.nn import RNN as RNN
from beam_rnn.nn import Bidirectional as Bidirectional
from beam_rnn.nn import Columns as Columns
from beam_rnn.nn import Conv1d as Conv1d
from beam_rnn.nn import Dense as Dense
from beam_rnn.nn import Embedding as Embedding
from beam_rnn.nn import MaxPool as MaxPool
from beam_rnn.nn import Network as Network
