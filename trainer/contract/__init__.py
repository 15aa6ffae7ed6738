"""What the studio and the worker both know: values, specs, events, the run folder. Torch-free."""
