# Two commands from a bare clone: `make demo` makes a video, `make test` checks everything.

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/ready
PROMPT = a small red circle moves left on a navy background
export PROMPT

define HELP
make demo      set up and make demo.mp4 with a built-in demo model; PROMPT="..." says what it shows
make serve     set up, build the web app and start the server; ARGS="--demo" goes to wan serve
make test      set up and pass everything: lint, types, imports, unit, web

make format    put the code into its format
make lint      format and lint, checked
make types     mypy --strict
make imports   who may import whom
make web       the web app: format, lint, types, tests, build and its size; needs Node 20.19 or later
make web-types the types of the web app, from the API as it is
make e2e       drive the web app in a browser (Debian's chromium), with a real server and worker
make e2e-long  the same with what takes longer: a gallery of 10,000 videos
make unit      the tests; ARGS="-k vae -x" goes to pytest
make long      the tests that take minutes and an idle machine
make judge     score the demo models on the full set of prompts
make judge-lora  score the demo LoRA at several strengths
make quality   what every lossy setting costs, on the demo models
make proof     what the server promises, tried for hours; ARGS="kills --n 400" goes to benchmarks.reliability
make growth    a million stored jobs and a thousand workers; needs Debian's postgresql, takes half an hour
make bench     measure speed and memory, beside diffusers; ARGS="--only demo" goes to benchmarks.run

make setup     only the environment, in .venv; PYTHON=/path/to/python3.12 chooses its Python
make clean     remove caches, packages and demo.mp4; .venv and build/ stay
endef

.PHONY: help setup demo serve test format lint types imports unit web web-if-node web-types e2e e2e-long long judge judge-lora quality clean bench proof growth

help:
	$(info $(HELP))
	@:

# Node, if it is one that the tools of the web app work with.
NODE := $(shell node -p 'const [a, b] = process.versions.node.split("."); a > 20 || (a == 20 && b >= 19) ? "yes" : ""' 2>/dev/null)
NPM := web/node_modules/.package-lock.json
BUILT := src/wanvideo/server/static/index.html

demo: $(READY)
	$(VENV)/bin/wan generate "$$PROMPT" --model t2v-A14B-demo --out demo.mp4
	@echo "The video is $(CURDIR)/demo.mp4"

serve: $(READY) $(if $(NODE),$(BUILT))
	$(if $(NODE),,@echo "Without Node 20.19 or later, the web app is not built: the server has its API alone.")
	$(VENV)/bin/wan serve $(ARGS)

test: lint types imports unit web-if-node

format: $(READY) $(if $(NODE),$(NPM))
	$(if $(NODE),npm --prefix web run --silent format)
	$(PY) -m ruff check --fix-only --quiet
	$(PY) -m ruff format

lint: $(READY)
	$(PY) -m ruff format --check
	$(PY) -m ruff check

types: $(READY)
	$(PY) -m mypy

imports: $(READY)
	$(VENV)/bin/lint-imports --no-logo

unit: $(READY)
	$(PY) -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile $(ARGS)

web: $(NPM)
	npm --prefix web run --silent lint
	npm --prefix web run --silent test
	npm --prefix web run --silent build -- --logLevel warn
	npm --prefix web run --silent budget

web-if-node:
	$(if $(NODE),$(MAKE) web,@echo "The web app is not checked: that needs Node 20.19 or later.")

web-types: $(READY) $(NPM)
	PYTHONPATH=src $(PY) scripts/openapi.py > web/openapi.json
	npm --prefix web run --silent types

e2e: $(READY) $(NPM) $(BUILT)
	npm --prefix web run --silent e2e -- $(ARGS)

e2e-long: export LONG = yes
e2e-long: e2e

long: $(READY)
	$(PY) -m pytest -m long $(ARGS)

judge: $(READY)
	$(PY) -m benchmarks.judge --jobs 2 --report docs/demo-quality.md $(ARGS)

judge-lora: $(READY)
	$(PY) -m benchmarks.judge.lora --jobs 2 --report docs/lora-quality.md $(ARGS)

quality: $(READY)
	$(PY) -m benchmarks.quality --jobs 2 --report docs/quality.md $(ARGS)

bench: $(READY)
	PYTHONPATH=. $(PY) -m benchmarks.run --json build/bench.jsonl --markdown build/bench.md $(ARGS)

proof: $(READY)
	PYTHONPATH=. $(PY) -m benchmarks.reliability --report docs/reliability.md $(ARGS)

growth: $(READY)
	PYTHONPATH=. $(PY) -m benchmarks.queue_growth --json build/growth.jsonl --report docs/reliability.md $(ARGS)

clean:
	rm -rf dist demo.mp4 .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

setup: $(READY)

$(NPM): web/package.json web/package-lock.json
	npm --prefix web ci --no-progress
	@touch $@

$(BUILT): $(NPM) web/index.html web/vite.config.ts $(shell find web/src web/public -type f 2>/dev/null)
	npm --prefix web run --silent build -- --logLevel warn

# Where the environment finds the package. Elsewhere: the checkout was moved. Nowhere: it is new, half made, or its Python is gone.
HERE := $(CURDIR)/src/wanvideo/__init__.py
FOUND := $(shell $(PY) -Ic 'from importlib.util import find_spec; print(find_spec("wanvideo").origin)' 2>/dev/null)
ifneq ($(FOUND),$(HERE))
.PHONY: $(READY)
endif

$(READY): pyproject.toml constraints.txt
	@test "$(FOUND)" = "$(HERE)" || scripts/venv.sh $(VENV)
	$(PY) -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@ # last, so that an interrupted set-up is done again
