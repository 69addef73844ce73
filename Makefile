# Two commands for newcomers: `make demo` and `make test`. Both set up what they need in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Compiled modules are kept, whatever the surroundings say: every test's process imports hundreds.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test checks fast test-all test-peers test-long robustness bench bench-peers faults-peers docs release format clean

.venv/installed: pyproject.toml setup.py $(wildcard src/bntt/engine/cpu/*.cpp src/bntt/engine/cpu/*.inl src/bntt/engine/cpu/*.h)
	@echo "installing into .venv, which compiles the kernels: two to four minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

demo: .venv/installed
	$(BIN)/bntt demo

# The linters take one core: beside the tests they take little time of their own.
test: .venv/installed
	$(MAKE) --jobs=2 checks fast

checks: .venv/installed
	$(BIN)/ruff format --check src tests benchmarks examples runtime
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

fast: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not browser"

test-all: test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or browser"

# Hours, once in a while and never in CI: what goes wrong, random networks, other processors, peers.
test-long: test-all robustness
	$(BIN)/python -m tests.fuzz --cases 20000
	$(BIN)/python -m tests.mutations
	$(BIN)/python -m tests.emulation
	$(BIN)/python -m tests.processors
	$(MAKE) test-peers faults-peers docs

# Faults, files changed at random, runs that are stopped at every place and killed at random, and every promise measured,
# which makes quality/robustness.md: some hours. `python -m tests.robustness faults|files|stops|kills|promises` does one.
robustness: .venv/installed
	$(BIN)/python -m tests.robustness --long

# Speed on this machine, benchmarks/; bench-peers has the peers too.
bench: .venv/installed
	$(BIN)/python -m benchmarks

# SpikingJelly, snnTorch and Lightning, for the benchmarks and for faults side by side, in an environment of their own.
.venv-peers/installed: pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --upgrade pip
	.venv-peers/bin/pip install --quiet --editable . 'spikingjelly==2.0.0' 'snntorch==1.0.0' 'lightning==2.6.6' torchvision
	touch $@

bench-peers: .venv-peers/installed
	.venv-peers/bin/python -m benchmarks

# bntt.interop in the networks of SpikingJelly, snnTorch, Norse and Lightning, in an environment of their own.
.venv-interop/installed: pyproject.toml
	$(PYTHON) -m venv .venv-interop
	.venv-interop/bin/pip install --quiet --upgrade pip
	.venv-interop/bin/pip install --quiet --editable '.[test]' 'lightning==2.6.6' 'huggingface_hub==2.4.0' loguru requests
	.venv-interop/bin/pip install --quiet --no-deps 'spikingjelly==2.0.0' 'snntorch==1.0.0' 'norse==1.1.0'
	.venv-interop/bin/pip install --quiet 'nirtorch==2.6' tqdm
	touch $@

test-peers: .venv-interop/installed
	.venv-interop/bin/python -m pytest tests/interop tests/training/test_foreign_peers.py tests/docs/test_examples.py

# The same faults before each of them; needs root for a disk of a few kilobytes.
faults-peers: .venv/installed .venv-peers/installed
	$(BIN)/python -m tests.side_by_side --python .venv-peers/bin/python
	$(BIN)/python docs/make.py peers

# The site, in site/: open site/index.html. Notebooks are executed once and kept in .venv/executed. The report of all
# kept studies is made first, in a minute.
docs: .venv/installed
	$(BIN)/pip install --quiet --group docs
	$(BIN)/python docs/make.py report
	test $$(wc -c < docs/report.html) -le 1300000
	OMP_WAIT_POLICY=PASSIVE $(BIN)/sphinx-build -q -W -n --keep-going -d .venv/doctrees docs site
	test $$(du -sb site | cut -f1) -le 15000000

.venv-release/installed: Makefile
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/pip install --quiet build twine check-wheel-contents tomli-w cibuildwheel
	touch $@

# Both distributions, sdists and wheels made of them, checked, and installed in environments outside the checkout:
# bntt by every one of PYTHONS, with its demo, bntt-runtime by every one of RUNTIME_PYTHONS as well.
PYTHONS ?= $(PYTHON)
RUNTIME_PYTHONS ?= $(shell command -v python3.13 || command -v python3.12)
release: .venv-release/installed
	rm -rf dist .venv-release/runtime .venv-release/trial
	BNTT_REQUIRE_KERNELS=1 .venv-release/bin/python -m build
	.venv-release/bin/python runtime/pack.py .venv-release/runtime
	BNTT_REQUIRE_KERNELS=1 .venv-release/bin/python -m build --outdir dist .venv-release/runtime
	for project in . .venv-release/runtime; do \
		.venv-release/bin/cibuildwheel --platform linux --print-build-identifiers $$project || exit 1; done
	.venv-release/bin/twine check --strict dist/*
	.venv-release/bin/check-wheel-contents dist/*.whl
	.venv-release/bin/python tests/packaging/contents.py dist
	set -e; for python in $(PYTHONS); do $$python tests/packaging/installed.py dist/*.whl .venv-release/trial; done
	set -e; for python in $(RUNTIME_PYTHONS); do \
		$$python tests/packaging/installed.py dist/bntt_runtime-*.whl .venv-release/trial; done

format: .venv/installed
	$(BIN)/ruff format src tests benchmarks examples runtime
	$(BIN)/ruff check --fix src tests benchmarks examples runtime

clean:
	rm -rf .venv .venv-peers .venv-interop .venv-release site build dist src/*.egg-info
