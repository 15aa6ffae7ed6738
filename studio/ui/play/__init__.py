"""The Play page: a problem, how much may be thought, and strategies that race for its answer."""
