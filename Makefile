# Two commands for a fresh machine: `make conform` checks the frameworks, `make test` runs the project's tests.
VENV ?= .venv
PYTHON ?= python3.11

# TensorFlow imports ten times slower without bytecode.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: conform test install clean

conform: install
	$(VENV)/bin/gradparity run

# The suite's own tests, and the quick tier of the conformance tests; `make conform` takes the default one.
test: install
	$(VENV)/bin/python -m pytest -n auto --tier=quick

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --compile -c constraints.txt -e ".[all,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
