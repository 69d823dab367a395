"""Raw data of a stream -> network inputs x<t>, whatever the cut of the stream into values."""

from beam_rnn.features.audio import Frames as Frames
from beam_rnn.features.audio import Sound as Sound
from beam_rnn.features.deltas import Deltas as Deltas
from beam_rnn.features.dna import Nucleotides as Nucleotides
from beam_rnn.features.dna import SpliceWindow as SpliceWindow
from beam_rnn.features.feature import Feature as Feature
from beam_rnn.features.pcen import PCEN as PCEN
from beam_rnn.features.pcen import Stacked as Stacked
from beam_rnn.features.pieces import Pieces as Pieces
from beam_rnn.features.pose import Pose as Pose
from beam_rnn.features.silhouette import Silhouette as Silhouette
from beam_rnn.features.spectra import MFCC as MFCC
from beam_rnn.features.spectra import LogMel as LogMel
from beam_rnn.features.text import Token as Token
from beam_rnn.features.text import Tokenizer as Tokenizer
from beam_rnn.features.text import Words as Words
from beam_rnn.features.token_ids import TokenIds as TokenIds
from beam_rnn.features.word_ids import WordIds as WordIds
