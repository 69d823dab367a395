"""A large archive of sequences: Parquet in, answers as Parquet out, through Arrow all the way.

    python -m pipelines.tag_archive --input 'in/*.parquet' --output out/tagged --model m.safetensors

The input has the columns `stream` (string), `x` (ids, or lists of numbers) and perhaps `time` and
`end`; the output `stream`, `time`, `x`, `step`, `label`, `score`. Sequences of any length share
the steps of the network, and none is padded. The answers are those of the live job, to the bit.
"""

import argparse
import sys
from collections.abc import Sequence

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

import beam_rnn as rnn
from pipelines import job


def build(
    pipeline: beam.Pipeline, path: str, output: str, model: str, *, classify: bool = False
) -> None:
    """Adds the job to a pipeline.

    Args:
      pipeline: a bounded one.
      path: Parquet files, as a pattern of any file system of Beam.
      output: prefix of the files that are written.
      model: path of the network.
      classify: whether to answer once for each sequence, instead of once for each input.
    """
    net = rnn.load(model)
    transform = rnn.Classify(model) if classify else rnn.Tag(model)
    answers = (
        pipeline
        | "Read" >> beam.io.ReadFromParquetBatched(path)
        | "Batches" >> beam.FlatMap(pa.Table.to_batches).with_output_types(pa.RecordBatch)
        | "Answer" >> transform
    )
    write = beam.io.WriteToParquetBatched(
        output, schema_of(net, classify=classify), file_name_suffix=".parquet"
    )
    _ = answers | "Tables" >> beam.Map(lambda batch: pa.Table.from_batches([batch])) | write
    _ = (
        answers.failed
        | "Bad" >> beam.Map(lambda event: f"{event.stream}\t{event.reason}")
        | "WriteFailed" >> beam.io.WriteToText(output + "-failed", file_name_suffix=".tsv")
    )


def schema_of(net: rnn.Network, *, classify: bool) -> pa.Schema:
    """The columns of the answers."""
    kind = pa.int64() if net.input_dtype.__name__ == "int64" else pa.float32()
    x = pa.list_(kind, net.input_shape[0]) if net.input_shape else kind
    named = net.labels is not None and net.output_size > 1
    fields = [
        ("stream", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        *([] if classify else [("x", x)]),
        ("step", pa.int64()),
        ("label", pa.string() if named else pa.int64()),
        ("score", pa.float32()),
    ]
    return pa.schema(fields)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code: 0, or 2 if it could not start."""
    parser = argparse.ArgumentParser(
        prog="tag-archive",
        description=(__doc__ or "").partition("\n")[0],
        epilog="All other options go to Beam, such as --runner=FlinkRunner.",
        allow_abbrev=False,
    )
    parser.add_argument("--input", required=True, metavar="PATTERN", help="Parquet files")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="of the files written")
    parser.add_argument("--model", required=True, metavar="FILE", help="weights of the network")
    parser.add_argument("--classify", action="store_true", help="one answer for each sequence")
    arguments, beam_arguments = parser.parse_known_args(argv)
    try:
        options: PipelineOptions = job.options_of(beam_arguments, streaming=False)
        pipeline = beam.Pipeline(options=options)
        build(
            pipeline,
            arguments.input,
            arguments.output,
            arguments.model,
            classify=arguments.classify,
        )
    except (job.Refused, rnn.RnnError, OSError) as error:
        return job.refuse("tag-archive", error)
    pipeline.run().wait_until_finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
