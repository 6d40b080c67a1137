# The same targets by hand and in CI. Needs Python 3.11 or later with venv and pip, and make; nothing else.
#
#   make quick      what one runs before each commit, without a server: under a minute on two processors
#   make demo       two passes against a built-in feed, in seconds, without network or services
#   make test       all tests, a real OpenSearch included, on all processors  (ARGS="-k words" narrows it; ARGS="-n 0":
#                   one after the other)
#   make check      ruff, formatting, mypy --strict, import-linter; that documents and pictures say what the program does
#   make coverage   branch coverage of the core and of the pass    (ARGS="tests/unit" narrows it)
#   make test-long  all tests, the long ones included; 100,000 patches, 10,000 sequences of the model machine,
#                   1,000 schedules of several writers: some hours
#   make planted    plants each known bug into a copy and shows which test notices it
#   make mutants    plants every small fault into the core, the pass, the bulk checker and the lease, one by
#                   one: about an hour, then only what has changed   (ARGS="core/fold sync" narrows it)
#   make soak       passes against a moving feed, killed at random (ARGS="--minutes 120 --seed 1")
#   make fuzz       bytes that nobody has thought of, for whatever reads something from outside; a minute a target
#                   (ARGS="--seconds 600 links archives"; needs Linux on x86-64 and Python 3.11 to 3.13)
#   make bench      how fast and small it is, next to what it is compared with, on an idle machine: 20 minutes
#                   (ARGS="--records 100000 --pairs 3"; one bench alone: BENCH=idle)
#   make bench-quick  the same, small: four minutes; fails when a figure is beyond its limit
#   make bench BENCH=scale        up to the size of the real feed, on three nodes, too: half an hour
#                   (ARGS="--sizes 2000,4000 --stores sqlite")
#   make bench BENCH=performance  measures docs/performance.md anew, on an idle machine: an hour
#                   (ARGS="--sets scale overlap"; BENCH=picture: only its tables and picture, from performance.json)
#   make pictures   draws the pictures of README.md and docs/ anew, from what the program does
#   make man        docs/man/ctisync.1, docs/commands.md and the tables of settings and exit codes anew, from the program
#   make docs       the site of docs/, into site/; a broken link or a page that no menu names ends it
#   make node       a real OpenSearch to play with, until Ctrl-C   (ARGS="--version 3.3.2", or ARGS=--secured)
#   make dist       source archive and wheel, into dist/, with requirements, a list of parts (SBOM) and hashes
#   make packages   .deb, .rpm and .pyz of it, for x86-64 and arm64, into dist/, too; needs Go
#   make test-packages  installs them into root folders of Debian 12 and 13; needs root, Debian's archive and
#                   the programs that it names if they are missing   (ARGS="-k words" narrows it)
#   make release-check  whether this tree can be released: committed, tagged, in the changelog, check, test, dist
#   make lock       requirements/*.txt anew from pyproject.toml and *.in   (UPGRADE=1 takes newer versions)
#   make clean      removes what the targets above made here

PYTHON ?= python3
ARGS ?=
BENCH ?= all
UPGRADE ?=

# The oldest Python that is supported: a lock made with it also holds what only old versions need.
LOCK_PYTHON ?= python3.11

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input
PIP_COMPILE := .venv-lock/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	--annotation-style line --constraint requirements/constraints.in $(if $(UPGRADE),--upgrade)

# Set in many containers. Each worker would compile all tests anew, and each command ctisync.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help quick demo test check coverage test-long planted mutants soak fuzz bench bench-quick docs pictures man node dist packages test-packages release-check lock clean

# What the program has is documented, what is documented is there, and what is made of the program is not stale.
PROOFS := $(addprefix tests/docs/test_,everything_is_documented.py manual.py pictures.py site.py)

help:
	@sed -n 's/^#   //p' Makefile

demo: .venv-run/.project
	.venv-run/bin/ctisync demo $(ARGS)

# What its kills, errors and made-up lives leave out, `make test` has: see tests/support/long.py.
quick: .venv/.project
	TEST_QUICK=1 .venv/bin/python -m pytest -n auto $(addprefix tests/,unit contract scenarios crash properties) $(ARGS)

test: .venv/.project
	.venv/bin/python -m pytest -n auto $(ARGS)

check: .venv/.project
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest --quiet $(PROOFS)

coverage: .venv/.project
	.venv/bin/python -m pytest --cov --cov-report=term-missing:skip-covered $(ARGS)

test-long: .venv/.project
	TEST_LONG=1 .venv/bin/python -m pytest $(ARGS)
	MODEL_SEQUENCES=10000 .venv/bin/python -m pytest --timeout=0 tests/properties -k "memory or sqlite" $(ARGS)
	SCHEDULES=1000 .venv/bin/python -m pytest --timeout=0 tests/two_writers $(ARGS)

planted: .venv/.project
	.venv/bin/python -m tests.planted $(ARGS)

mutants: .venv/.project
	.venv/bin/python -m tests.mutants $(ARGS)

soak: .venv/.project
	.venv/bin/python -m tests.soak $(ARGS)

bench: .venv/.project .venv-run/.project
	@.venv/bin/python -m bench $(BENCH) $(ARGS)

