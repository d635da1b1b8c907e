// SPDX-License-Identifier: GPL-2.0-only

//! A monitor session: `MAuth`, `MAuthReply`, `MMonSubscribe`, `MMonSubscribeAck`.

use super::encode_paxos;
use crate::proto::error::ProtoResult;
use crate::proto::message::{Reply, Request};
use crate::proto::types::Fsid;
use crate::proto::wire::{Decoder, Encoder};

/// The longest authentication payload taken: tickets with their capabilities.
const MAX_PAYLOAD: usize = 1024 * 1024;
/// The longest text a monitor explains a result with, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// `MAuth`: one step of the authentication (Ceph `src/messages/MAuth.h`).
pub struct Auth<'a> {
    /// `AUTH_*`, 0 in the first one.
    pub protocol: u32,
    /// What [`AuthClient`](crate::proto::cephx::AuthClient) made.
    pub payload: &'a [u8],
}

impl Request for Auth<'_> {
    const TYPE: u16 = 17;

    fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        encode_paxos(e)?;
        e.u32(self.protocol)?;
        e.blob(self.payload)
    }
}

/// `MAuthReply` (Ceph `src/messages/MAuthReply.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthReply<'a> {
    /// The method the monitor chose.
    pub protocol: u32,
    /// 0 or a negative errno.
    pub result: i32,
    /// The number it gave us.
    pub global_id: u64,
    /// What the method brings.
    pub payload: &'a [u8],
    /// An explanation of `result`; often empty, not always UTF-8.
    pub text: &'a [u8],
}

impl<'a> Reply<'a> for AuthReply<'a> {
    const TYPE: u16 = 18;

    fn decode(_version: u16, front: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        Ok(Self {
            protocol: d.u32("auth reply: protocol")?,
            result: d.i32("auth reply: result")?,
            global_id: d.u64("auth reply: global id")?,
            payload: d.blob(MAX_PAYLOAD, "auth reply: payload")?,
            text: d.blob(MAX_TEXT, "auth reply: text")?,
        })
    }
}

/// What to be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// `monmap` or `osdmap`.
    pub what: &'a str,
    /// The first epoch wanted; 0: the latest, whole.
    pub start: u64,
    /// One update, then no more (`CEPH_SUBSCRIBE_ONETIME`).
    pub onetime: bool,
}

/// `MMonSubscribe` version 2 (Ceph `src/messages/MMonSubscribe.h`).
pub struct Subscribe<'a> {
    /// Each thing at most once.
    pub items: &'a [Subscription<'a>],
}

impl Request for Subscribe<'_> {
    const TYPE: u16 = 15;
    const VERSION: u16 = 2;

    fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.count(self.items.len())?;
        for item in self.items {
            e.string(item.what)?;
            e.u64(item.start)?;
            e.bool(item.onetime)?;
        }
        Ok(())
    }
}

/// `MMonSubscribeAck` (Ceph `src/messages/MMonSubscribeAck.h`). Monitors that keep subscriptions with
/// the session (`MON_STATEFUL_SUB`) send none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeAck {
    /// Seconds after which the subscription ends unless renewed.
    pub interval: u32,
    /// The cluster.
    pub fsid: Fsid,
}

impl Reply<'_> for SubscribeAck {
    const TYPE: u16 = 16;

    fn decode(_version: u16, front: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        Ok(Self {
            interval: d.u32("subscribe ack: interval")?,
            fsid: Fsid::decode(&mut d, "subscribe ack: fsid")?,
        })
    }
}
