# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The part `host` of tests/run: cargo's tests of the protocol code, on vectors, on fresh ones, and on a living cluster.

HOST_SETUP='
set -eu
export CARGO_HOME=$1/cargo CARGO_TARGET_DIR=$1/target CARGO_TERM_COLOR=never
mkdir -p "$CARGO_HOME" "$1/src"
# Debian packages of crates stand in for the registry, so nothing is fetched.
printf "[source.crates-io]\nreplace-with = \"debian\"\n[source.debian]\ndirectory = \"/usr/share/cargo/registry\"\n" >"$CARGO_HOME/config.toml"
'

# host_step NAME TEXT LOG COMMAND…   Tests that failed are found in the log; what ended badly without one is a failure of its own.
host_step() {
	local name=$1 log=$3 rc=0
	shift
	step "$@" || rc=$?
	if [ $rc = 0 ] || grep -qE '^test .* \.\.\. FAILED' "$log"; then return 0; fi
	if [ $rc = 124 ]; then result not-ok "$name" "took too long; log: $log"; else result not-ok "$name" "status $rc; log: $log"; fi
}

part_host() {
	local log=$LOGS/host.log name state rc=0
	if [ ! -e "$LAB_SRC/tests/host/Cargo.toml" ]; then
		result not-ok host 'tests/host does not exist'
		return 0
	fi
	HOST_TARGET=$LAB_CACHE/kernels/host-$(hash_of <<<"$LAB_SRC")
	mkdir -p "$HOST_TARGET"
	step 'host tests: the protocol code on vectors' "$log" in_tree bash -s -- "/build/kernels/${HOST_TARGET##*/}" <<IN || rc=$?
$HOST_SETUP
rsync -a --delete --exclude=target /build/src/net_ceph /build/src/rbd /build/src/tests "\$1/src/"
# The lock file names the versions of another registry.
rm -f "\$1/src/tests/host/Cargo.lock"
cd "\$1/src/tests/host"
cargo test --offline --workspace --no-fail-fast </dev/null
IN
	if [ $rc = 0 ]; then
		# Another seed each time; the log tells which.
		host_step host.fresh 'host tests: placement against crushtool and osdmaptool, on maps made now' "$LOGS/host-fresh.log" \
			in_tree bash -s -- "/build/kernels/${HOST_TARGET##*/}" $RANDOM <<IN
$HOST_SETUP
cd "\$1/src/tests/host"
echo "seed \$2"
rm -rf "\$1/vectors"
mkdir -p "\$1/vectors"
./vectors/generate-placement "\$1/vectors" --seed "\$2"
PLACEMENT_VECTORS=\$1/vectors cargo test --offline --no-fail-fast --test crush_vectors --test osdmap_vectors -- --ignored </dev/null
IN
		host_live
		fuzz_short
	fi
	# One result for each test that cargo ran; a test that was ignored at first may have run later.
	while IFS=$'\t' read -r name state; do
		case $state in
		ok) printf 'ok\thost.%s\t\n' "$name" >>"$RESULTS" ;;
		FAILED) result not-ok "host.$name" "log: $LOGS/host*.log" ;;
		ignored*) result skip "host.$name" "$state" ;;
		esac
	done < <(cat "$LOGS"/host*.log | awk '
		/^ *Running / { file = $2; sub(/.*\//, "", file); sub(/\.rs$/, "", file); if (file == "main") { file = $2; sub(/\/main\.rs$/, "", file); sub(/.*\//, "", file) } next }
		/^ *Doc-tests / { file = "doc"; next }
		/^test .* \.\.\. (ok|FAILED|ignored)/ {
			at = index($0, " ... "); name = substr($0, 6, at - 6); state = substr($0, at + 5)
			sub(/ - should panic$/, "", name); gsub(/ /, "-", name)
			name = file "." name
			if (!(name in is) || is[name] ~ /^ignored/ || state == "FAILED") is[name] = state
		}
		END { for (n in is) print n "\t" is[n] }' | sort)
	say "host tests: $(grep -c $'^ok\thost\\.' "$RESULTS" || true) passed"
	if [ $rc != 0 ] && ! grep -q $'^not-ok\thost' "$RESULTS"; then result not-ok host.build "cargo failed; log: $log"; fi
	if [ $rc = 0 ] && ! grep -q $'^ok\thost' "$RESULTS"; then result not-ok host.none 'cargo ran no test'; fi
}

# The protocol code as a client of a real cluster.
host_live() {
	grep -q '^test .*ignored, wants a cluster' "$LOGS/host.log" || return 0
	in_run host
	cluster '--osds 3' || { result not-ok host.live 'the cluster did not start'; return 0; }
	host_step host.live 'host tests: the protocol code as a client of a real cluster' "$LOGS/host-live.log" \
		run_exec "$RUN" bash -s -- "/build/kernels/${HOST_TARGET##*/}" <<IN
$HOST_SETUP
rbd create rbd/host-live --size 64M --image-feature layering
rbd snap create --no-progress rbd/host-live@one
rbd resize --no-progress rbd/host-live --size 128M
cd "\$1/src/tests/host"
CEPH_LIVE_CONF=/etc/ceph/ceph.conf timeout 300 cargo test --offline --no-fail-fast --test live -- --ignored </dev/null
IN
	keep_logs
}