bench-quick: .venv/.project .venv-run/.project
	@.venv/bin/python -m bench guard $(ARGS)

pictures: .venv/.project
	@.venv/bin/python -m tools.pictures

man: .venv/.project
	.venv/bin/python -m tests.docs.generated

docs: .venv/.project
	.venv/bin/mkdocs build --strict $(ARGS)
	@echo "read it: site/index.html"

# Asked before the environment is made: pip would only say that it finds no such package.
fuzz:
	@$(PYTHON) -c 'import platform, sys; sys.exit((sys.platform, platform.machine()) != ("linux", "x86_64") \
		or not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "make fuzz needs Atheris, which has wheels for Linux on x86-64 and Python 3.11 to 3.13; '$(PYTHON)' is:" \
			"$$($(PYTHON) --version 2>&1). Name another: make fuzz PYTHON=python3.12" >&2; exit 1; }
	@$(MAKE) --no-print-directory .venv-fuzz/.project
	@.venv-fuzz/bin/python -m tests.fuzz $(ARGS)

node: .venv/.project
	@.venv/bin/python -m tests.support.play_node $(ARGS)

# The wheel is made from the archive, so that what the archive lacks shows.
dist: .venv/.project
	rm -rf dist
	.venv/bin/python -m build --no-isolation $(ARGS)
	.venv/bin/python -m tools.release_files dist

# The tools are locked too: pex by requirements/packages.txt, nfpm by packages/go.sum.
packages: dist .venv-packages/.packages .venv-packages/nfpm
	.venv/bin/python -m tools.packages dist --nfpm .venv-packages/nfpm --pex .venv-packages/bin/pex

test-packages: .venv/.project .venv-packages/.packages .venv-packages/nfpm
	TEST_PACKAGES=1 .venv/bin/python -m pytest -n 0 tests/packages $(ARGS)

.venv-packages/nfpm: packages/go.mod packages/go.sum .venv-packages/.packages
	go build -C packages -trimpath -o $(CURDIR)/$@ github.com/goreleaser/nfpm/v2/cmd/nfpm
	@touch $@

release-check:
	@test -z "$$(git status --porcelain)" || { echo "release-check: there are changes that are not committed"; exit 1; }
	@version="$$(sed -n 's/^__version__ = "\(.*\)\.dev0+sources"$$/\1/p' src/ctisync/__init__.py)"; \
	grep -q "^## \[$$version\] - 20" CHANGELOG.md || \
	{ echo "release-check: CHANGELOG.md has no heading: ## [$$version] - DATE"; exit 1; }; \
	git tag --points-at HEAD | grep -qx "v$$version" || \
	{ echo "release-check: the commit has no tag: git tag v$$version"; exit 1; }
	$(MAKE) check test dist

# runtime.txt first: the others take its versions, so that what is tested is what is installed. What is asked for with
# extras stands with them in dev.txt: else pip takes the newest version for those, which no hash is there for.
lock: .venv-lock/.packages
	$(PIP_COMPILE) pyproject.toml --output-file requirements/runtime.txt
	$(PIP_COMPILE) --extra serve --constraint requirements/runtime.txt pyproject.toml --output-file requirements/serve.txt
	$(PIP_COMPILE) requirements/build.in --output-file requirements/build.txt
	$(PIP_COMPILE) --no-strip-extras --constraint requirements/runtime.txt --constraint requirements/build.txt \
		--extra serve pyproject.toml requirements/dev.in --output-file requirements/dev.txt
	$(PIP_COMPILE) requirements/lock.in --output-file requirements/lock.txt
	$(PIP_COMPILE) requirements/fuzz.in --output-file requirements/fuzz.txt
	$(PIP_COMPILE) requirements/pipx.in --output-file requirements/pipx.txt
	$(PIP_COMPILE) requirements/packages.in --output-file requirements/packages.txt

clean:
	rm -rf .venv .venv-run .venv-lock .venv-fuzz .venv-packages .wheels build dist site htmlcov .coverage .hypothesis
	rm -rf .bench .fuzz .import_linter_cache .mutants .mypy_cache .pytest_cache .ruff_cache
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment holds exactly its lock files: when one of them changes, it is made anew.
.venv/.packages: requirements/dev.txt requirements/build.txt
.venv-run/.packages: requirements/runtime.txt requirements/build.txt
.venv-lock/.packages: requirements/lock.txt
.venv-fuzz/.packages: requirements/runtime.txt requirements/build.txt requirements/fuzz.txt
.venv-packages/.packages: requirements/packages.txt
.venv-lock/.packages: PYTHON = $(LOCK_PYTHON)
.venv/.packages .venv-run/.packages .venv-lock/.packages .venv-fuzz/.packages .venv-packages/.packages:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "ctisync needs Python 3.11 or later, with venv; '$(PYTHON)' is:" \
			"$$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python $(PIP_INSTALL) --require-hashes $(patsubst %,-r %,$^)
	@touch $@

# ctisync itself, editable: the sources here are what runs.
.venv/.project .venv-run/.project .venv-fuzz/.project: %/.project: %/.packages pyproject.toml
	$*/bin/python $(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@
