"""RnnModelHandler: whole sequences through Beam's RunInference, on the cells that streams use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler, PredictionResult
from numpy.typing import NDArray

from beam_rnn.errors import InputError, OptionError
from beam_rnn.nn import EncoderDecoder, Network, Recurrent, Search, StepModel
from beam_rnn.nn.parameters import Floats
from beam_rnn.streams.event import Classified, Tagged, Translated
from beam_rnn.streams.labels import chosen
from beam_rnn.streams.translating import translated
from beam_rnn.transforms.model import Model

_WRITES = "width", "best", "alpha"
_ANSWERS = (Tagged, Classified, np.ndarray)


class RnnModelHandler(ModelHandler[Any, PredictionResult, Any]):
    """A recurrent model for ``RunInference``: batches of whole sequences, each from its beginning.

    An example is one sequence: an array (T,) or (T, K) of ids, or (T, D) of vectors, or a list of
    T inputs. Sequences of a batch may differ in length: they are stepped together in waves,
    without padding, and an inference has the same bits whatever else is in its batch, the bits
    that ``Tag``, ``Classify`` and ``Translate`` give. A stream that goes on from bundle to bundle
    is for those: here no state is kept.

        events | RunInference(rnn.RnnModelHandler("model.safetensors"))
        keyed | RunInference(KeyedModelHandler(rnn.RnnModelHandler(model, answer=rnn.Classified)))

    Gives ``PredictionResult(example, inference, model_id)``; ``model_id`` is the path of the model,
    or the fingerprint of one that was given. A model that the side input ``model_metadata_pcoll``
    names (``WatchFilePattern``) replaces it between two batches; on an unbounded stream Beam sees
    another one only with ``--experiments=disable_global_windowed_args_caching``. What a batch needs
    beside the model goes into ``inference_args``: for an EncoderDecoder ``width``, ``best`` and
    ``alpha``.

    Args:
      model: a Network, StepModel or EncoderDecoder, or the path of a saved one.
      answer: what an inference is. ``Tagged`` (default): a list of T of them; ``Classified``: one;
        ``np.ndarray``: y (T, C) float32. An EncoderDecoder gives a list of ``Translated``.
      min_batch_size: and all that follow are as for Beam's own handlers (``ModelHandler``).

    Raises:
      OptionError: the model is none, or ``answer`` is nothing that it gives.
    """

    def __init__(
        self,
        model: Any,
        answer: type | None = None,
        *,
        min_batch_size: int | None = None,
        max_batch_size: int | None = None,
        max_batch_duration_secs: int | None = None,
        max_batch_weight: int | None = None,
        element_size_fn: Callable[[Any], int] | None = None,
        batch_length_fn: Callable[[Any], int] | None = None,
        batch_bucket_boundaries: list[int] | None = None,
        large_model: bool = False,
        model_copies: int | None = None,
    ) -> None:
        super().__init__(
            min_batch_size=min_batch_size,
            max_batch_size=max_batch_size,
            max_batch_duration_secs=max_batch_duration_secs,
            max_batch_weight=max_batch_weight,
            element_size_fn=element_size_fn,
            batch_length_fn=batch_length_fn,
            batch_bucket_boundaries=batch_bucket_boundaries,
            large_model=large_model,
            model_copies=model_copies,
        )
        self._kinds: tuple[type, ...] = (Network, StepModel, EncoderDecoder)
        self._model = Model(model, self._kinds)
        loaded = self._model.network()
        writes = isinstance(loaded, EncoderDecoder)
        self._answer = answer or (Translated if writes else Tagged)
        if self._answer not in ((Translated,) if writes else _ANSWERS):
            expected = "Translated" if writes else "Tagged, Classified or np.ndarray"
            raise OptionError(f"answer is {answer!r}, expected {expected} for this model")
        if self._answer is Classified and not loaded.causal:
            raise OptionError("Classified needs a model that steps; this one reads whole sequences")
        self._kinds = (EncoderDecoder,) if writes else (Network, StepModel)

    def load_model(self) -> Any:
        """The model, one for all threads of the process."""
        return self._model.network()

    def update_model_path(self, model_path: str | None = None) -> None:
        """Takes the model at another path from the next ``load_model`` on; empty: as it was."""
        if model_path:
            self._model = Model(model_path, self._kinds)

    def run_inference(
        self,
        batch: Sequence[Any],
        model: Any,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        """Answers a batch of sequences.

        Args:
          batch: the sequences.
          model: what ``load_model`` gave.
          inference_args: for an EncoderDecoder ``width``, ``best`` and ``alpha``, see ``Search``.

        Raises:
          InputError: a sequence is empty, or an input has the wrong shape, type or values.
          FloatingPointError: the model gives values that are not finite.
        """
        sequences = [_checked(model, place, x) for place, x in enumerate(batch)]
        if isinstance(model, EncoderDecoder):
            found = model.translate(sequences, **(inference_args or {}))
            given: Iterator[Any] = (
                list(translated(hypotheses, len(x), model.vocabulary))
                for hypotheses, x in zip(found, sequences, strict=True)
            )
        else:
            ys = _unrolled(model, sequences)
            given = (self._of(y, x, model) for y, x in zip(ys, batch, strict=True))
        name = self._model.source
        name = name if isinstance(name, str) else model.fingerprint
        return [PredictionResult(x, y, name) for x, y in zip(batch, given, strict=True)]

    def _of(self, y: Floats, x: Any, model: Recurrent) -> Any:
        if self._answer is np.ndarray:
            return y
        if self._answer is Classified:
            return Classified(*next(_labels(y[-1:], model)), len(x))
        return [
            Tagged(x_t, label, score, t)
            for t, (x_t, (label, score)) in enumerate(zip(x, _labels(y, model), strict=True), 1)
        ]

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """The bytes of the inputs of a batch, as arrays."""
        return sum(np.asarray(x).nbytes for x in batch)

    def get_metrics_namespace(self) -> str:
        """The namespace of what ``RunInference`` counts."""
        return "BeamML_Rnn"

    def validate_inference_args(self, inference_args: dict[str, Any] | None) -> None:
        """Raises OptionError where an argument is unknown or out of its range."""
        known = _WRITES if self._answer is Translated else ()
        unknown = sorted(set(inference_args or {}) - set(known))
        if unknown:
            expected = f"one of {', '.join(known)}" if known else "none for this model"
            raise OptionError(f"inference_args has {', '.join(unknown)}, expected {expected}")
        if inference_args:
            Search(**inference_args)


def _checked(model: Any, place: int, x: Any) -> NDArray[Any]:
    """A sequence of a batch as its inputs (T, ...)."""
    try:
        if not len(x):
            raise InputError("no inputs, expected at least one")
        return model.inputs.check(x)
    except (InputError, TypeError) as error:
        raise InputError(f"sequence {place} of its batch: {error}") from None


def _unrolled(model: Any, sequences: Sequence[NDArray[Any]]) -> Iterator[Floats]:
    """y (T, C) of each sequence, the look-ahead made good: y⟨t⟩ answers x⟨t⟩."""
    ahead = model.lookahead
    if ahead:
        zeros = np.zeros((ahead, *model.inputs.shape), model.inputs.dtype)
        sequences = [np.concatenate([x, zeros]) for x in sequences]
    for place, (y, _) in enumerate(model.unroll_many(sequences)):
        if not np.isfinite(y).all():
            raise FloatingPointError(
                f"sequence {place} of its batch: the model gives values that are not finite"
            )
        yield y[ahead:]


def _labels(y: Floats, model: Recurrent) -> Iterator[tuple[Any, float]]:
    """Label and score of each y (n, C)."""
    label, score = chosen(y)
    names = model.labels if model.output_size > 1 else None
    for index, value in zip(label.tolist(), score.tolist(), strict=True):
        yield index if names is None else names[index], value
