#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The peer of the in-guest tests: the first byte of a connection says what it does."""
import fcntl
import socket
import struct
import sys
import termios
import threading
import time


def handle(c):
    mode = c.recv(1)
    try:
        if mode == b"E":
            while data := c.recv(65536):
                c.sendall(data)
        elif mode == b"S":
            # Reads only once nothing has come for two seconds: the sender has run out of room.
            waiting, still = -1, 0
            while still < 20:
                time.sleep(0.1)
                now = struct.unpack("i", fcntl.ioctl(c, termios.FIONREAD, bytes(4)))[0]
                waiting, still = now, still + 1 if now == waiting and now > 0 else 0
            count = total = 0
            while count < 32 << 20:
                data = c.recv(1 << 20)
                count += len(data)
                total += sum(data)
            c.sendall(struct.pack("<II", count, total & 0xFFFFFFFF))
            c.recv(1)
        elif mode == b"F":
            while True:
                c.sendall(bytes(65536))
        elif mode == b"R":
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    c.close()


def main():
    s = socket.create_server(("::", 45678), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    print("ready", flush=True)
    while True:
        c, _ = s.accept()
        threading.Thread(target=handle, args=(c,), daemon=True).start()


sys.exit(main())
