// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QEMU plugin that counts how often each block of translated code runs, for `BENCH_PROFILE=1 make bench`: exact numbers of
 * instructions by function, of a kernel that is not changed for it.
 *
 * usage: -plugin profile.so,dir=DIR
 * A word in the file DIR/profile.cmd is a command, and the file is removed when it is done: "reset" forgets what was counted, any
 * other word writes it to DIR/profile.WORD, in lines "ADDRESS INSTRUCTIONS TIMES", the address in hexadecimal.
 *
 * The declarations are those of QEMU's qemu-plugin.h, interface version 4 (QEMU 9.2 and 10.0), as far as they are used.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned int cpu, void *data),
					  enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

int qemu_plugin_version = 4;

struct block {
	struct block *next;
	uint64_t address;
	size_t instructions;
	uint64_t times;
};

#define BUCKETS 65536
static struct block *table[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char dir[200];

static void ran(unsigned int cpu, void *data)
{
	((struct block *)data)->times++;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	size_t instructions = qemu_plugin_tb_n_insns(tb);
	struct block **head = &table[(address >> 2 ^ address >> 18 ^ instructions * 977) % BUCKETS];
	struct block *b;

	pthread_mutex_lock(&lock);
	for (b = *head; b; b = b->next)
		if (b->address == address && b->instructions == instructions)
			break;
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			abort();
		b->address = address;
		b->instructions = instructions;
		b->next = *head;
		*head = b;
	}
	pthread_mutex_unlock(&lock);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, ran, QEMU_PLUGIN_CB_NO_REGS, b);
}

static void obey(const char *word)
{
	char path[400];
	FILE *out = NULL;
	struct block *b;
	int i;

	if (strcmp(word, "reset")) {
		snprintf(path, sizeof(path), "%s/profile.%s", dir, word);
		out = fopen(path, "w");
	}
	pthread_mutex_lock(&lock);
	for (i = 0; i < BUCKETS; i++) {
		for (b = table[i]; b; b = b->next) {
			if (out && b->times)
				fprintf(out, "%" PRIx64 " %zu %" PRIu64 "\n", b->address, b->instructions, b->times);
			b->times = 0;
		}
	}
	pthread_mutex_unlock(&lock);
	if (out)
		fclose(out);
}

static void *listen_for_commands(void *unused)
{
	char path[300], word[150];
	FILE *in;

	snprintf(path, sizeof(path), "%s/profile.cmd", dir);
	for (;;) {
		usleep(20000);
		in = fopen(path, "r");
		if (!in)
			continue;
		if (fscanf(in, "%149s", word) == 1) {
			obey(word);
			unlink(path);
		}
		fclose(in);
	}
	return NULL;
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	pthread_t thread;

	if (argc != 1 || strncmp(argv[0], "dir=", 4))
		return 1;
	snprintf(dir, sizeof(dir), "%s", argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return pthread_create(&thread, NULL, listen_for_commands, NULL);
}
