# make demo: set up, compile, prove and load the example shop, send packets.
# make test: set up, run every check and every test. Both need only Python 3.11, make and root.

PYTHON ?= python3
VENV := .venv

.PHONY: demo test setup check packages golden docs damages fuzz bench clean

demo: setup
	$(VENV)/bin/python examples/demo/run.py

test: setup check
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

setup: packages $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "svcc needs Python 3.11 or later; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# What is missing is installed as root; otherwise the commands to install it are shown.
packages:
	@missing=""; \
	PATH="$$PATH:/usr/sbin:/sbin"; \
	for pair in iptables:iptables ipset:ipset conntrack:conntrack ip:iproute2 nft:nftables \
			ipvsadm:ipvsadm linux.uml:user-mode-linux modprobe:kmod; do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $$missing >/dev/null; \
	else \
		echo "missing:$$missing; install them (as root: apt-get install$$missing);"; \
		echo "what needs them is left out"; \
	fi

golden: setup
	$(VENV)/bin/python -m pytest tests/golden --regenerate-golden -q

docs: setup
	$(VENV)/bin/python -m tests.house.docs --write

# The table of docs/damages.md; as root each packet is sent through the kernel too.
damages: setup
	$(VENV)/bin/python -m tests.damages --write $$(test "$$(id -u)" -ne 0 || echo --kernel)

# Random rules and packets, kernel against model: make fuzz SEED=7 PAIRS=50000
fuzz: setup
	$(VENV)/bin/python -m tests.fuzz --seed $(or $(SEED),1) --pairs $(or $(PAIRS),10000)

bench: setup
	$(VENV)/bin/python -m bench.run 1000x5 10000x5

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
