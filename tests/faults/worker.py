"""A Python worker in a process of its own, which a runner starts and a test kills.

The command of Beam's PROCESS environment: ``python -m tests.faults.worker FOLDER``; it notes its
process id as the name of a file in FOLDER.
"""

import argparse
import os
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_provision_api_pb2 as provision
from apache_beam.portability.api import beam_provision_api_pb2_grpc as provision_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format


def main() -> None:
    """Asks the runner what to do, and does it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    args, _ = parser.parse_known_args()
    (args.folder / str(os.getpid())).touch()
    with grpc.insecure_channel(args.provision_endpoint) as channel:
        info = (
            provision_grpc.ProvisionServiceStub(channel)
            .GetProvisionInfo(
                provision.GetProvisionInfoRequest(), metadata=[("worker_id", args.id)]
            )
            .info
        )
    os.environ["WORKER_ID"] = args.id
    os.environ["PIPELINE_OPTIONS"] = json_format.MessageToJson(info.pipeline_options)
    os.environ["RUNNER_CAPABILITIES"] = " ".join(info.runner_capabilities)
    for name in ("logging", "control"):
        endpoint = text_format.MessageToString(getattr(info, f"{name}_endpoint"))
        os.environ[f"{name.upper()}_API_SERVICE_DESCRIPTOR"] = endpoint
    sdk_worker_main.main([])


if __name__ == "__main__":
    main()
