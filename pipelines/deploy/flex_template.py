"""Where a Flex Template begins: the application ``tag-names``, its parameters --NAME=VALUE."""

import sys
from collections.abc import Sequence

from pipelines import tag_names

FLAGS = ("batch", "kafka-java", "overwrite")
"""Options without a value, which are parameters that are "true" or "false"."""


def arguments_of(parameters: Sequence[str]) -> list[str]:
    """The parameters as the command line has them: flags without a value, or left out."""
    arguments = []
    for parameter in parameters:
        name, _, value = parameter.removeprefix("--").partition("=")
        if name not in FLAGS:
            arguments.append(parameter)
        elif value.lower() == "true":
            arguments.append(f"--{name}")
    return arguments


if __name__ == "__main__":
    sys.exit(tag_names.main(["--no-view", *arguments_of(sys.argv[1:])]))
