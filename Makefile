# Everything works on a fresh Debian with a Rust toolchain, as root. `make help` lists the targets.

TARGET   := x86_64-unknown-linux-gnu
BINARY   := dist/berth
PREFIX   ?= /usr/local

.PHONY: help build check test test-attacks test-attacks-short test-vm test-build-corpus test-power soak soak-network fuzz bench bench-overhead demo docs install clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## build the static binary to dist/berth
	@tools/packages.sh build
	BERTH_COMMIT="$$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" \
	BERTH_BUILT_AT="$$(git log -1 --format=%cI 2>/dev/null)" \
	BERTH_COMPILER="$$(rustc --version)" \
	cargo build --release --locked --target $(TARGET) --package berth
	@mkdir -p dist
	@install -m 0755 target/$(TARGET)/release/berth $(BINARY).new && mv $(BINARY).new $(BINARY)
	@echo "$(BINARY): $$(du -h $(BINARY) | cut -f1), $$($(BINARY) --version)"

check: ## formatting, clippy, and the project's own rules (cargo xtask tidy)
	@tools/packages.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo xtask tidy
	cargo xtask operations

test: ## install what the tests need and run them all
	@tools/packages.sh build test
	tools/test.sh

test-vm: ## tests of virtual machines, and of what every isolation has to pass with containers that are machines
	@tools/packages.sh build test vm
	tools/test-vm.sh

soak-network: ## 10,000 times a container joins and leaves: links, namespaces, rules, leases and descriptors stay as they were
	@tools/packages.sh build test
	cargo test --locked --package berth-network --test host -- --ignored --nocapture ten_thousand_cycles

test-build-corpus: ## build a hundred Dockerfiles with berth and with dockerd, and compare what is in them
	@tools/packages.sh build test
	cargo build --locked --package berth
	BERTH_TEST_CORPUS=1 BERTH_TEST_BINARY=$(CURDIR)/target/$(TARGET)/debug/berth \
	cargo test --locked --package berth-blackbox --test engine -- --exact --nocapture \
	build_corpus::the_corpus_is_built_as_dockerd_builds_it

test-attacks: ## the corpus of attacks, each made on the build and on one without the wall that it is about
	@tools/packages.sh build test
	tools/test-attacks.sh full

test-attacks-short: ## the same with smaller counts, as CI does it
	@tools/packages.sh build test
	tools/test-attacks.sh short

test-power: ## 200 power cuts of a machine in which the engine works (about half an hour)
	@tools/packages.sh build test
	cargo build --locked --package berth
	BERTH_TEST_BINARY=$${BERTH_TEST_BINARY:-$$PWD/target/$(TARGET)/debug/berth} BERTH_POWER_CUTS=$${BERTH_POWER_CUTS:-200} \
	cargo test --locked --package berth-blackbox --test engine -- --nocapture power::nothing

soak: ## 10,000 deaths of daemon, supervisors, inits and clients, 100 changes of build, 1,000 containers at once (hours)
	@tools/packages.sh build test
	cargo build --locked --package berth
	BERTH_TEST_BINARY=$${BERTH_TEST_BINARY:-$$PWD/target/$(TARGET)/debug/berth} BERTH_SOAK=$${BERTH_SOAK:-10000} BERTH_UPGRADES=100 BERTH_MANY=1000 \
	cargo test --locked --package berth-blackbox --test engine -- --nocapture --test-threads=1 \
	faults::soak upgrade:: scarce::a_thousand

fuzz: ## each fuzz target for a minute (FUZZ_SECONDS); seeds and found cases run in make test, too
	@tools/packages.sh build
	tools/fuzz.sh

bench: build ## measure, side by side with dockerd, and write docs/benchmarks.md
	@tools/packages.sh bench
	cargo run --quiet --locked --package berth-bench -- --binary $(BINARY) --output docs/benchmarks.md

bench-overhead: build ## what isolation costs: one program on the host and in a container; writes docs/overhead.md
	@tools/packages.sh bench
	cargo run --quiet --release --locked --package berth-bench -- --only-overhead --binary $(BINARY) --output docs/overhead.md

demo: build ## a real Debian image with a real nginx, run, asked, watched and cleaned up
	tools/demo.sh $(BINARY)

docs: build ## man pages and shell completions to dist/man and dist/completions
	@mkdir -p dist/man dist/completions
	$(BINARY) man dist/man
	for shell in bash zsh fish; do $(BINARY) completion $$shell > dist/completions/berth.$$shell; done

install: build docs ## install binary, man pages and completions below PREFIX (/usr/local)
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/berth
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man1 dist/man/*
	install -D -m 0644 dist/completions/berth.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/berth
	install -D -m 0644 dist/completions/berth.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_berth
	install -D -m 0644 dist/completions/berth.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/berth.fish

clean: ## remove what was built
	cargo clean
	rm -rf dist
