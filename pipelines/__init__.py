"""One runnable pipeline per application."""
