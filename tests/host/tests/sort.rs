// SPDX-License-Identifier: GPL-2.0-only

//! The heap sort against the standard library's.

use ceph_proto_host::proto::sort::{sort, sort_by_key};
use proptest::prelude::*;

proptest! {
    #[test]
    fn agrees_with_std(mut items in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut expected = items.clone();
        expected.sort();
        sort(&mut items);
        prop_assert_eq!(items, expected);
    }

    #[test]
    fn keys_decide(mut items in proptest::collection::vec(any::<(u16, u16)>(), 0..300)) {
        let mut keys: Vec<u16> = items.iter().map(|i| i.1).collect();
        keys.sort();
        sort_by_key(&mut items, |i| i.1);
        prop_assert_eq!(items.iter().map(|i| i.1).collect::<Vec<_>>(), keys);
    }
}
