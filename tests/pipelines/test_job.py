"""Jobs: the runner that is chosen, and options that are refused."""

import pytest
from apache_beam.options.pipeline_options import PortableOptions, StandardOptions

from pipelines import job


@pytest.mark.parametrize("arguments", [[], ["--runner=DirectRunner"], ["--runner", "DirectRunner"]])
def test_the_runner_of_this_process_is_the_default(arguments: list[str]) -> None:
    options = job.options_of(arguments, streaming=True)
    assert options.view_as(StandardOptions).runner == job.LOCAL_RUNNER
    assert options.view_as(StandardOptions).streaming
    assert job.is_local(options)


def test_other_runners_get_their_options() -> None:
    arguments = ["--runner=FlinkRunner", "--parallelism=4", "--environment_type=LOOPBACK"]
    options = job.options_of(arguments, streaming=False)
    assert options.view_as(StandardOptions).runner == "FlinkRunner"
    assert not job.is_local(options)


@pytest.mark.parametrize(
    "arguments", [["--sped=3"], ["--sped", "3"], ["--runner=DirectRunner", "--x"]]
)
def test_options_that_nothing_knows_are_refused(arguments: list[str]) -> None:
    with pytest.raises(job.Refused, match=r"there is no option --(sped|x): see --help"):
        job.options_of(arguments, streaming=True)


def test_options_that_beam_knows_are_taken() -> None:
    job.options_of(["--direct_num_workers=1", "--no_pipeline_type_check"], streaming=True)


@pytest.mark.parametrize(("path", "here"), [("out", True), ("/a/b", True), ("gs://b/out", False)])
def test_paths_of_this_machine(path: str, here: bool) -> None:
    assert job.is_here(path) == here


def test_a_live_job_is_watched_for_as_long_as_it_runs() -> None:
    def seconds(*arguments: str, streaming: bool) -> int:
        options = job.options_of(arguments, streaming=streaming)
        return int(options.view_as(PortableOptions).job_server_timeout)

    assert seconds(streaming=True) > 5 * 365 * 86_400
    assert seconds(streaming=False) == PortableOptions([]).job_server_timeout
    assert seconds("--job_server_timeout=7", streaming=True) == 7
