//! No Vulkan on this system, hence no SPIR-V: expressions are hidden instead.

/// What a module would be made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exact {
    pub(crate) doubles: bool,
    pub(crate) modes: Modes,
}

/// Execution modes of float controls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Modes;

/// No module.
///
/// # Errors
/// Always.
pub(crate) fn module(_: &str, _: Exact) -> Result<Vec<u32>, String> {
    Err("there is no SPIR-V on this system".to_owned())
}

/// Nothing.
pub(crate) fn offered(_: &wgpu::Adapter) -> Option<Modes> {
    None
}
