# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Fuzzing: the targets of tests/fuzz, each for a number of inputs (in the part `host`), or at length (the part `fuzz`).

FUZZ=$LAB_CACHE/kernels/fuzz # in the tree: /build/kernels/fuzz
# What takes more than this is a finding. Seconds are those of the clock on the wall, and others may want the processor.
FUZZ_LIMITS='-rss_limit_mb=1024 -timeout=60 -report_slow_units=60 -max_len=16384'

# Inputs of a target in the short form: a second or two of each.
fuzz_runs() {
	case $1 in
	crush | osdmap | osdmap_updates) echo 6000 ;;
	*) echo 50000 ;;
	esac
}

fuzz_targets() {
	local f
	for f in "$LAB_SRC"/tests/fuzz/fuzz_targets/*.rs; do
		f=${f##*/}
		echo "${f%.rs}"
	done
}

# Builds the targets, and writes the seeds. fuzz_build DIR, a directory below the cache's `kernels`
fuzz_build() {
	in_tree bash -s -- "/build/kernels/${1##*/}" <<IN
$HOST_SETUP
rsync -a --delete --exclude=target /build/src/net_ceph /build/src/rbd /build/src/tests "\$1/src/"
cd "\$1/src/tests/fuzz"
# The lock file names the versions of another registry.
rm -f Cargo.lock
cargo build --offline --release </dev/null
rm -rf "\$1/seeds"
"\$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/seeds" ../host/vectors "\$1/seeds"
IN
}

# fuzz_some DIR LOGS JOBS CORPUS ARGS TARGET…    runs targets, JOBS at a time; without ARGS each for a number of inputs
fuzz_some() {
	local dir=/build/kernels/${1##*/} logs=$2 jobs=$3 corpus=$4 args=$5 t
	shift 5
	mkdir -p "$logs" "$FUZZ/findings"
	for t; do
		if [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; then wait -n || true; fi
		fuzz_one "$dir" "$logs" "$corpus" "$args" "$t" &
	done
	wait
}
fuzz_one() {
	local dir=$1 logs=$2 corpus=$3 args=$4 t=$5 more='' rc=0
	if [ -n "$corpus" ]; then more=/build/kernels/fuzz/corpus/$t; mkdir -p "$FUZZ/corpus/$t"; fi
	# shellcheck disable=SC2046,SC2086
	in_tree nice -n 5 "$dir/target/x86_64-unknown-linux-gnu/release/$t" ${args:--runs=$(fuzz_runs "$t")} $FUZZ_LIMITS \
		-print_final_stats=1 -artifact_prefix="/build/kernels/fuzz/findings/$t-" $more "$dir/seeds/$t" \
		</dev/null >"$logs/$t.log" 2>&1 || rc=$?
	echo "exit $rc" >>"$logs/$t.log"
	echo "$t: $(fuzz_executions "$logs/$t.log") executions, exit $rc"
}
fuzz_executions() { awk '/^stat::number_of_executed_units/ { n = $2 } END { print n + 0 }' "$1"; }

# One result for each target, of its log.
fuzz_results() { # LOGS
	local t log rc what
	for t in $(fuzz_targets); do
		log=$1/$t.log
		rc=$(awk '/^exit / { print $2 }' "$log" 2>/dev/null || true)
		case $rc in
		0) result ok "fuzz.$t" "$(fuzz_executions "$log") executions" ;;
		'') result not-ok "fuzz.$t" "it did not run; log: $log" ;;
		72) result skip "fuzz.$t" 'interrupted' ;; # libFuzzer's own status for that
		*)
			what=$(grep -aE "panicked at|ERROR: libFuzzer" "$log" | head -n1 || true)
			result not-ok "fuzz.$t" "$what; input: $(fuzz_artifact "$log"); log: $log"
			;;
		esac
	done
}
# Where the input is that did it, outside the tree.
fuzz_artifact() {
	local f
	f=$(sed -n 's|.*Test unit written to /build/kernels/fuzz/findings/||p' "$1" | tail -n1)
	if [ -n "$f" ]; then echo "$FUZZ/findings/$f"; else echo none; fi
}

# The closing line of the long form.
fuzz_summary() {
	local log targets=0 total=0 findings=0
	for log in "$LOGS"/fuzz/*.log; do
		targets=$((targets + 1))
		total=$((total + $(fuzz_executions "$log")))
		if [ "$(fuzz_artifact "$log")" != none ]; then findings=$((findings + 1)); fi
	done
	echo "$targets targets, $total executions, $findings findings"
}

# Of the part `host`.
fuzz_short() {
	local rc=0
	step 'fuzz targets: building' "$LOGS/fuzz-build.log" fuzz_build "$HOST_TARGET" || rc=$?
	if [ $rc != 0 ]; then result not-ok fuzz.build "log: $LOGS/fuzz-build.log"; return 0; fi
	# shellcheck disable=SC2046
	step 'fuzz targets: a number of inputs for each' "$LOGS/fuzz.log" \
		fuzz_some "$HOST_TARGET" "$LOGS/fuzz" 1 '' '' $(fuzz_targets) || true
	fuzz_results "$LOGS/fuzz"
}

# The long form: MINUTES in all, shared among the targets.
part_fuzz() {
	local dir minutes=${MINUTES:-30} targets each
	dir=$LAB_CACHE/kernels/host-$(hash_of <<<"$LAB_SRC")
	mkdir -p "$dir" "$FUZZ"
	step 'fuzz targets: building' "$LOGS/fuzz-build.log" fuzz_build "$dir" || { result not-ok fuzz.build "log: $LOGS/fuzz-build.log"; return 0; }
	mapfile -t targets < <(fuzz_targets)
	each=$((minutes * 60 * LAB_JOBS / ${#targets[@]}))
	if [ $each -lt 1 ]; then each=1; fi
	FUZZING=1
	step "fuzzing ${#targets[@]} targets, $each s each, $LAB_JOBS at a time; inputs that reach something new: $FUZZ/corpus" "$LOGS/fuzz.log" \
		fuzz_some "$dir" "$LOGS/fuzz" "$LAB_JOBS" corpus "-max_total_time=$each" "${targets[@]}" || true
	fuzz_results "$LOGS/fuzz"
}
