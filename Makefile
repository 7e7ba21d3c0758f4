# Plain verbs. Every command is printed as it runs; the README lists them for people who do not use make.
STUDY ?= config.yaml
ARGS ?=
REPORT ?= report.html
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run report studies perceptron test test-slow test-gpu test-slurm test-container test-autoattack test-export test-tensorboard test-report bench bench-gpu container docs check format schema reruns keys api pictures words lock lock-hashes install-hashed clean paper

# Check a study, run it, then print its tables and where its files are; on failure the job's own message comes last.
run: $(STAMP)
	$(BIN)/python -m pumalib run $(STUDY) $(if $(ARGS),-- $(ARGS))

# A study that has run, as one HTML file that needs no network, neither to write it nor to read it.
report: $(STAMP)
	$(BIN)/python -m pumalib report $(STUDY) --out $(REPORT)

# The paper's tables and figures, on digits; see docs/reproduction.md.
studies:
	$(MAKE) run STUDY=studies/digits-paper.yaml

# The paper's Tables 1 and 2 at their full size, for GPUs: looks at the files first, and says at once what is wrong with any; docs/reproduction.md.
# WEIGHTS="margin=FILE", SHA256="1m=HEX" and OVERRIDES="studies/overrides/paper-rehearsal.yaml" take several words.
CIFAR10 ?= data/cifar-10-batches-py
EDM_1M ?= data/edm/1m.npz
paper: $(STAMP)
	$(BIN)/python -m pumalib paper --file 'cifar10=$(CIFAR10)' --file '1m=$(EDM_1M)' $(WEIGHTS:%=--file '%') $(SHA256:%=--sha256 '%') $(OVERRIDES:%=--override '%')
	$(BIN)/python -m pumalib run results/paper.yaml $(if $(ARGS),-- $(ARGS))

# The perceptron theory in small; the whole of it is STUDY=studies/paper-perceptron.yaml.
perceptron:
	$(MAKE) run STUDY=studies/perceptron.yaml

# The whole CPU suite, a process per core.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# Minutes long; real Fashion-MNIST files are read from $$PUMA_TEST_DATA where it is set.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS)

# Needs a CUDA device; needs neither Snakemake nor the constraints.
test-gpu:
	python3 -m pytest -m gpu tests/gpu $(ARGS)

# As root on a machine without a SLURM of its own: starts them, with three pretend GPUs a node; apt-get installs it where missing.
test-slurm: .venv/.installed-slurm
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slurm $(ARGS)

# Builds the container and runs a study in it; needs podman.
test-container: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m container $(ARGS)

# AutoAttack for real; its package is 40 MB of download and optional, so `make test` skips these.
test-autoattack: .venv/.installed-autoattack
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/attacks/test_autoattack.py tests/evaluation/test_attack_files.py $(ARGS)

# Exports, read by Hugging Face's datasets and pyarrow, which are optional: `make test` skips these.
test-export: .venv/.installed-huggingface
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/export $(ARGS)

# Event files of trainings, read by tensorboard, which is optional: `make test` skips these.
test-tensorboard: .venv/.installed-tensorboard
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/trackers $(ARGS)

# Opens Snakemake's report of a tiny study, and pages of `puma browse`, in Chromium without a network; apt-get installs Chromium where it is missing, as root.
test-report: .venv/.installed-browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser $(ARGS)

# The image `puma`, which studies run in; needs podman, and some minutes and 8 GB.
container:
	containers/build.sh $(ARGS)

# The documents as a site, in build/site.
docs: $(STAMP)
	$(BIN)/python -m mkdocs build --strict

