"""`make bench`: run the measurements one after another, on a machine left alone, and write docs/benchmarks.md."""

from __future__ import annotations
