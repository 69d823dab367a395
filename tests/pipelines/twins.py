"""An application on the same events twice: live, and as an archive."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def live_and_batch(
    run: Callable[..., int], tmp_path: Path, events: list[dict[str, Any]], *options: str
) -> tuple[Path, Path]:
    """Runs it on lines of JSON, and on a Parquet file of several row groups.

    Args:
      run: takes arguments and ``output``, and gives the exit code.
      tmp_path: where everything goes.
      events: the events.
      options: for both.

    Returns:
      The output folders of both.
    """
    lines, archive = tmp_path / "in.jsonl", tmp_path / "in.parquet"
    live, batch = tmp_path / "live", tmp_path / "batch"
    lines.write_text("".join(json.dumps(event) + "\n" for event in events))
    pq.write_table(pa.Table.from_pylist(events), archive, row_group_size=len(events) // 7 + 1)
    assert run("--input", str(lines), *options, output=live) == 0
    assert run("--batch", "--input", str(archive), *options, output=batch) == 0
    return live, batch
