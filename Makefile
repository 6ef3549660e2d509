# Two commands from a bare clone: `make demo` makes a video, `make test` checks everything.

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/ready
PROMPT = a small red circle moves left on a navy background
export PROMPT

define HELP
make demo      set up and make demo.mp4 with a built-in demo model; PROMPT="..." says what it shows
make test      set up and pass everything: lint, types, imports, unit

make format    put the code into its format
make lint      format and lint, checked
make types     mypy --strict
make imports   who may import whom
make unit      the tests; ARGS="-k vae -x" goes to pytest
make long      the tests that take minutes and an idle machine
make judge     score the demo models on the full set of prompts
make judge-lora  score the demo LoRA at several strengths
make quality   what every lossy setting costs, on the demo models
make bench     measure speed and memory, beside diffusers; ARGS="--only demo" goes to benchmarks.run

make setup     only the environment, in .venv; PYTHON=/path/to/python3.12 chooses its Python
make clean     remove caches, packages and demo.mp4; .venv and build/ stay
endef

.PHONY: help setup demo test format lint types imports unit long judge judge-lora quality clean bench

help:
	$(info $(HELP))
	@:

demo: $(READY)
	$(VENV)/bin/wan generate "$$PROMPT" --model t2v-A14B-demo --out demo.mp4
	@echo "The video is $(CURDIR)/demo.mp4"

test: lint types imports unit

format: $(READY)
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
	$(PY) -m pytest $(ARGS)

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

clean:
	rm -rf dist demo.mp4 .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

setup: $(READY)

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
