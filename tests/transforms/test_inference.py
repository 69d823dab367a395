"""RnnModelHandler in RunInference: the bits of Tag, Classify and Translate, updates, bad input."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import KeyedModelHandler, ModelMetadata, RunInference

import beam_rnn as rnn
from tests.nn.translators import MODELS
from tests.nn.writers import READER
from tests.runners import harness
from tests.transforms.test_streams import network

RUNNER = harness.LOCAL["FnApiRunner"]()
SENTENCES = {"a": [1, 4, 2], "b": [9], "c": [3, 3, 7, 0, 5, 1], "d": [2, 6]}
EVENTS = [(key, x) for key, xs in SENTENCES.items() for x in xs]
SUM = rnn.StepModel(
    lambda x, a: (a + x[:, None], a + x[:, None]), state=1, output=1, version="sum", ids=10
)


def inferred(model: Any, answer: Any = None, **options: Any) -> dict[str, Any]:
    """The inference of each sentence."""
    args = options.pop("inference_args", None)
    handler = KeyedModelHandler(rnn.RnnModelHandler(model, answer, **options))
    results = RUNNER.collect(
        lambda p: (
            p | beam.Create(list(SENTENCES.items())) | RunInference(handler, inference_args=args)
        )
    )
    for key, result in results:
        assert result.example == SENTENCES[key]
        assert result.model_id == rnn.RnnModelHandler(model).load_model().fingerprint
    return {key: result.inference for key, result in results}


def streamed(transform: beam.PTransform) -> dict[str, list[Any]]:
    """The answers of each sentence as a stream."""
    found: dict[str, list[Any]] = {key: [] for key in SENTENCES}
    for key, answer in RUNNER.collect(lambda p: p | beam.Create(EVENTS) | transform):
        found[key].append(answer)
    return found


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_tagged_are_the_bits_of_tag(batch: int) -> None:
    net = network(lookahead=2)
    found = inferred(net, min_batch_size=1, max_batch_size=batch)
    assert found == {
        key: sorted(answers, key=lambda answer: answer.step)
        for key, answers in streamed(rnn.Tag(net)).items()
    }


@pytest.mark.parametrize("model", [network(lookahead=2), SUM], ids=["ahead", "StepModel"])
def test_classified_are_the_bits_of_classify(model: Any) -> None:
    found = inferred(model, rnn.Classified)
    assert {key: [answer] for key, answer in found.items()} == streamed(rnn.Classify(model))


def test_whole_sequences_are_read_from_both_ends() -> None:
    net = READER
    assert inferred(net) == {
        key: sorted(answers, key=lambda answer: answer.step)
        for key, answers in streamed(rnn.Tag(net)).items()
    }


def test_translated_are_the_bits_of_translate() -> None:
    model, how = MODELS["of the token"], {"width": 3, "best": 2, "alpha": 0.6}
    assert inferred(model, inference_args=how) == streamed(rnn.Translate(model, **how))


def test_y_itself() -> None:
    found = inferred(network(), np.ndarray)
    for key, y in found.items():
        np.testing.assert_array_equal(y, network().unroll(SENTENCES[key])[0], strict=True)


def test_another_model_comes_by_side_input(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{seed}.safetensors") for seed in (0, 1)]
    for seed, path in enumerate(paths):
        rnn.save(network(seed), path)
    handler = rnn.RnnModelHandler(paths[0], np.ndarray)

    def updated(p: beam.Pipeline) -> Any:
        update = p | "Update" >> beam.Create([ModelMetadata(paths[1], "second")])
        return p | beam.Create([[1, 4, 2]]) | RunInference(handler, model_metadata_pcoll=update)

    (result,) = RUNNER.collect(updated)
    assert result.model_id == paths[1]
    np.testing.assert_array_equal(result.inference, network(1).unroll([1, 4, 2])[0])


def test_the_metrics_of_run_inference() -> None:
    handler = rnn.RnnModelHandler(network(), max_batch_size=1)
    result = RUNNER.run(lambda p: p | beam.Create(list(SENTENCES.values())) | RunInference(handler))
    found = result.metrics().query(MetricsFilter().with_namespace("BeamML_Rnn"))
    (count,) = [m.result for m in found["counters"] if m.key.metric.name == "num_inferences"]
    assert count == len(SENTENCES)
    (size,) = [
        m.result
        for m in found["distributions"]
        if m.key.metric.name == "inference_request_batch_byte_size"
    ]
    assert size.sum == sum(8 * len(xs) for xs in SENTENCES.values())


def test_bad_sequences_leave_with_their_batch() -> None:
    handler = rnn.RnnModelHandler(network(), max_batch_size=1)

    def failed(p: beam.Pipeline) -> Any:
        examples = p | beam.Create([[1, 2], [1, 10], [], [[1, 2]]])
        good, bad = examples | RunInference(handler).with_exception_handling()
        count = good | beam.combiners.Count.Globally()
        reasons = bad.failed_inferences | beam.MapTuple(lambda batch, told: told[1])
        return (count, reasons) | beam.Flatten()

    one = "InputError('sequence 0 of its batch: "
    assert set(RUNNER.collect(failed)) == {
        1,
        f"{one}x has the id 10, expected 0..9')",
        f"{one}no inputs, expected at least one')",
        f"{one}x has shape (1, 2), expected (n)')",
    }


@pytest.mark.filterwarnings("ignore:.*encountered in dot:RuntimeWarning")
def test_values_that_are_not_finite_are_no_answer() -> None:
    grows = rnn.Network([rnn.RNN([[1.0]], [[1e30]], [0.0], activation="relu")])
    handler = rnn.RnnModelHandler(grows)
    with pytest.raises(FloatingPointError, match="sequence 1 of its batch"):
        list(handler.run_inference([[[1.0]], [[1e30]] * 3], handler.load_model()))


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (network(), {"answer": rnn.Translated}, "expected Tagged, Classified or np.ndarray"),
        (MODELS["of the token"], {"answer": rnn.Tagged}, "expected Translated for this model"),
        (READER, {"answer": rnn.Classified}, "needs a model that steps"),
        (3, {}, "the model is a int, expected a path or a Network"),
    ],
)
def test_options_are_checked(model: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(rnn.OptionError, match=reason):
        rnn.RnnModelHandler(model, **options)


def test_inference_args_are_checked() -> None:
    with pytest.raises(rnn.OptionError, match="has width, expected none for this model"):
        rnn.RnnModelHandler(network()).validate_inference_args({"width": 2})
    with pytest.raises(rnn.OptionError, match="width is 0"):
        rnn.RnnModelHandler(MODELS["of the token"]).validate_inference_args({"width": 0})
