"""The conformance suite: the same pipelines on every runner, each really started."""
