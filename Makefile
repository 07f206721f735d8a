# Two commands: `make run` starts the daemon, `make test` checks everything. Each sets itself up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where pip finds torch without CUDA; the default index would bring gigabytes of it on Linux.
# For a GPU build: make run TORCH_INDEX=https://download.pytorch.org/whl/cu128
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: run test quick soak lint benchmark clean

run: $(VENV)/run.stamp
	$(BIN)/helios run

test: $(VENV)/test.stamp lint
	$(BIN)/pytest -n 2 --dist loadfile

# While one works: without most of what starts daemons, kills them, or lives for weeks.
quick: $(VENV)/test.stamp lint
	$(BIN)/pytest -n 2 --dist loadfile $(addprefix --ignore=tests/,acceptance browser faults simulation)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Hours: 10,000 virtual weeks, every kill point of more weeks, 1,000 kills, 500 of trainings. HELIOS_SEED=N: others.
soak: $(VENV)/test.stamp
	HELIOS_SEED=$${HELIOS_SEED:-$$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')} $(BIN)/pytest -m soak -s

benchmark: $(VENV)/test.stamp
	for file in benchmarks/*.py; do echo "$$file"; $(BIN)/python "$$file" || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

$(VENV)/run.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Helios needs Python 3.11 or later; name one with PYTHON=python3.11'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --retries 1 --extra-index-url $(TORCH_INDEX) -c constraints.txt torch
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	$(PIP) install -c constraints.txt -e '.[test]'
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  command -v google-chrome >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else echo 'No Chromium found: the browser tests will be skipped. Install it to run them.'; fi
	touch $@
