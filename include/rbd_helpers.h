/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C functions of rbd.ko that stand in for macros and inline functions, for Rust to call.
 */
#ifndef RBD_HELPERS_H
#define RBD_HELPERS_H

#include <linux/blk-mq.h>

static const unsigned int RBD_BLK_FEAT_STABLE_WRITES = (__force unsigned int)BLK_FEAT_STABLE_WRITES;
static const unsigned int RBD_REQ_OP_MASK = (__force unsigned int)REQ_OP_MASK;
static const unsigned int RBD_BLK_STS_RESOURCE = (__force unsigned int)BLK_STS_RESOURCE;

bool rbd_single_major(void);
unsigned int rbd_num_present_cpus(void);
struct gendisk *rbd_alloc_disk(struct blk_mq_tag_set *set, struct queue_limits *lim,
			       void *queuedata);

#endif
