#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Writes to an image until it is killed, and tells afterwards what must be in the image.

usage: crash.py write DEVICE LOGS [OPS]     by a block device; OPS: w(rite of a block), f(ull object), d(iscard of an object)
       crash.py librbd IMAGE LOGS [OPS]     the same by librbd, to compare with
       crash.py check IMAGE LOGS            by librbd: content, and what fast-diff says of it

Each task has objects of its own and does one thing at a time: so an object is what the acknowledged operations made of
it, or that and the one operation that was begun last. LOGS is a directory with a file for each task: a record when an
operation begins, another when it was acknowledged.
"""
import fcntl, glob, mmap, os, random, struct, sys

TASKS, OBJECT, BLOCK = 8, 65536, 4096
OPS = 'wwwwfdd'
BLKDISCARD = 0x1277                     # linux/fs.h
RECORD = struct.Struct('<ccHIQ')        # b(egun) or a(cknowledged), operation, object, block, sequence number
PAGE = struct.Struct('<QII')


def block(seq, number, at):
    return PAGE.pack(seq, number, at) * (BLOCK // PAGE.size)


def operation(op, number, at, seq, content):
    """What an object holds after an operation."""
    if op == b'd':
        return bytes(OBJECT)
    if op == b'f':
        return b''.join(block(seq, number, n) for n in range(OBJECT // BLOCK))
    return content[:at * BLOCK] + block(seq, number, at) + content[(at + 1) * BLOCK:]


def work(task, logs, ops, size, write, discard):
    chance = random.Random(task)
    log = os.open(f'{logs}/{task}', os.O_WRONLY | os.O_CREAT)
    seq = 0
    while True:
        seq += 1
        number = chance.randrange(size // OBJECT // TASKS) * TASKS + task
        op = chance.choice(ops).encode()
        at = chance.randrange(OBJECT // BLOCK)
        os.write(log, RECORD.pack(b'b', op, number, at, seq))
        if op == b'd':
            discard(number * OBJECT, OBJECT)
        elif op == b'f':
            write(number * OBJECT, operation(op, number, at, seq, b''))
        else:
            write(number * OBJECT + at * BLOCK, block(seq, number, at))
        os.write(log, RECORD.pack(b'a', op, number, at, seq))


def by_device(device, logs, ops=OPS):
    size = int(open(f'/sys/class/block/{os.path.basename(device)}/size').read()) * 512
    for task in range(TASKS):
        if os.fork() == 0:
            fd = os.open(device, os.O_RDWR | os.O_DIRECT)
            aligned = memoryview(mmap.mmap(-1, OBJECT))

            def write(offset, data):
                aligned[:len(data)] = data
                if os.pwrite(fd, aligned[:len(data)], offset) != len(data):
                    sys.exit('a short write')
            work(task, logs, ops, size, write, lambda offset, length: fcntl.ioctl(fd, BLKDISCARD, struct.pack('QQ', offset, length)))
    os.wait()
    sys.exit('a task ended')


def by_librbd(image, logs, ops=OPS):
    import rados, rbd, threading
    with rados.Rados(conffile='/etc/ceph/ceph.conf') as c, c.open_ioctx('rbd') as io, rbd.Image(io, image) as i:
        tasks = [threading.Thread(target=work, args=(t, logs, ops, i.size(), lambda o, d: i.write(d, o), i.discard)) for t in range(TASKS)]
        for t in tasks:
            t.start()
        for t in tasks:
            t.join()


def check(image, logs):
    import rados, rbd
    acknowledged, begun, objects = 0, 0, {}
    for name in sorted(glob.glob(f'{logs}/*')):
        data, last = open(name, 'rb').read(), None
        for state, op, number, at, seq in RECORD.iter_unpack(data[:len(data) // RECORD.size * RECORD.size]):
            if state == b'a':
                objects[number] = [operation(op, number, at, seq, objects.get(number, [bytes(OBJECT)])[0])]
                acknowledged, last = acknowledged + 1, None
            else:
                last = (op, number, at, seq)
        if last:
            op, number, at, seq = last
            was = objects.get(number, [bytes(OBJECT)])[0]
            objects[number] = [was, operation(op, number, at, seq, was)]
            begun += 1
    done, wrong, held = 0, [], set()
    with rados.Rados(conffile='/etc/ceph/ceph.conf') as c, c.open_ioctx('rbd') as io, rbd.Image(io, image, read_only=True) as i:
        prefix = i.stat()['block_name_prefix'] + '.'
        there = {int(o.key[len(prefix):], 16) for o in io.list_objects() if o.key.startswith(prefix)}
        for number in range(i.size() // OBJECT):
            seen, allowed = i.read(number * OBJECT, OBJECT), objects.get(number, [bytes(OBJECT)])
            if seen not in allowed:
                wrong.append(number)
            elif len(allowed) > 1 and seen == allowed[1] != allowed[0]:
                done += 1
            if seen != bytes(OBJECT):
                held.add(number)
        named = set()
        i.diff_iterate(0, i.size(), None, lambda o, l, exists: named.update(range(o // OBJECT, (o + l + OBJECT - 1) // OBJECT)) if exists else None, whole_object=True)
    print(f'{acknowledged} operations acknowledged, {begun} in flight, of which {done} were done; {len(there)} objects, {len(named)} by fast-diff')
    if not acknowledged or not begun:
        sys.exit('nothing was tested')
    if wrong:
        sys.exit(f'objects that are not what they must be: {wrong}')
    if there - named or held - named:
        sys.exit(f'objects that fast-diff does not know: {sorted((there | held) - named)}')


{'write': by_device, 'librbd': by_librbd, 'check': check}[sys.argv[1]](*sys.argv[2:])
