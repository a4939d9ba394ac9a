# `make demo` and `make test` need Python >= 3.11 and nothing else; everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt
PROTOS := $(wildcard protos/unikat/*/*.proto)

.PHONY: demo test drills soak fuzz lint format protos bench compose-test released release pins lock settings metrics lines clean

demo: .venv/.demo ## Sets everything up, draws a sheet through the whole path, prints where it is.
	$(BIN)/unikat demo

test: .venv/.dev lint ## Lint, types, proto lint and drift, and the tests.
	$(BIN)/pytest -n 2 --dist loadfile --durations 30 --durations-min 5

# Tests of other folders that try more with --long.
LONGER := tests/queue/test_any_order.py tests/queue/test_any_batch_order.py $(addprefix tests/service/test_,batch_load.py batch_plans.py raw_bytes.py requests.py)

drills: .venv/.dev ## Injects faults into running systems for minutes; the figures of docs/guarantees.md.
	$(BIN)/pytest tests/drills $(LONGER) --long -s --timeout 3600

soak: .venv/.dev ## Mixed work for MINUTES (60): does anything grow? Writes the figures and the plot of docs/guarantees.md.
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),60) --write

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf breaking protos --against protos/released.binpb

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write protos

protos: .venv/.dev ## Generates the stubs from protos/.
	$(BIN)/python -m tests.tools.protos
	@if [ -d clients/typescript/node_modules ]; then $(BIN)/python -m tests.tools.typescript; fi

settings: .venv/.dev ## Writes docs/settings.md from the declarations in the code.
	$(BIN)/python -m tests.tools.settings > docs/settings.md

metrics: .venv/.dev ## Writes the tables of docs/operations.md from a scrape of all programs.
	$(BIN)/python -m tests.tools.metrics --write

released: .venv/.dev ## Freezes the contract: from here on, what breaks it fails `make lint`.
	$(BIN)/buf build protos -o protos/released.binpb

release: .venv/.dev ## Builds what is committed into dist/: wheel, sdist, models, images, notes, checksums; and tries the wheel.
	$(BIN)/python -m deploy.release

pins: .venv/.dev ## Writes requirements/constraints.txt from what is installed and tested.
	{ head -n 1 requirements/constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; grep '^onnxruntime-gpu==' requirements/constraints.txt; } > requirements/new.txt
	mv requirements/new.txt requirements/constraints.txt

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet -c requirements/constraints.txt

lock: .venv/.dev ## Writes requirements/*.txt, what the images install by hash, from pyproject.toml and the constraints.
	$(PIP) uv
	$(LOCK) pyproject.toml --extra service --extra credentials --extra traces -o requirements/service.txt
	$(LOCK) pyproject.toml --extra registry --extra credentials --extra traces -o requirements/registry.txt
	$(LOCK) pyproject.toml --extra gallery -o requirements/gallery.txt
	$(LOCK) pyproject.toml --extra worker --extra s3 --extra credentials --extra traces -o requirements/worker.txt
	$(LOCK) pyproject.toml --extra worker-gpu --extra s3 --extra credentials --extra traces -o requirements/worker-gpu.txt
	$(LOCK) requirements/build.in -o requirements/build.txt

fuzz: .venv/.dev ## Feeds every decoder a million inputs (RUNS=...), prints the table of docs/guarantees.md.
	$(PIP) -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --runs $(or $(RUNS),1000000)

bench: .venv/.dev ## Measures Unikat beside other servers, prints the table of benchmarks/README.md.
	$(BIN)/python -m benchmarks peers

lines: ## Counts the lines of the serving path: client, service and worker with their Lua, generated stubs aside.
	@git ls-files unikat service worker | grep -E '\.(py|lua)$$' | grep -vE '^unikat/(v1|inference)/' | xargs cat | wc -l

compose-test: .venv/.dev ## Brings the compose stack up, draws, kills a worker, draws on.
	$(BIN)/python -m deploy.compose_test

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Unikat needs Python 3.11 or newer; say which with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/pyvenv.cfg pyproject.toml requirements/constraints.txt
	@echo "Installing Unikat into .venv (service, CPU worker, embedded Valkey) ..."
	$(PIP) -e '.[up]'
	@touch $@

.venv/.dev: .venv/pyvenv.cfg pyproject.toml requirements/constraints.txt
	@echo "Installing Unikat with everything that its tests need into .venv ..."
	$(PIP) -e '.[dev]'
	@touch $@ .venv/.demo

clean:
	rm -rf .venv out
