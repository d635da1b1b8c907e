# SPDX-License-Identifier: GPL-2.0-only
# Builds net_ceph.ko and rbd.ko like any out-of-tree module, and runs the lab. `make help` lists what there is.

KDIR ?= /lib/modules/$(shell uname -r)/build
# The compiler must be the kernel's own.
kernel_cc = $(shell sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\).*/\1/p' $(KDIR)/.config 2>/dev/null)
kernel_clang = $(shell grep -s '^CONFIG_CC_IS_CLANG=y' $(KDIR)/.config)
toolchain = $(if $(kernel_clang),LLVM=1,$(if $(kernel_cc),CC=$(kernel_cc)))
kbuild = $(MAKE) -C $(KDIR) M=$(CURDIR) $(toolchain)

.PHONY: all modules modules_install clean help demo check check-host check-lint check-guest soak bench fuzz \
	lab lab-start lab-stop lab-status lab-shell lab-guest lab-clean

all: modules

modules: rust-metadata
	+$(kbuild) modules

.PHONY: rust-metadata
rust-metadata:
	@test -e $(KDIR)/Makefile || { echo "ERROR: no kernel build directory at $(KDIR)" >&2; \
		echo "       install linux-headers-$$(uname -r), or name one: make KDIR=DIR" >&2; exit 1; }
	@test -e $(KDIR)/rust/libkernel.rmeta || { echo "ERROR: $(KDIR) has no Rust metadata" >&2; \
		echo "       on Debian: sudo scripts/prepare-kdir, then make KDIR=/usr/src/linux-rust-$$(uname -r)" >&2; exit 1; }

modules_install:
	+$(kbuild) modules_install

clean:
	+$(kbuild) clean

demo:
	@MAKE_TARGET=$@ scripts/demo

check:
	@MAKE_TARGET=$@ tests/run

# The guest tests at length: hours, not minutes.
soak:
	@MAKE_TARGET=$@ SOAK=1 tests/run build guest

# The fuzz targets at length: MINUTES in all.
fuzz:
	@MAKE_TARGET=$@ tests/run fuzz

# Ours beside the C driver, nbd and null_blk: see Documentation/performance.rst.
bench:
	@MAKE_TARGET=$@ tests/bench/run

check-host check-lint check-guest:
	@MAKE_TARGET=$@ tests/run $(@:check-%=%)

lab:
	@MAKE_TARGET=$@ scripts/rootfs
	@MAKE_TARGET=$@ scripts/kernel stock
	@MAKE_TARGET=$@ scripts/kernel debug

lab-start:
	@scripts/cluster start

lab-stop:
	@scripts/cluster stop

lab-status:
	@scripts/cluster status

lab-shell:
	@scripts/in-cluster bash

lab-guest:
	@scripts/guest --interactive

lab-clean:
	@scripts/clean

help:
	@echo 'Modules:'
	@echo '  make [modules] [KDIR=DIR]    build net_ceph.ko and rbd.ko (KDIR: default the running kernel'"'"'s)'
	@echo '  make modules_install         install them below /lib/modules'
	@echo '  make clean                   remove what was built here'
	@echo 'Trying and testing (as root, on Debian 12 or 13; everything is kept in ~/.cache/ceph-rs-lab):'
	@echo '  make demo                    a real cluster, a guest, the modules, verified I/O   (DRIVER=c: the C driver instead)'
	@echo '  make check                   every test                                           (KERNEL=7.2: the other series)'
	@echo '  make check-lint check-host check-guest    parts of it                             (TESTS="map io": guest test groups)'
	@echo '  make soak [MINUTES=120]      the guest tests at length: hours, MINUTES of faults   (MANY=1000: mappings at once)'
	@echo '  make bench                   ours beside the C driver, nbd and null_blk            (BENCH_LINES=…: see tests/bench/run)'
	@echo '  make fuzz                    the protocol code on inputs made to reach all of it  (MINUTES=30: in all)'
	@echo 'The lab by hand:'
	@echo '  make lab                     fetch and build the root file system and both kernels'
	@echo '  make lab-start lab-status lab-stop        a cluster in namespaces of its own'
	@echo '  make lab-shell               a shell beside that cluster (rbd, ceph, rados)'
	@echo '  make lab-guest               a shell in a guest beside that cluster               (LAB_KERNEL=stock|debug)'
	@echo '  make lab-clean               remove the cache and whatever still runs'
