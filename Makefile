# make run    the studio; without a display the guided tour, with screenshots in ./tour/
# make test   everything that must hold: lint, types, walls between the packages, tests
# make bench  measurements beside bare baselines and peers -> docs/benchmarks.md
# make prove  the long proofs with their full counts
# Each sets itself up; nothing has to be installed before but Python 3.11 or newer and make.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
VENV := .venv/bin/python
SETUP = sh packaging/setup.sh "$(PYTHON)"

.PHONY: run test bench prove clean

run:
	@$(SETUP) base
	@$(VENV) packaging/open.py

test:
	@$(SETUP) test
	@sh packaging/check.sh

bench:
	@$(SETUP) test
	@$(VENV) -m bench $(ARGS)

prove:
	@$(SETUP) test
	@STEPLENS_PROOF=full $(VENV) -m pytest tests/proofs -v --durations=0

clean:
	rm -rf .venv build tour tests-output
