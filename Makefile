# Everything runs in .venv, which is made from the hash-locked requirements; nothing is installed outside it.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --only-binary :all: --require-hashes

.PHONY: help demo serve test check format lock openapi client-sync bench-accuracy bench-families bench-calibration bench-evidence \
	bench-real bench-speed bench-cancel bench-faults bench-memory bench-hostile fuzz test-bucket test-real image secrets test-containers audit sbom lock clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

demo: .venv/runtime ## Run the whole service on a real pair, print the answer, stop.
	@$(BIN)/phasegate demo

serve: .venv/runtime ## Keep the service up on http://127.0.0.1:8000 until Ctrl-C.
	@$(BIN)/phasegate serve

test: .venv/dev ## Run every test, against the real server and real workers.
	$(BIN)/pytest --numprocesses 3

check: .venv/dev ## Lint, formatting, types, import layers, security, containers.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive service phasegate
	$(BIN)/hadolint Dockerfile
	$(BIN)/compose-lint check --quiet --strict-config --fail-on low docker-compose.yml

format: .venv/dev ## Mend what lint and formatting can mend.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

client-sync: .venv/dev ## Translate the asynchronous client into the one without async.
	$(BIN)/python -m scripts.client_sync

openapi: .venv/runtime ## Write openapi.yaml anew.
	$(BIN)/phasegate openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml

bench-accuracy: .venv/dev ## Score the estimators on problems with known truth (minutes).
	$(BIN)/python -m benchmarks.accuracy

bench-families: .venv/dev ## Score them where assumptions fail, and where there is no signal (half an hour).
	$(BIN)/python -m benchmarks.families

bench-calibration: .venv/dev ## Fit the calibration to worlds with known truth, cross-validated (quarter of an hour).
	$(BIN)/python -m benchmarks.calibration

bench-evidence: .venv/dev ## Size and power of the tests behind every claim of signal (half an hour).
	$(BIN)/python -m benchmarks.evidence

bench-real: .venv/dev ## What the estimator says of real pairs: make bench-real [DATA=folder] (2 or 20 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.real_data $(if $(DATA),--data "$(DATA)" --page docs/real-data.md)

bench-speed: .venv/dev ## Time the estimation beside a loop-based one, in one run.
	$(BIN)/python -m benchmarks.speed

bench-cancel: .venv/dev ## How long a running analysis goes on after it is cancelled (two minutes).
	$(BIN)/python -m benchmarks.cancelling

bench-faults: .venv/dev ## Kill every part of the service while it runs analyses, and count what is lost (quarter of an hour).
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.faults

bench-memory: .venv/dev ## What an analysis is said to need of memory beside what it takes (quarter of an hour).
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.memory

bench-hostile: .venv/dev ## What hostile input costs the service: answer, seconds, memory, files left (a minute).
	$(BIN)/python -m benchmarks.hostile

fuzz: .venv/dev ## Fuzz the readers and the API for long: make fuzz [EXAMPLES=300] (ten minutes)
	PHASEGATE_FUZZ_EXAMPLES=$(or $(EXAMPLES),300) PHASEGATE_FUZZ_SEED=$$(date +%s) \
		$(BIN)/pytest -s --timeout 0 tests/properties/test_reader_properties.py tests/e2e/test_described_api.py

test-bucket: .venv/dev ## Run what users do with a whole service over a real bucket's server (five minutes).
	$(BIN)/pytest --store bucket $(addprefix tests/e2e/test_,analyses.py client.py command_line.py datasets.py examples.py gate.py simulations.py)

test-real: .venv/dev ## Check the published values on real data: make test-real DATA=folder
	@test -n "$(DATA)" || { echo "Say where the data sets are: make test-real DATA=folder"; exit 2; }
	PHASEGATE_REAL_DATA="$(DATA)" $(BIN)/pytest tests/real

RECIPE := OMP_NUM_THREADS=1 $(BIN)/python -m examples.run_recipe
RECIPE_PYTHON ?= python3.11
RECIPE_PIP := python -m pip --disable-pip-version-check install --quiet
LOCK_RECIPE := uv pip compile --emit-build-options --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --quiet

.PRECIOUS: examples/%/.venv/locked examples/%/.venv/made
.PHONY: recipe-airflow recipe-ci recipe-mlflow recipe-pretrain recipe-prefect recipe-dagster recipe-dvc recipe-argo \
	lock-recipes

