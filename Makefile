# One thin target per thing a person wants. Every target sets up its own virtual environment when there is none.
#   make reproduce PROFILE=tiny_imagenet DATA=/path/to/data ARGS="train.epochs=4"
#   make setup TORCH=cpu        torch without CUDA; remembered until another TORCH= is given

PYTHON  ?= python3
PROFILE ?= menagerie
DATA    ?=
NETWORK ?=
ARGS    ?=
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
BUILD   := $(shell cat $(READY) 2>/dev/null)
TORCH   ?= $(BUILD)
quoted   = '$(subst ','\'',$(1))'
DATA_ARG := $(if $(DATA),$(call quoted,$(if $(filter folder imagenet pretrained,$(PROFILE)),data.root,paths.data)=$(DATA)))
SETTINGS := profile=$(PROFILE) $(DATA_ARG) $(if $(NETWORK),$(call quoted,network=$(NETWORK))) $(ARGS)
RUN     := $(BIN)/zfnet run $(SETTINGS)

.PHONY: help setup demo docs reproduce test test-slow test-faults check format fuzz bench data-check data-fetch data-unpack clean train table1 table2 table3 table4 table6 figure2 figure4 figure5 figure6 \
        figure7 report reference class-models saliency localization patterns explain sync dashboard sweep compare
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo
	@echo '  PROFILE=NAME          of conf/profile: menagerie (default), demo, tiny_imagenet, imagenet, folder, pretrained'
	@echo '  DATA=FOLDER           where the datasets lie; with PROFILE=folder, imagenet or pretrained, the dataset itself'
	@echo '  NETWORK=alexnet       a network to look at instead of the one that is trained here'
	@echo '  ARGS="key=value ..."  any other settings, e.g. ARGS="train.epochs=4 seed=1"'

reproduce: $(READY) ## everything at PROFILE (default menagerie), up to outputs/<profile>/report/index.html
	$(RUN) stage=report

demo: $(READY) ## a first look within two minutes: 720 drawn pictures, a small network, the main figures
	$(BIN)/zfnet run profile=demo $(ARGS)
	$(BIN)/zfnet report outputs/demo

test: $(READY) ## the tests, a process a core
	$(BIN)/python -m pytest --numprocesses=auto

test-slow: $(READY) ## the tests of whole runs and several processes
	$(BIN)/python -m pytest -m slow

fuzz: $(READY) ## INPUTS=10000 generated inputs for each parser of users' files
	$(BIN)/python tests/test_fuzz.py $(or $(INPUTS),10000)

test-faults: $(READY) ## COUNT=20 faults injected for each promise of docs/reliability.md
	$(BIN)/python tests/test_faults.py $(or $(COUNT),20)

check: $(READY) ## linter, formatter, types, which part imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

format: $(READY) ## put the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

data-check: $(READY) ## what of the datasets is in DATA, what is missing and from where, what is damaged (ARGS=--md5)
	$(BIN)/zfnet data check $(ARGS) $(call quoted,$(or $(DATA),data))

data-unpack: $(READY) ## unpack the archives of the datasets that are in DATA (ARGS="--to FOLDER")
	$(BIN)/zfnet data unpack $(ARGS) $(call quoted,$(or $(DATA),data))

data-fetch: $(READY) ## NAMES="tiny_imagenet caltech101 ..." downloaded into DATA (default data/), checked and unpacked
	$(BIN)/zfnet data fetch $(NAMES) --to $(call quoted,$(or $(DATA),data)) $(ARGS)

docs: $(READY) ## the documentation as a site in site/, with the Python interface
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements-docs.txt
	$(BIN)/mkdocs build --strict --config-file conf/mkdocs.yml

bench: $(READY) ## our code and other packages' timed in turn: outputs/bench/result.json
	$(BIN)/zfnet bench

setup: $(READY) ## the virtual environment, with hashed, pinned packages (TORCH=cpu: torch without CUDA)

# TORCH names one of uv's builds of torch (cpu, cu126, rocm7.0, ...), which lie outside the package index: torch and
# torchvision are then installed in their pinned versions without hashes, everything else with them.
ifneq ($(TORCH),$(BUILD))
.PHONY: $(READY)
endif
BUILDS   = ^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z-]+)==
SIZE    := 6 GB on Linux, 4 GB of it CUDA (TORCH=cpu: under 2 GB, for machines without an NVIDIA GPU)

