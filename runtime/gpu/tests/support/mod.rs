//! The adapter that tests use.

use mmh_gpu::{Adapter, adapters};

/// The first adapter; `None`, with the reason said, where there is none and none is demanded.
pub(crate) fn adapter(test: &str) -> Option<Adapter> {
    let found = adapters().into_iter().next();
    if found.is_none() {
        let demanded = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|v| v == "1");
        assert!(
            !demanded,
            "{test}: no graphics adapter (Vulkan, Metal or Direct3D 12)"
        );
        use std::io::Write;
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {test}: no graphics adapter (Vulkan, Metal or Direct3D 12)"
        );
    }
    found
}
