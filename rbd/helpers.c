// SPDX-License-Identifier: GPL-2.0-only
/*
 * C functions that stand in for macros and inline functions, for Rust to call.
 */

#include "rbd_helpers.h"

unsigned int rbd_rq_bytes(const struct request *rq)
{
	return blk_rq_bytes(rq);
}
