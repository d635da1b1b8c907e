// SPDX-License-Identifier: GPL-2.0-only
/*
 * C functions that stand in for macros and inline functions, for Rust to call.
 */

#include <linux/nsproxy.h>
#include <linux/sched/mm.h>
#include <linux/string.h>
#include <linux/version.h>
#include <net/net_namespace.h>

#include "net_ceph_helpers.h"

void net_ceph_sk_setup(struct sock *sk)
{
	sk->sk_allocation = GFP_NOIO;
	/* The task's fragment may be in use further up the stack that led to reclaim and to us. */
	sk->sk_use_task_frag = false;
}

void net_ceph_sk_set_callbacks(struct sock *sk, void *user_data,
			       const struct net_ceph_sk_callbacks *new,
			       struct net_ceph_sk_callbacks *old)
{
	write_lock_bh(&sk->sk_callback_lock);
	if (old) {
		old->data_ready = sk->sk_data_ready;
		old->write_space = sk->sk_write_space;
		old->state_change = sk->sk_state_change;
	}
	sk->sk_user_data = user_data;
	sk->sk_data_ready = new->data_ready;
	sk->sk_write_space = new->write_space;
	sk->sk_state_change = new->state_change;
	write_unlock_bh(&sk->sk_callback_lock);
}

void *net_ceph_sk_lock(struct sock *sk) __acquires(&sk->sk_callback_lock)
{
	read_lock_bh(&sk->sk_callback_lock);
	return sk->sk_user_data;
}

void net_ceph_sk_unlock(struct sock *sk) __releases(&sk->sk_callback_lock)
{
	read_unlock_bh(&sk->sk_callback_lock);
}

bool net_ceph_sk_take_space(struct sock *sk)
{
	if (!sk_stream_is_writeable(sk))
		return false;
	if (sk->sk_socket)
		clear_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	return true;
}

int net_ceph_sk_state(const struct sock *sk)
{
	return READ_ONCE(sk->sk_state);
}

int net_ceph_sk_error(struct sock *sk)
{
	return sock_error(sk);
}

bool net_ceph_sk_has_unacknowledged(const struct sock *sk)
{
	return READ_ONCE(sk->sk_wmem_queued) > 0;
}

bool net_ceph_bvec_spliceable(const struct bio_vec *bv)
{
	/* That one counts pages from the beginning of the first, not from the offset. */
	return sendpages_ok(bv->bv_page, bv->bv_len + offset_in_page(bv->bv_offset), bv->bv_offset);
}

unsigned int net_ceph_bvec_iter_done(const struct bvec_iter *iter)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	return iter->bi_offset;
#else
	return iter->bi_bvec_done;
#endif
}

struct net *net_ceph_get_net(struct net *net)
{
	return get_net(net);
}

void net_ceph_put_net(struct net *net)
{
	put_net(net);
}

struct net *net_ceph_current_net(void)
{
	return get_net(current->nsproxy->net_ns);
}

unsigned int net_ceph_noio_save(void)
{
	return memalloc_noio_save();
}

void net_ceph_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

void net_ceph_memzero(void *p, size_t len)
{
	memzero_explicit(p, len);
}

void *net_ceph_key_data(const struct key *key)
{
	return key->payload.data[0];
}

void net_ceph_aes_encrypt(const struct aes_key *key, u8 *out, const u8 *in)
{
	aes_encrypt(key, out, in);
}
