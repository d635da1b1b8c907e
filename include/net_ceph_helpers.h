/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C functions of net_ceph.ko that stand in for macros and inline functions, for Rust to call. The
 * ones on `struct sock` are here because its definition is opaque to the bindings.
 */
#ifndef NET_CEPH_HELPERS_H
#define NET_CEPH_HELPERS_H

#include <crypto/aes.h>
#include <linux/bvec.h>
#include <linux/key.h>
#include <net/sock.h>

/* The callbacks of a socket that a client replaces. */
struct net_ceph_sk_callbacks {
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
};

/* Sets up the memory use of a socket on the write-back path. */
void net_ceph_sk_setup(struct sock *sk);

/* Replaces callbacks and user data; the previous callbacks go to `old` unless it is NULL. */
void net_ceph_sk_set_callbacks(struct sock *sk, void *user_data,
			       const struct net_ceph_sk_callbacks *new,
			       struct net_ceph_sk_callbacks *old);

/* Returns the user data, with the callback lock held for reading until net_ceph_sk_unlock(). */
void *net_ceph_sk_lock(struct sock *sk);
void net_ceph_sk_unlock(struct sock *sk);

/* Whether there is room to send; if so, the "no space" mark is cleared. */
bool net_ceph_sk_take_space(struct sock *sk);

/* The TCP state (TCP_ESTABLISHED...). */
int net_ceph_sk_state(const struct sock *sk);

/* The pending error as a negative errno (or 0), which is cleared. */
int net_ceph_sk_error(struct sock *sk);

/* Whether anything is queued to be sent, or sent again. */
bool net_ceph_sk_has_unacknowledged(const struct sock *sk);

/* Whether the network stack may take references on the pages of a bvec. */
bool net_ceph_bvec_spliceable(const struct bio_vec *bv);

/* Bytes of the current bvec that an iterator has passed. */
unsigned int net_ceph_bvec_iter_done(const struct bvec_iter *iter);

struct net *net_ceph_get_net(struct net *net);
void net_ceph_put_net(struct net *net);
struct net *net_ceph_current_net(void);

unsigned int net_ceph_noio_save(void);
void net_ceph_noio_restore(unsigned int flags);

void net_ceph_memzero(void *p, size_t len);

/* The first word of a key's payload. */
void *net_ceph_key_data(const struct key *key);

/* The parameter of aes_encrypt() is a transparent union. */
void net_ceph_aes_encrypt(const struct aes_key *key, u8 *out, const u8 *in);

#endif
