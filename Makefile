.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Overridable: the Python to make .venv with, the processes tests run in, the tests to run (T a path,
# K an expression as in pytest -k), what `breaking` compares with, the rounds of `robustness`, the mutants of `mutants`, what `bench` measures, and V=1 to see what pip does.
PYTHON ?= python3
JOBS ?= 2
T ?=
K ?=
AGAINST ?= .git\#branch=main
ROUNDS ?= 20
SAMPLE ?= 100
SEED ?= random
BACKEND ?= both
ONLY ?=
QUICK ?=
V ?=

BIN := .venv/bin
INTEGRATIONS := $(wildcard clients/*/tests)
INSTALLED := .venv/.installed
# What the demo and a server need: the whole environment where it is there, else less.
RUNNABLE := $(if $(wildcard $(INSTALLED)),$(INSTALLED),.venv/.runnable)
LONG_FILE := 500
PROTOS := $(wildcard proto/amiguard/v1/*.proto)
PIP_FLAGS := $(if $(V),,--quiet) --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(INSTALLED) ## Make .venv with amiguard (editable), every extra and the tools, as locked

# Two steps, because the build must not see the lock of the run: it needs the old protobuf of its
# generator. Old pips read PIP_CONSTRAINT for the build environment, new ones PIP_BUILD_CONSTRAINT;
# neither takes hashes there beside an editable install.
$(INSTALLED): pyproject.toml requirements.lock requirements-build.lock hatch_build.py $(PROTOS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-compile --no-deps --require-hashes -r requirements.lock
	PIP_CONSTRAINT=requirements-build.lock PIP_BUILD_CONSTRAINT=requirements-build.lock \
		$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --editable .
	$(BIN)/python -m pip check
	@touch $@

.venv/.runnable: pyproject.toml requirements-demo.lock requirements-build.lock hatch_build.py $(PROTOS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-compile --no-deps --require-hashes -r requirements-demo.lock
	PIP_CONSTRAINT=requirements-build.lock PIP_BUILD_CONSTRAINT=requirements-build.lock \
		$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --editable .
	@touch $@

.PHONY: lint
lint: install ## Check style, types, plain English and the wire contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/python tests/prose.py
	@git ls-files '*.py' '*.proto' | xargs wc -l | awk '$$2 != "total" && $$1 > $(LONG_FILE) \
		{ print "note: " $$2 " has " $$1 " lines: does it hold one idea?" }'

.PHONY: format
format: install ## Rewrite the sources as the style asks
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/buf format --write

.PHONY: breaking
breaking: install ## Check that the wire contract still serves the peers of AGAINST
	$(BIN)/buf breaking --against '$(AGAINST)'

.PHONY: test
test: install ## Run the whole test suite, or some of it: T=tests/core/test_judge.py K=owner
	$(BIN)/python -m pytest $(if $(T)$(K),,-n $(JOBS) --dist worksteal) $(T) $(if $(K),-k '$(K)')

# The rule, and the modules that need no server and no database; with few examples a property.
QUICK := tests/core tests/test_architecture.py tests/test_rule_page.py tests/clients/test_packing.py \
	$(addprefix tests/service/test_,$(addsuffix .py,addresses allowance budget config convert delivery \
	diagnosis entry_requests filter_evaluation filter_fields filters image_requests ordering paging \
	preview_requests retention_settings rule_requests sink_files tally tokens)) \
	$(addprefix tests/clients/cli/test_,$(addsuffix .py,convert csv_files durations entry_files \
	partial_match safe sheets times verdicts yaml_files))
.PHONY: quick
quick: install ## Run the tests of the rule and of single modules, without PostgreSQL
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m 'not postgres and not slow' $(QUICK)

# The promise of pyproject.toml's floors: everything the package needs at its oldest, the tools as they are.
.PHONY: test-floors
test-floors: install ## Run the whole test suite on the oldest releases the package allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/floors
	$(BIN)/uv pip install --quiet --python build/floors/bin/python --resolution lowest-direct \
		--build-constraint requirements-build.lock --editable '.[aws,cli,postgres,server,sinks]'
	$(BIN)/uv pip install --quiet --python build/floors/bin/python --group dev
	build/floors/bin/python -m pytest -n $(JOBS) --dist worksteal

.PHONY: test-integrations
test-integrations: install ## Run the integrations inside the products they plug into
	$(BIN)/python -m pytest --timeout 900 $(INTEGRATIONS)

.PHONY: demo
demo: $(RUNNABLE) ## Show the system at work from end to end, on this machine alone
	PYTHONPATH=. $(BIN)/python tests/demo.py

.PHONY: run
run: $(RUNNABLE) ## Serve in the foreground on a local SQLite file, for this machine alone
	$(BIN)/amiguard-server serve --listen 127.0.0.1:7443 --database sqlite:///amiguard.db --insecure

# SEED=random takes new ones; a failed round says which one plays it again.
.PHONY: robustness
robustness: install ## Break everything around the servers, round after round: ROUNDS=20 SEED=random
	PYTHONPATH=. $(BIN)/python tests/robustness/run.py --backend $(BACKEND) --rounds $(ROUNDS) --seed $(SEED)

.PHONY: mutants
mutants: install ## Plant faults in the core that tests should notice: SAMPLE=100 SEED=random ONLY="judge"
	PYTHONPATH=. $(BIN)/python tests/mutants/run.py --sample $(SAMPLE) --seed $(SEED) --jobs $(JOBS) $(if $(ONLY),--only $(ONLY))

# Whole it takes half an hour and 12 GB of disk; ONLY="ingest relevant" takes some of it, QUICK=1 a look.
.PHONY: bench
bench: install ## Measure throughput and latency: ONLY="ingest hunt relevant entries scale" QUICK=1
	PYTHONPATH=. $(BIN)/python tests/bench/run.py $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

.PHONY: docs
docs: install ## Build the pages, with a reference of the API and the command line, as a site: build/site
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/sphinx
	$(BIN)/uv pip install --quiet --python build/sphinx --require-hashes -r requirements-docs.lock
	PYTHONPATH=. $(BIN)/python tests/site.py build/pages
	build/sphinx/bin/python -m sphinx --quiet --fail-on-warning --fresh-env -b html build/pages build/site

.PHONY: picture
picture: install ## Draw docs/hunt.svg, as hunt shows the demo's trail
	PYTHONPATH=. $(BIN)/python tests/picture.py

.PHONY: dist
dist: install ## Build the source distribution and, from it, the wheel
	$(BIN)/uv build --quiet --build-constraint requirements-build.lock --out-dir dist

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
SBOM := $(BIN)/uvx --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py
.PHONY: release
release: install ## Check the version and the changelog, and build sdist, wheel and SBOM in dist/
	@test -z "$$(git status --porcelain)" || { echo "the tree has changes: commit them first" >&2; exit 1; }
	@grep -q '^## $(VERSION)\b' CHANGELOG.md || { echo "CHANGELOG.md has no '## $(VERSION)': name the release there" >&2; exit 1; }
	rm -rf dist
	$(MAKE) --no-print-directory dist
	$(COMPILE) --constraint requirements.lock pyproject.toml --all-extras --output-file build/requirements-release.txt
	$(SBOM) requirements build/requirements-release.txt --pyproject pyproject.toml \
		--output-reproducible --output-file dist/amiguard-$(VERSION).cdx.json
	@ls -l dist; echo "next: git tag v$(VERSION)"

.PHONY: splunk-soar
splunk-soar: install ## Build the app for Splunk SOAR: dist/amiguard-splunk-soar.tgz
	$(BIN)/python clients/splunk_soar/package.py build dist/amiguard-splunk-soar.tgz

.PHONY: lock
lock: install ## Update the lock files to the newest releases
	$(COMPILE) --upgrade --generate-hashes pyproject.toml --all-extras --group dev \
		--output-file requirements.lock
	$(COMPILE) --upgrade --generate-hashes pyproject.toml --extra cli --extra server --output-file requirements-demo.lock
	$(COMPILE) --upgrade --generate-hashes --group docs --output-file requirements-docs.lock
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(COMPILE) --upgrade - --output-file requirements-build.lock
	$(BIN)/python clients/splunk_soar/package.py lock
	$(COMPILE) --upgrade --generate-hashes pyproject.toml clients/ansible_eda/tests/requirements.in \
		--output-file clients/ansible_eda/tests/requirements.lock

.PHONY: clean
clean: ## Remove the environment and everything that was built or cached
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f proto/amiguard/v1/*_pb2*.py proto/amiguard/v1/*_pb2*.pyi proto/amiguard/v1/descriptor_set.binpb
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
