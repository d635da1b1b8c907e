# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What in a kernel log is a report of a bug.

SPLAT_RE='BUG:|KASAN:|WARNING:|UBSAN:|KCSAN:|Oops|general protection fault|Kernel panic|kernel BUG at|rust_kernel: panicked|panicked at'
SPLAT_RE+='|suspicious RCU usage|possible (circular|recursive|irq) lock|possible deadlock|inconsistent lock state|bad unlock balance'
SPLAT_RE+='|sleeping function called|scheduling while atomic|INFO: task .* blocked for more than|rcu: INFO: .*(stall|self-detected)'
SPLAT_RE+='|refcount_t:|list_(add|del) corruption|ODEBUG:|unreferenced object|kmemleak: [1-9][0-9]* new suspected|DEBUG_LOCKS_WARN_ON'
SPLAT_RE+='|still has locks held|held lock freed|unregister_netdevice: waiting|Unable to handle|stack segment|double fault|Objects remaining'
SPLAT_RE+='|trying to register non-static key|turning off the locking correctness|cannot create duplicate filename'
# For want of memory (-12) it is no bug: tests refuse it.
SPLAT_RE+='|kobject_add_internal failed for .*(with -|error: -([02-9]|1[^2]|1$|12[^ ]))'
SPLAT_RE+='|kobject .* tried to init|debugfs: .* already present|hard LOCKUP|soft lockup'

# splats FILE   the reports in a log, each with the lines that follow it; true when there is one
splats() {
	tr -d '\r' <"$1" | grep -aE -A 40 "$SPLAT_RE"
}

# splats_by_test FILE   "NAME<TAB>first line of a report", for the test during which it came ("boot" before the first)
splats_by_test() {
	tr -d '\r' <"$1" | awk -v re="$SPLAT_RE" '
		BEGIN { t = "boot" }
		match($0, /LAB-TEST begin [^ ]+/) { t = substr($0, RSTART + 15, RLENGTH - 15); next }
		match($0, /LAB-TEST end/) { last = t; t = "after:" last; next }
		$0 ~ re && n[t]++ < 5 { print t "\t" $0 }'
}
