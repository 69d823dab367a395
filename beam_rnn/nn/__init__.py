"""The networks: NumPy only."""

from beam_rnn.nn.attention import Additive as Additive
from beam_rnn.nn.attention import Multiplicative as Multiplicative
from beam_rnn.nn.beam import Hypothesis as Hypothesis
from beam_rnn.nn.beam import Search as Search
from beam_rnn.nn.cells import GRU as GRU
from beam_rnn.nn.cells import LSTM as LSTM
from beam_rnn.nn.cells import RNN as RNN
from beam_rnn.nn.convolution import Context as Context
from beam_rnn.nn.convolution import Conv1d as Conv1d
from beam_rnn.nn.convolution import Flatten as Flatten
from beam_rnn.nn.convolution import Magnitude as Magnitude
from beam_rnn.nn.convolution import MaxPool as MaxPool
from beam_rnn.nn.ctc import CTC as CTC
from beam_rnn.nn.decode import Sampling as Sampling
from beam_rnn.nn.layers import Activation as Activation
from beam_rnn.nn.layers import Columns as Columns
from beam_rnn.nn.layers import Dense as Dense
from beam_rnn.nn.layers import Embedding as Embedding
from beam_rnn.nn.network import Network as Network
from beam_rnn.nn.ngram import NGram as NGram
from beam_rnn.nn.seq2seq import EncoderDecoder as EncoderDecoder
from beam_rnn.nn.sequences import CRF as CRF
from beam_rnn.nn.sequences import Bidirectional as Bidirectional
from beam_rnn.nn.sequences import Spelling as Spelling
from beam_rnn.nn.step_model import Recurrent as Recurrent
from beam_rnn.nn.step_model import StepModel as StepModel
