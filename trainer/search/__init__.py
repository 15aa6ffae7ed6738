"""Search at test time: many traces or steps for one problem, chosen by votes and a PRM."""
