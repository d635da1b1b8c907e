// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uses up what nothing else wants of a one-CPU guest, and counts it.
 *
 * Under `-icount shift=1` each instruction takes 2 ns of the guest's time, so the guest's CPU time over a while is that while minus
 * what this program was given, and neither ticks nor the kernel's own accounting have a say: Linux 7.3 books interrupts that come
 * while a CPU is idle as idle time (kcpustat_irq_enter() in kernel/sched/cputime.c, without IRQ_TIME_ACCOUNTING).
 *
 * usage: soak spin FILE    counts in the first 8 bytes of FILE, for ever, when the CPU would be idle
 *        soak read FILE    prints "TIME SPUN": the monotonic clock, and what was spun since the beginning, both in ns
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The loop below has two instructions. */
#define NS_PER_TURN (2 * 2)

int main(int argc, char **argv)
{
	struct sched_param param = { 0 };
	struct timespec now;
	uint64_t *turns;
	int fd;

	if (argc != 3)
		return 2;
	fd = open(argv[2], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*turns)))
		return 1;
	turns = mmap(NULL, sizeof(*turns), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (turns == MAP_FAILED)
		return 1;
	if (!strcmp(argv[1], "read")) {
		uint64_t spun = *(volatile uint64_t *)turns * NS_PER_TURN;

		clock_gettime(CLOCK_MONOTONIC, &now);
		printf("%" PRIu64 " %" PRIu64 "\n", (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec, spun);
		return 0;
	}
	if (sched_setscheduler(0, SCHED_IDLE, &param))
		return 1;
	for (;;)
		asm volatile("1: incq (%0)\n\tjmp 1b" : : "r"(turns) : "memory");
}
