#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Random work in a directory by several tasks, and a list of what is there, to be compared later.

usage: fs_stress.py work DIRECTORY TASKS OPERATIONS
       fs_stress.py list DIRECTORY              one line for each name: type, size, links, and a digest of the content
"""
import ctypes, errno, hashlib, mmap, os, random, sys

LIBC = ctypes.CDLL(None, use_errno=True)
PUNCH_HOLE, KEEP_SIZE = 2, 1            # linux/falloc.h


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), 'fallocate')


class Task:
    def __init__(self, top, number, operations):
        self.top, self.chance, self.names = f'{top}/{number}', random.Random(number), 0
        self.files, self.folders = [], [self.top]
        os.makedirs(self.top)
        kinds = (self.create,) * 4 + (self.write,) * 8 + (self.append, self.cut, self.hole, self.mapped, self.direct, self.rename,
                 self.link, self.symlink, self.remove, self.folder, self.sync, self.attribute)
        for _ in range(operations):
            try:
                self.chance.choice(kinds)()
            except OSError as e:
                if e.errno not in (errno.ENOSPC, errno.EMLINK):
                    raise

    def new(self):
        self.names += 1
        return f'{self.chance.choice(self.folders)}/{self.names}'

    def some(self):
        if not self.files:
            self.create()
        return self.chance.choice(self.files)

    def bytes(self, most=65536):
        return self.chance.randbytes(self.chance.randrange(1, most))

    def create(self):
        name = self.new()
        with open(name, 'xb') as f:
            self.files.append(name)
            f.write(self.bytes())

    def write(self):
        with open(self.some(), 'r+b') as f:
            f.seek(self.chance.randrange(262144))
            f.write(self.bytes())

    def append(self):
        with open(self.some(), 'ab') as f:
            f.write(self.bytes())

    def cut(self):
        os.truncate(self.some(), self.chance.randrange(262144))

    def hole(self):
        with open(self.some(), 'r+b') as f:
            fallocate(f.fileno(), PUNCH_HOLE | KEEP_SIZE, self.chance.randrange(131072), self.chance.randrange(1, 131072))

    def mapped(self):
        with open(self.some(), 'r+b') as f:
            if size := os.fstat(f.fileno()).st_size:
                with mmap.mmap(f.fileno(), size) as m:
                    at, data = self.chance.randrange(size), self.bytes(8192)
                    m[at:at + len(data)] = data[:size - at]

    def direct(self):
        fd = os.open(self.some(), os.O_RDWR | os.O_DIRECT)
        with mmap.mmap(-1, 16384) as m:
            m[:] = self.chance.randbytes(16384)
            os.pwrite(fd, m, self.chance.randrange(64) * 4096)
        os.close(fd)

    def rename(self):
        old, name = self.some(), self.new()
        os.rename(old, name)
        self.files[self.files.index(old)] = name

    def link(self):
        old, name = self.some(), self.new()
        os.link(old, name)
        self.files.append(name)

    def symlink(self):
        os.symlink(self.some(), self.new())

    def remove(self):
        name = self.some()
        os.unlink(name)
        self.files.remove(name)

    def folder(self):
        name = self.new()
        os.mkdir(name)
        self.folders.append(name)

    def sync(self):
        with open(self.some(), 'r+b') as f:
            os.fsync(f.fileno())

    def attribute(self):
        os.setxattr(self.some(), 'user.x', self.bytes(200))


def work(top, tasks, operations):
    pids = []
    for n in range(int(tasks)):
        if (pid := os.fork()) == 0:
            Task(top, n, int(operations))
            os._exit(0)
        pids.append(pid)
    if any([os.waitpid(pid, 0)[1] for pid in pids]):
        sys.exit('a task failed')


def listing(top):
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(files + folders):
            path = f'{folder}/{name}'
            s = os.lstat(path)
            if os.path.islink(path):
                what = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, 'rb') as f:
                    what = hashlib.file_digest(f, 'sha1').hexdigest()
                what += ''.join(os.getxattr(path, a).hex()[:40] for a in os.listxattr(path) if a.startswith('user.'))
            else:
                what = ''
            print(os.path.relpath(path, top), oct(s.st_mode), s.st_size if what else '-', s.st_nlink, what)


{'work': work, 'list': listing}[sys.argv[1]](*sys.argv[2:])
