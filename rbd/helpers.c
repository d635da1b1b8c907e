// SPDX-License-Identifier: GPL-2.0-only
/*
 * C functions that stand in for macros and inline functions, for Rust to call.
 */

#include "rbd_helpers.h"

unsigned int rbd_num_present_cpus(void)
{
	return num_present_cpus();
}

struct gendisk *rbd_alloc_disk(struct blk_mq_tag_set *set, struct queue_limits *lim,
			       void *queuedata)
{
	return blk_mq_alloc_disk(set, lim, queuedata);
}
