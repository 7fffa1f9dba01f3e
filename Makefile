# Needed are only Python 3.11 and make, for the tests of the kernel root too.

PYTHON ?= python3
VENV := .venv
BUILD ?= podman build

.PHONY: help demo test unit lint format setup packages golden docs damages fuzz bench man completion deb image clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

test: lint packages ## set up, lint, every test (as root those of the kernel too)
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal

unit: setup ## tests without root or kernel, three CPU minutes (see tests/README.md)
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal -m "not kernel and not ipvs and not slow" \
		tests/unit tests/house tests/golden

lint: setup ## ruff check, ruff format --check, mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup ## let ruff format the code and mend what it can
	$(VENV)/bin/ruff check --fix --exit-zero .
	$(VENV)/bin/ruff format .

setup: $(VENV)/installed ## the virtual environment, with svcc and all that develops it

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "svcc needs Python 3.11 or later; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev,packaging]'
	@touch $@

# What is missing is installed as root; otherwise the commands to install it are shown. Servers
# are not started where they are installed for tests: policy-rc.d forbids it (Debian Policy, 9.3.3.1).
packages: ## the system's tools that tests and demo use
	@missing=""; \
	PATH="$$PATH:/usr/sbin:/sbin"; \
	for pair in iptables:iptables ipset:ipset conntrack:conntrack ip:iproute2 nft:nftables \
			ipvsadm:ipvsadm linux.uml:user-mode-linux modprobe:kmod \
			setcap:libcap2-bin systemd-analyze:systemd \
			nginx:nginx-light nsd:nsd knotd:knot kzonecheck:knot-dnssecutils named:bind9 named-checkzone:bind9-utils \
			dot:graphviz chromium:chromium; do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	test -e /usr/lib/nginx/modules/ngx_stream_module.so || missing="$$missing libnginx-mod-stream"; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
		policy=/usr/sbin/policy-rc.d; test -e $$policy && policy=/dev/null; \
		test $$policy = /dev/null || { printf '#!/bin/sh\nexit 101\n' >$$policy; chmod +x $$policy; }; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $$missing >/dev/null; \
		code=$$?; test $$policy = /dev/null || rm -f $$policy; exit $$code; \
	else \
		echo "missing:$$missing; install them (as root: apt-get install$$missing);"; \
		echo "what needs them is left out"; \
	fi

demo: setup packages ## compile, prove and load the example shop, send packets
	$(VENV)/bin/python examples/demo/run.py

golden: setup ## write the golden files anew: look at the difference before it is committed
	$(VENV)/bin/python -m pytest tests/golden --regenerate-golden -q

docs: setup ## put what the examples print into the documents
	$(VENV)/bin/python -m tests.house.docs --write

damages: setup ## write the table of docs/damages.md; as root each packet goes through the kernel
	$(VENV)/bin/python -m tests.damages --write $$(test "$$(id -u)" -ne 0 || echo --kernel)

fuzz: setup ## random rules, kernel against model: make fuzz SEED=7 PAIRS=50000
	$(VENV)/bin/python -m tests.fuzz --seed $(or $(SEED),1) --pairs $(or $(PAIRS),10000)

bench: setup ## how long large clusters take
	$(VENV)/bin/python -m bench.run 1000x5 10000x5

man: setup ## the manual page, build/man/svcc.8
	@mkdir -p build/man
	@COLUMNS=100 $(VENV)/bin/argparse-manpage --module svcc.cli --function parser --project-name svcc \
		--version "$$($(VENV)/bin/python -c 'import svcc; print(svcc.__version__)')" --manual-section 8 \
		--manual-title "System administration" \
		--description "compile, prove and load the kernel rules of Kubernetes Services" --output build/man/svcc.8

completion: setup ## what bash, zsh and fish complete, in build/completion
	@mkdir -p build/completion
	@$(VENV)/bin/shtab --shell bash --error-unimportable svcc.cli.parser >build/completion/svcc
	@$(VENV)/bin/shtab --shell zsh --error-unimportable svcc.cli.parser >build/completion/_svcc
	@$(VENV)/bin/shtab --shell fish --error-unimportable svcc.cli.parser >build/completion/svcc.fish

# debian/ is where dpkg-buildpackage looks for it.
deb: ## the Debian package, in build/ (Debian 13; see docs/install.md)
	rm -rf build/deb
	mkdir -p build/deb/source
	git archive --format=tar HEAD | tar -x -C build/deb/source
	cp -r packaging/debian build/deb/source/debian
	cd build/deb/source && dpkg-buildpackage --no-sign --build=binary

image: ## both images, with podman, buildah or docker: make image BUILD="docker build"
	$(BUILD) -f packaging/Containerfile --target replacement -t svcc:latest .
	$(BUILD) -f packaging/Containerfile --target audit -t svcc-audit:latest .

clean: ## all that these targets have made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
