# make demo: train and compare the front-ends on synthetic sounds.  make test: everything CI checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint unit coverage docs docs-check dist bench clean help

help:
	@echo "make demo   compare the front-ends on synthetic sounds (a few minutes)"
	@echo "make test   lint, types, tests, docs"
	@echo "make docs   build the site into docs/_build/html"
	@echo "make docs-check  look at every page of the site in a browser (Chromium or Chrome)"
	@echo "make dist   build wheel and sdist, and try the wheel in an environment of its own"
	@echo "make bench  speed and memory of front-ends, relevance heads, streams and exported forms"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "learnable-frontends needs Python 3.10 or newer, got " + sys.version.split()[0] + " (make PYTHON=python3.12 ...)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/python -m experiments.compare --out runs/demo --jobs 2

test: lint unit docs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.readthedocs .readthedocs.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet .github/workflows

unit: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

coverage: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --cov --cov-report=term

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

docs-check: $(READY)
	rm -rf docs/_build # the pages of sources that are gone
	$(MAKE) docs
	$(BIN)/python -m checks.site docs/_build/html

dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m checks.wheel dist/*.whl README.md

bench: $(READY)
	$(BIN)/python -m benchmarks.frontends
	$(BIN)/python -m benchmarks.relevance
	$(BIN)/python -m benchmarks.streaming
	$(BIN)/python -m benchmarks.export
	$(BIN)/python -m benchmarks.precision
	$(BIN)/python -m benchmarks.classifier

clean:
	rm -rf $(VENV) docs/_build docs/gallery_built build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