recipe-airflow: examples/airflow/.venv/made ## Run the Airflow recipe against a live service: make recipe-airflow [RECORD=1]
	$(RECIPE) airflow $(RECORD:%=--record)

recipe-ci: examples/ci/.venv/made ## The same for the CI job.
	$(RECIPE) ci $(RECORD:%=--record)

recipe-mlflow: examples/mlflow/.venv/made ## The same for MLflow.
	$(RECIPE) mlflow $(RECORD:%=--record)

recipe-pretrain: examples/pretrain/.venv/made ## The same for the hooks of Lightning and of Hugging Face Trainer.
	$(RECIPE) pretrain $(RECORD:%=--record)

recipe-prefect: examples/prefect/.venv/made ## The same for Prefect.
	$(RECIPE) prefect $(RECORD:%=--record)

recipe-dagster: examples/dagster/.venv/made ## The same for Dagster.
	$(RECIPE) dagster $(RECORD:%=--record)

recipe-dvc: examples/dvc/.venv/made ## The same for DVC.
	$(RECIPE) dvc $(RECORD:%=--record)

recipe-argo: examples/argo/.venv/made ## The same for Argo Workflows, without Kubernetes.
	$(RECIPE) argo $(RECORD:%=--record)

image: ## Build the container image (needs Docker).
	docker compose build api

secrets: ## Make random passwords and a key for the containers in docker/secrets; those that exist stay.
	@sh docker/make-secrets.sh

test-containers: .venv/dev ## Build the image, run the stack, kill parts of it (needs Docker; minutes).
	$(BIN)/pytest tests/containers

audit: .venv/dev ## Look up the locked requirements in the database of known vulnerabilities (needs a network).
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

sbom: .venv/dev ## Write sbom.json: what the service is made of, as CycloneDX.
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file sbom.json

lock-recipes: ## Resolve the requirements of the recipes anew (needs uv).
	for recipe in airflow argo dagster dvc mlflow prefect; do $(LOCK_RECIPE) examples/$$recipe/requirements.in pyproject.toml \
		--output-file examples/$$recipe/requirements.lock || exit; done
	$(LOCK_RECIPE) examples/ci/requirements.in pyproject.toml --extra server --output-file examples/ci/requirements.lock
	$(LOCK_RECIPE) examples/pretrain/requirements.in pyproject.toml --excludes examples/pretrain/torch.txt \
		--output-file examples/pretrain/requirements.lock

lock: ## Resolve the requirements anew (needs uv).
	uv pip compile pyproject.toml --extra server --extra build --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --extra server --extra build --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --quiet --constraints requirements.lock --output-file requirements-dev.lock

clean: ## Remove .venv and caches.
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf examples/*/.venv examples/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A recipe's environment: what its lock names, and the client from this checkout as a user would install it, without the
# service. torch.txt holds what cannot be locked with a hash; examples/pretrain/README.md says why.
examples/%/.venv/locked: examples/%/requirements.lock
	@echo "Making examples/$*/.venv with $$($(RECIPE_PYTHON) --version)"
	@$(RECIPE_PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/$(RECIPE_PIP) --only-binary :all: --require-hashes --no-deps -r $<
	@if [ -f examples/$*/torch.txt ]; then $(@D)/bin/$(RECIPE_PIP) -r examples/$*/torch.txt; fi
	@touch $@

examples/%/.venv/made: examples/%/.venv/locked examples/dist/made
	@$(@D)/bin/$(RECIPE_PIP) --force-reinstall --no-deps examples/dist/phasegate-*.whl
	@$(@D)/bin/python -m pip --disable-pip-version-check check
	@touch $@

examples/dist/made: .venv/runtime $(shell find service phasegate -name '*.py' 2>/dev/null)
	@rm -rf $(@D) && $(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir $(@D) .
	@touch $@

.venv/python:
	@test -n "$(PYTHON)" || { echo "Phasegate needs Python 3.11, 3.12 or 3.13; none was found. Set PYTHON=..."; exit 2; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing; on Debian: apt install python3-venv"; rm -rf .venv; exit 2; }
	@touch $@

.venv/runtime: .venv/python requirements.lock pyproject.toml
	@echo "Installing the locked requirements"
	@$(PIP) -r requirements.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/runtime requirements-dev.lock
	@echo "Installing the locked development requirements"
	@$(PIP) -r requirements-dev.lock
	@touch $@
