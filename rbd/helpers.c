// SPDX-License-Identifier: GPL-2.0-only
/*
 * C functions that stand in for macros and inline functions, for Rust to call.
 */

#include <linux/moduleparam.h>

#include "rbd_helpers.h"

/*
 * Not by the module! macro, whose parameters sysfs does not show: `rbd unmap` looks for this one in
 * /sys/module/rbd/parameters to learn whether devices have the attribute `minor`.
 */
static bool single_major = true;
module_param(single_major, bool, 0444);
MODULE_PARM_DESC(single_major,
		 "Use a single major number for all rbd devices (default: true)");

bool rbd_single_major(void)
{
	return single_major;
}

unsigned int rbd_num_present_cpus(void)
{
	return num_present_cpus();
}

struct gendisk *rbd_alloc_disk(struct blk_mq_tag_set *set, struct queue_limits *lim,
			       void *queuedata)
{
	return blk_mq_alloc_disk(set, lim, queuedata);
}