$(READY): requirements.txt pyproject.toml
	@echo 'setup: torch$(if $(TORCH), ($(TORCH))) and the other packages of requirements.txt go into $(VENV): $(SIZE)'
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "zfnet needs Python 3.11 to 3.13; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.txt
	$(if $(TORCH),awk '/^[^ ]/ {other = !/$(BUILDS)/} other' requirements.txt > $(VENV)/requirements.txt)
	$(BIN)/uv pip sync --quiet --compile-bytecode --system-certs --python $(BIN)/python --require-hashes \
	    $(if $(TORCH),$(VENV)/)requirements.txt
	$(if $(TORCH),$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps \
	    --torch-backend $(TORCH) $$(grep -oE '^(torch|torchvision)==[0-9.]+' requirements.txt))
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@echo '$(TORCH)' > $@

train: $(READY) ## [ZF13] the network, its error (Table 2, single net)
	$(RUN) stage=train

table1: $(READY) ## [ZF13] Table 1: correspondence
	$(RUN) stage=correspondence

table2: $(READY) ## [ZF13] Table 2: single networks and their average
	$(RUN) stage=ensemble

table3: $(READY) ## [ZF13] Table 3: ablations, all thirteen rows (ARGS="ablations.rows=[krizhevsky,zfnet]": some)
	$(BIN)/zfnet run 'ablations.rows=[]' $(SETTINGS) stage=ablations

table4: $(READY) ## [ZF13] Tables 4 and 7, Fig. 9: transfer
	$(RUN) stage=transfer

table6: $(READY) ## [ZF13] Table 6: PASCAL VOC
	$(RUN) stage=voc

figure2: $(READY) ## [ZF13] Fig. 2: top activations and their projections
	$(RUN) stage=top_activations

figure4: $(READY) ## [ZF13] Fig. 4: evolution of features
	$(RUN) stage=evolution

figure5: $(READY) ## [ZF13] Fig. 5: invariance
	$(RUN) stage=invariance

figure6: $(READY) ## [ZF13] Fig. 6: first layers
	$(RUN) stage=first_layer

figure7: $(READY) ## [ZF13] Fig. 7: occlusion
	$(RUN) stage=occlusion

class-models: $(READY) ## [SVZ13] Fig. 1: class models
	$(RUN) stage=class_model

saliency: $(READY) ## [SVZ13] Fig. 2: saliency
	$(RUN) stage=saliency

localization: $(READY) ## [SVZ13] section 3.2: weak localization
	$(RUN) stage=localization

patterns: $(READY) ## [K17] PatternNet and PatternAttribution
	$(RUN) stage=patterns

report: $(READY) ## the report of the stages of PROFILE that have been run (ARGS=--single-file: also as one file)
	$(BIN)/zfnet report outputs/$(PROFILE) $(ARGS)

reference: $(READY) ## publish the run of PROFILE under outputs/reference and write docs/results.md from it
	$(BIN)/zfnet reference outputs/$(PROFILE)

explain: $(READY) ## IMAGE=photo.jpg through every method, as one picture
	$(BIN)/zfnet explain $(call quoted,$(IMAGE)) $(SETTINGS)

sync: $(READY) ## send what Weights & Biases kept offline under outputs/
	@find outputs -type d -name 'offline-run-*' -prune -print0 | xargs -0 -r -n 50 $(BIN)/wandb sync

dashboard: $(READY) ## publish conf/dashboard.yaml as a workspace of Weights & Biases, when logged in
	$(BIN)/zfnet dashboard

sweep: $(READY) ## every point of conf/sweep.yaml, one after another, under outputs/sweeps
	$(BIN)/zfnet sweep $(SETTINGS)

compare: $(READY) ## RUNS="outputs/a outputs/b" on one page: outputs/compare/index.html (ARGS="out=FOLDER")
	$(BIN)/zfnet compare $(RUNS) $(ARGS)

clean: ## remove the outputs of PROFILE (the drawn and downloaded data stay)
	$(if $(or $(findstring /,$(PROFILE)),$(filter reference,$(PROFILE)),$(if $(strip $(subst .,,$(PROFILE))),,dots)),\
	    $(error clean: PROFILE must name one folder of outputs/ other than reference, e.g. PROFILE=menagerie))
	rm -rf $(call quoted,outputs/$(PROFILE))
