/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C functions of rbd.ko that stand in for macros and inline functions, for Rust to call.
 */
#ifndef RBD_HELPERS_H
#define RBD_HELPERS_H

#include <linux/blk-mq.h>

unsigned int rbd_rq_bytes(const struct request *rq);

#endif
