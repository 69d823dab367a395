"""One HTML page of a run: figures over time, pictures, and what was answered for each stream.

The page is one file: it loads nothing, and needs no server. Served while the job runs, its parts
are sent anew as they change.
"""

from beam_rnn.report.chart import Chart as Chart
from beam_rnn.report.chart import Span as Span
from beam_rnn.report.page import MOST_KINDS as MOST_KINDS
from beam_rnn.report.page import Failure as Failure
from beam_rnn.report.page import Kind as Kind
from beam_rnn.report.page import Page as Page
from beam_rnn.report.page import Picture as Picture
from beam_rnn.report.page import Piece as Piece
from beam_rnn.report.page import Section as Section
from beam_rnn.report.page import articles as articles
from beam_rnn.report.page import page as page
from beam_rnn.report.page import parts as parts
