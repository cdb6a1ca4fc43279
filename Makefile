# One thin target per thing a person wants. Every target sets up its own virtual environment when there is none.
#   make reproduce PROFILE=tiny_imagenet DATA=/path/to/data ARGS="train.epochs=4"

PYTHON  ?= python3
PROFILE ?= menagerie
DATA    ?=
ARGS    ?=
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
quoted   = '$(subst ','\'',$(1))'
DATA_ARG := $(if $(DATA),$(call quoted,$(if $(filter folder imagenet,$(PROFILE)),data.root,paths.data)=$(DATA)))
ZFNET   := $(BIN)/python -m zfnet profile=$(PROFILE) $(DATA_ARG) $(ARGS)

.PHONY: help setup reproduce test check format bench data-check data-unpack clean train table1 table2 table3 table4 table6 figure2 figure4 figure5 figure6 \
        figure7 report reference class-models saliency localization patterns look sync dashboard sweep compare
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

reproduce: $(READY) ## everything at PROFILE (default menagerie), up to outputs/<profile>/report/index.html
	$(ZFNET) stage=report

test: $(READY) ## the tests
	$(BIN)/python -m pytest

check: $(READY) ## linter, formatter, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## put the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

data-check: $(READY) ## what of the data sets is in DATA, what is missing and from where, what is damaged (ARGS=--md5)
	$(BIN)/python -m zfnet.data check $(ARGS) $(call quoted,$(or $(DATA),data))

data-unpack: $(READY) ## unpack the archives of the data sets that are in DATA
	$(BIN)/python -m zfnet.data unpack $(call quoted,$(or $(DATA),data))

bench: $(READY) ## ours beside the peers, as ratios of one run: outputs/bench/result.json
	$(BIN)/python -m zfnet.bench

setup: $(READY) ## the virtual environment, with hashed, pinned packages

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "zfnet needs Python 3.11 to 3.13; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.txt
	$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes requirements.txt
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

train: $(READY) ## [ZF13] the network, its error (Table 2, single net)
	$(ZFNET) stage=train

table1: $(READY) ## [ZF13] Table 1: correspondence
	$(ZFNET) stage=correspondence

table2: $(READY) ## [ZF13] Table 2: single networks and their average
	$(ZFNET) stage=ensemble

table3: $(READY) ## [ZF13] Table 3: ablations
	$(ZFNET) stage=ablations

table4: $(READY) ## [ZF13] Tables 4 and 7, Fig. 9: transfer
	$(ZFNET) stage=transfer

table6: $(READY) ## [ZF13] Table 6: PASCAL VOC
	$(ZFNET) stage=voc

figure2: $(READY) ## [ZF13] Fig. 2: top activations and their projections
	$(ZFNET) stage=top_activations

figure4: $(READY) ## [ZF13] Fig. 4: evolution of features
	$(ZFNET) stage=evolution

figure5: $(READY) ## [ZF13] Fig. 5: invariance
	$(ZFNET) stage=invariance

figure6: $(READY) ## [ZF13] Fig. 6: first layers
	$(ZFNET) stage=first_layer

figure7: $(READY) ## [ZF13] Fig. 7: occlusion
	$(ZFNET) stage=occlusion

class-models: $(READY) ## [SVZ13] Fig. 1: class models
	$(ZFNET) stage=class_model

saliency: $(READY) ## [SVZ13] Fig. 2: saliency
	$(ZFNET) stage=saliency

localization: $(READY) ## [SVZ13] section 3.2: weak localisation
	$(ZFNET) stage=localization

patterns: $(READY) ## [K17] PatternNet and PatternAttribution
	$(ZFNET) stage=patterns

report: $(READY) ## the report of the stages of PROFILE that have been run so far
	$(BIN)/python -m zfnet.report outputs/$(PROFILE)

reference: $(READY) ## publish the run of PROFILE under outputs/reference and write the README's results from it
	$(BIN)/python -m zfnet.report.reference outputs/$(PROFILE)

look: $(READY) ## IMAGE=photo.jpg through every method: outputs/<profile>/look/photo/look.png
	$(ZFNET) stage=look $(call quoted,image=$(IMAGE))

sync: $(READY) ## send what Weights & Biases kept offline under outputs/
	@find outputs -type d -name 'offline-run-*' -prune -print0 | xargs -0 -r -n 50 $(BIN)/wandb sync

dashboard: $(READY) ## publish conf/dashboard.yaml as a workspace of Weights & Biases, when logged in
	$(BIN)/python -m zfnet.cli.dashboard

sweep: $(READY) ## every point of conf/sweep.yaml, one after another, under outputs/sweeps
	$(BIN)/python -m zfnet.cli.sweep profile=$(PROFILE) $(DATA_ARG) $(ARGS)

compare: $(READY) ## RUNS="outputs/a outputs/b" side by side on one page: outputs/compare/index.html
	$(BIN)/python -m zfnet.report.compare $(RUNS)

clean: ## remove the outputs of PROFILE (the drawn and downloaded data stay)
	$(if $(or $(findstring /,$(PROFILE)),$(filter reference,$(PROFILE)),$(if $(strip $(subst .,,$(PROFILE))),,dots)),\
	    $(error clean: PROFILE must name one folder of outputs/ other than reference, e.g. PROFILE=menagerie))
	rm -rf $(call quoted,outputs/$(PROFILE))
