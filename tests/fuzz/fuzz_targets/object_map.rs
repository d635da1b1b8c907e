// SPDX-License-Identifier: GPL-2.0-only

//! Object maps: an output of the class method is taken as it is, and its entries are changed in place.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::object_map_bits::Bits;
use ceph_proto_host::proto::cls::object_map::{
    object_name, update_input, ObjectState, MAX_OBJECTS, PREFIX,
};
use kernel::prelude::*;
use std::collections::BTreeMap;

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let (id, snapid) = (i.bytes(), i.u64());
    let mut name = KVec::new();
    if object_name(id, snapid, &mut name).is_ok() {
        assert!(name.starts_with(PREFIX.as_bytes()));
        assert!(name.len() <= PREFIX.len() + id.len() + 17);
    }
    let changes = i.bytes();
    let mut output = KVVec::new();
    output.extend_from_slice(i.rest(), GFP_KERNEL).unwrap();
    let length = output.len() as u64;
    let Ok(mut bits) = Bits::new(output) else {
        return;
    };
    assert!(bits.objects() <= MAX_OBJECTS && bits.objects() <= length * 4);
    assert_eq!(bits.get(bits.objects()), None);
    let all = |bits: &Bits| -> Vec<_> { (0..bits.objects()).map(|o| bits.get(o)).collect() };
    let before = all(&bits);
    let mut model = BTreeMap::new();
    let mut i = Input::new(changes);
    while !i.is_empty() {
        let object = i.number();
        let state = ObjectState::from_bits(i.u8() & 3).unwrap();
        bits.set(object, state);
        model.insert(object, state);
        let mut input = KVec::new();
        let _ = update_input(object, state, None, &mut input);
    }
    for (object, (was, is)) in before.into_iter().zip(all(&bits)).enumerate() {
        assert!(is.is_some());
        assert_eq!(is, model.get(&(object as u64)).copied().or(was));
    }
});