# Speed and tightness beside the peers, on digits, one CPU thread (margins: two as well), some minutes; see docs/performance.md.
bench: .venv/.bench
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/misclassified_margins.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/margins.py --nets convnet --count 400 --rounds 3
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/margins.py --nets resnet-18 --count 40 --rounds 2
	$(BIN)/python benchmarks/margins.py speed --nets convnet --count 400 --rounds 3 --threads 2
	$(BIN)/python benchmarks/margins.py speed --nets resnet-18 --count 40 --rounds 2 --threads 2
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/evaluation.py --nets convnet --count 449 --rounds 5
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/evaluation.py --nets resnet-18 --count 100 --rounds 2
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/trades_step.py --nets convnet --count 20 --rounds 9
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/trades_step.py --nets resnet-18 --count 4 --rounds 5 --batch 32
	$(BIN)/python benchmarks/freed_memory.py

# The same on a CUDA device, with what makes a training faster there; PUMA_BENCH_IMAGES=FILE.npz takes other images than digits.
# Needs neither Snakemake nor the constraints. --peak: dense bfloat16 of an H200, in TFLOP/s.
bench-gpu:
	python3 benchmarks/measured_times.py --device cuda
	python3 benchmarks/trades_step.py --device cuda --nets resnet-18 --batch 512 --count 2 --rounds 3 --faster --peak 781
	python3 benchmarks/margins.py speed --device cuda --nets resnet-18 --count 10000 --rounds 1
	python3 benchmarks/faster_options.py --device cuda --nets resnet-18 --epochs 5 --seeds 3

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file .ci/mypy.ini benchmarks tests/device tests/gpu
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/codespell
	$(BIN)/python -m pumalib check config.yaml

# What ruff cannot fix, `make check` tells; formatting goes on, and mends most of it.
format: $(STAMP)
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

# The JSON schema that editors complete study files with.
schema: $(STAMP)
	$(BIN)/python -m pumalib schema > schemas/study.json

# Which rules rerun when a module changes, read off their fingerprints.
reruns: $(STAMP)
	$(BIN)/python -m pumalib.study.reruns > docs/reruns.md

# Every key of a study, read off the settings.
keys: $(STAMP)
	$(BIN)/python -m pumalib.study.keys > docs/keys.md

# Every public function, read off signatures and docstrings.
api: $(STAMP)
	$(BIN)/python -m pumalib.reference.page > docs/api.md

# The pictures of docs/architecture.md, drawn off the code.
pictures: $(STAMP)
	$(BIN)/python docs/images/draw.py

# How each page reads: the length of its sentences, passives, and words that readers of this field do not know.
words: $(STAMP)
	$(BIN)/python .ci/words.py $(ARGS)

# The stamp comes last, so that an interrupted installation is not taken for a finished one.
$(STAMP): constraints.txt pyproject.toml
	python3 -m venv .venv
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

# What is not among what developers install: with SLURM's plugin, every call of snakemake would take a third of a second more.
.venv/.installed-%: $(STAMP)
	$(BIN)/pip install --constraint constraints.txt --editable '.[$*]'
	touch $@

# torchattacks asks for a requests of 2021 and adv-lib for visdom, which nothing run here needs, so they come without what they ask for.
.venv/.bench: $(STAMP)
	$(BIN)/pip install --no-deps --constraint constraints.txt torchattacks adv-lib
	touch .venv/.bench

lock: .venv/.installed-slurm .venv/.installed-autoattack .venv/.installed-huggingface .venv/.installed-tensorboard .venv/.installed-browser .venv/.bench
	{ head -n 1 constraints.txt; $(BIN)/pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt

# Hashes of the very files that were installed here: Linux on x86-64, CPython 3.11. It downloads all that is asked for.
lock-hashes: $(STAMP)
	$(BIN)/pip install --quiet --dry-run --ignore-installed --report .venv/report.json --constraint constraints.txt --editable '.[dev]' setuptools wheel
	$(BIN)/python .ci/hashes.py .venv/report.json > hashes.txt

# An installation in which each file has a hash that stands in this repository; elsewhere than Linux on x86-64: `make run`.
install-hashed: hashes.txt
	python3 -m venv .venv
	$(BIN)/pip install --require-hashes --requirement hashes.txt
	$(BIN)/pip install --no-deps --no-build-isolation --editable .
	touch $(STAMP)

clean:
	rm -rf .venv .snakemake .mypy_cache .ruff_cache .pytest_cache .hypothesis
