# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Many mappings, made and removed by many tasks at once. MANY: how many (default 50).

MANY=${MANY:-50} TASKS=8
memory() { awk '/^(MemAvailable|Slab|Percpu|VmallocUsed):/ { printf "%s ", $2 } END { print "" }' /proc/meminfo; }
many_images() { # PREFIX COUNT
	host "python3 -c '
import rados, rbd
with rados.Rados(conffile=\"/etc/ceph/ceph.conf\") as c, c.open_ioctx(\"rbd\") as io:
    for n in range($2):
        rbd.RBD().create(io, f\"$1{n}\", 4 << 20, old_format=False, features=1)
'" || fail 'making images'
}
remove_images() {
	host_later "python3 -c '
import rados, rbd
with rados.Rados(conffile=\"/etc/ceph/ceph.conf\") as c, c.open_ioctx(\"rbd\") as io:
    for n in range($2): rbd.RBD().remove(io, f\"$1{n}\")
'"
}
# map_all PREFIX COUNT   by $TASKS tasks
map_all() {
	local t n pids=()
	for ((t = 0; t < TASKS; t++)); do
		(for ((n = t; n < $2; n += TASKS)); do add_raw "$(monspec $PROTO) $(opts $PROTO) rbd $1$n" || fail "map $1$n: $ERRNO"; done) &
		pids+=($!)
	done
	for t in "${pids[@]}"; do wait "$t" || fail 'a task that maps'; done
}
unmap_all() { # ID…
	local t n pids=() ids=("$@")
	for ((t = 0; t < TASKS; t++)); do
		(for ((n = t; n < ${#ids[@]}; n += TASKS)); do unmap "${ids[n]}" || fail "unmap ${ids[n]}: $ERRNO"; done) &
		pids+=($!)
	done
	for t in "${pids[@]}"; do wait "$t" || fail 'a task that unmaps'; done
}
# A block that tells whose it is.
block() { head -c 65536 < <(yes "rbd$1"); } # ID
round() { # COUNT
	local before after ids numbers id t n
	many_images mn "$1"
	sync
	read -ra before < <(memory)
	t=$EPOCHREALTIME
	map_all mn "$1"
	t=$(((${EPOCHREALTIME/./} - ${t/./}) / 1000))
	read -ra after < <(memory)
	ids=($(mapped_ids))
	eq "${#ids[@]}" "$1" 'devices on the bus'
	echo "$1 mappings by $TASKS tasks in $t ms; each: $(((before[0] - after[0]) / $1)) KiB of memory, slab $(((after[1] - before[1]) / $1)) KiB"
	numbers=$(for id in "${ids[@]}"; do echo "$(<"$BUS/devices/$id/major"):$(<"$BUS/devices/$id/minor")"; done | sort -u | wc -l)
	eq "$numbers" "$1" 'different device numbers'
	eq "$(for id in "${ids[@]}"; do cat "$BUS/devices/$id/name"; done | sort -u | wc -l)" "$1" 'different images'
	eq "$(for id in "${ids[@]}"; do cat "$BUS/devices/$id/client_id"; done | sort -u | wc -l)" 1 'clients'
	local pids=()
	for id in "${ids[@]:0:8}"; do
		block "$id" | dd of="/dev/rbd$id" bs=64k count=1 iflag=fullblock oflag=direct 2>/run/err &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n" || fail "a write: $(cat /run/err)"; done
	for id in "${ids[@]:0:8}"; do
		dd if="/dev/rbd$id" bs=64k count=1 iflag=direct 2>/run/err | cmp - <(block "$id") || fail "rbd$id does not hold what was written to it"
		mkdir -p $LAB/data
		block "$id" >$LAB/data/block
		host "rbd export --no-progress $(<"$BUS/devices/$id/name") - | head -c 65536 | cmp - /build/run/guest-$GUEST_ID/data/block" || fail "the image of rbd$id does not hold what was written to it"
	done
	# Every second one goes; its number is taken again.
	local half=()
	for ((n = 0; n < ${#ids[@]}; n += 2)); do half+=("${ids[n]}"); done
	unmap_all "${half[@]}"
	eq "$(mapped_ids | wc -l)" $(($1 - ${#half[@]})) 'devices after unmapping every second one'
	img mnx 4
	map mnx
	case " ${half[*]} " in *" $ID "*) ;; *) fail "the number $ID is new, while those of unmapped devices are free" ;; esac
	unmap
	t=$EPOCHREALTIME
	unmap_all $(mapped_ids)
	echo "unmapped the rest in $(((${EPOCHREALTIME/./} - ${t/./}) / 1000)) ms"
	eq "$(mapped_ids)" '' 'devices left'
	remove_images mn "$1"
}
t_at_once() {
	# Each takes seconds of the debug kernel's time.
	if [ "$KERNEL_KIND:${SOAK:-}" = debug:1 ]; then MANY=$((MANY / 4)); fi
	round "$MANY"
}
# Each with a major of its own.
t_own_majors() {
	unload_driver
	load_driver single_major=N
	round 12
	unload_driver
	load_driver
}
# The same image mapped and unmapped by many tasks: all succeed or say why.
t_same_image() {
	img mns 4
	local n pids=()
	for n in 1 2 3 4 5 6; do
		(for n in 1 2 3; do add_raw "$(monspec $PROTO) $(opts $PROTO) rbd mns" || fail "map: $ERRNO"; done) &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n" || fail 'a task that maps'; done
	eq "$(mapped_ids | wc -l)" 18 'devices on the bus'
	unmap_all $(mapped_ids)
	eq "$(mapped_ids)" '' 'devices left'
	eq "$(watchers mns)" 0 'watchers left behind'
}
