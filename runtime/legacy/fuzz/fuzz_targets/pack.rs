//! Any bytes at all, as a pack: nothing panics, nothing outgrows its bounds, and what one way of reading accepts the
//! others accept too.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use mmh_legacy::replay::parse_report;
use mmh_legacy::{
    Limits, Manifest, Pack, check_name, collect_members, escape_name, inspect_pack, look_alike, sniff, verify_pack,
};

const LIMITS: Limits = Limits {
    max_output: 1 << 20,
    window_log: 21,
    max_records: 64,
};

fuzz_target!(|bytes: &[u8]| {
    let kind = sniff(bytes);
    assert!(kind.is_none() || look_alike(bytes).is_none());
    let _ = Manifest::parse(bytes);
    let _ = parse_report(bytes);
    if let Ok(name) = std::str::from_utf8(bytes) {
        let escaped = escape_name(name);
        assert!(!escaped.contains(['/', '\\', ':', '\0']));
        assert!(check_name(name).is_err() || escaped == name);
    }
    let Ok(mut pack) = Pack::open(Cursor::new(bytes), LIMITS) else {
        return;
    };
    assert_eq!(Some(pack.layout.kind()), kind);
    let _ = inspect_pack(&mut pack);
    let verified = verify_pack(&mut pack);
    let members = collect_members(&mut pack, true);
    assert_eq!(verified.is_ok(), members.is_ok());
    if let (Ok(verified), Ok(members)) = (verified, members) {
        let bytes: u64 = members.iter().map(|member| member.bytes.len() as u64).sum();
        assert!(bytes <= LIMITS.max_output);
        assert!(verified.archive.is_some() || bytes == verified.payload_bytes);
    }
});
