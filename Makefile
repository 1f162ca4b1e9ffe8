# Shims over plain pip commands (tools/install.py, README.md); nothing here is needed to use avatarkit.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CLIP ?=
OUT ?= out/$(if $(CLIP),$(basename $(notdir $(CLIP))),demo)
# Processes that run tests; each takes one to two gigabytes.  0: this one alone, which a debugger needs.
WORKERS ?= 2
# What is type checked besides the core: the shipped plugins.
PLUGIN_PACKAGES := $(sort $(wildcard plugins/*/avatarkit_*))

.PHONY: demo test test-long lint format install install-dev
.DEFAULT_GOAL := demo

# A clip is tracked with MediaPipe's landmark model, which is fetched once (3.8 MB) unless AVATARKIT_FACE_LANDMARKER names it.
demo: install  ## the main job on a capture that avatarkit makes itself; make demo CLIP=my.mp4 on your own video
	$(if $(CLIP),$(if $(AVATARKIT_FACE_LANDMARKER),,$(BIN)/avatarkit assets get mediapipe-face-landmarker))
	$(BIN)/avatarkit demo --out "$(OUT)" $(if $(CLIP),--clip "$(CLIP)")

install:
	@$(PYTHON) tools/install.py --venv $(VENV)

install-dev:
	@$(PYTHON) tools/install.py --venv $(VENV) --dev

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy $(PLUGIN_PACKAGES)

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread of torch for each process: two that have two each spin for two cores, and take twice as long.
test: lint  ## lint, types, then every test but the long ones
	OMP_NUM_THREADS=1 $(BIN)/pytest -q --durations=15 -m "not long" -n $(WORKERS) --dist loadfile

test-long: install-dev  ## a hundred kills, hundreds of damaged files, gigabytes of pictures: ten minutes more
	$(BIN)/pytest -q --durations=15 -m long
