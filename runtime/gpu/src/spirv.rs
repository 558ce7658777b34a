//! Shaders handed to a Vulkan driver as SPIR-V in which every float operation is marked `NoContraction`: the driver has to carry
//! it out as it stands, so nothing has to be hidden from its compiler. What the driver promises of subnormals, signed zeros
//! and rounding is asked for in the shader, too.
//!
//! A promise is no evidence: admission and the check of each shader are the same as for WGSL.
//!
//! Source: SPIR-V specification 1.6, sections 2.4 (order of a module), 3.20 (`NoContraction`), 3.6 (execution modes of float
//! controls).

use naga::{back::spv, front::wgsl, proc, valid};

/// What a module is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Exact {
    /// f64 and 64-bit integers are in use.
    pub(crate) doubles: bool,
    /// Execution modes that the driver offers for f32.
    pub(crate) modes: Modes,
}

/// Execution modes of float controls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Modes {
    pub(crate) keep_subnormals: bool,
    pub(crate) keep_zeros_and_nans: bool,
    pub(crate) nearest_even: bool,
}

impl Modes {
    /// Number of the execution mode, which is that of its capability too, for each that is offered.
    fn numbers(self) -> impl Iterator<Item = u32> {
        [
            (self.keep_subnormals, DENORM_PRESERVE),
            (self.keep_zeros_and_nans, SIGNED_ZERO_INF_NAN_PRESERVE),
            (self.nearest_even, ROUNDING_MODE_RTE),
        ]
        .into_iter()
        .filter_map(|(there, mode)| there.then_some(mode))
    }
}

// Execution modes; their capabilities have numbers of their own.
const DENORM_PRESERVE: u32 = 4459;
const SIGNED_ZERO_INF_NAN_PRESERVE: u32 = 4461;
const ROUNDING_MODE_RTE: u32 = 4462;

/// The capability that an execution mode needs.
const fn capability(mode: u32) -> u32 {
    match mode {
        DENORM_PRESERVE => 4464,
        SIGNED_ZERO_INF_NAN_PRESERVE => 4466,
        _ => 4467,
    }
}

// Operations of SPIR-V by their numbers.
const EXTENSION: u32 = 10;
const EXT_INST_IMPORT: u32 = 11;
const EXT_INST: u32 = 12;
const MEMORY_MODEL: u32 = 14;
const ENTRY_POINT: u32 = 15;
const EXECUTION_MODE: u32 = 16;
const CAPABILITY: u32 = 17;
const TYPE_FLOAT: u32 = 22;
const TYPE_VECTOR: u32 = 23;
const DECORATE: u32 = 71;
const NO_CONTRACTION: u32 = 42;
/// FNegate, FAdd, FSub, FMul, FDiv, FRem, FMod, VectorTimesScalar, Dot.
const ARITHMETIC: [u32; 9] = [127, 129, 131, 133, 136, 140, 141, 142, 148];
/// Words ahead of the first operation.
const HEADER: usize = 5;

/// The module of a WGSL text.
///
/// # Errors
/// The text is not WGSL, or asks for what SPIR-V of these options cannot say.
pub(crate) fn module(text: &str, exact: Exact) -> Result<Vec<u32>, String> {
    let parsed = wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let mut allowed = valid::Capabilities::empty();
    if exact.doubles {
        allowed |= valid::Capabilities::FLOAT64 | valid::Capabilities::SHADER_INT64;
    }
    let info = valid::Validator::new(valid::ValidationFlags::all(), allowed)
        .validate(&parsed)
        .map_err(|error| error.emit_to_string(text))?;
    let options = spv::Options {
        // Float controls came with 1.4 or an extension; the rest needs no more than 1.0.
        lang_version: (1, 0),
        bounds_check_policies: proc::BoundsCheckPolicies {
            index: proc::BoundsCheckPolicy::Restrict,
            buffer: proc::BoundsCheckPolicy::Restrict,
            image_load: proc::BoundsCheckPolicy::Restrict,
            binding_array: proc::BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        // Every loop of a shader here has an end that the host has set, and every divisor is a size of at least one.
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let entry = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".to_owned(),
    };
    let words =
        spv::write_vec(&parsed, &info, &options, Some(&entry)).map_err(|e| e.to_string())?;
    Ok(marked(&words, exact.modes))
}

/// The operations of a module: number, all words.
fn operations(words: &[u32]) -> impl Iterator<Item = (u32, &[u32])> {
    let mut rest = words.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let length = ((first >> 16) as usize).clamp(1, rest.len());
        let (own, others) = rest.split_at(length);
        rest = others;
        Some((first & 0xffff, own))
    })
}

/// With `NoContraction` at every float operation, and the execution modes.
fn marked(words: &[u32], modes: Modes) -> Vec<u32> {
    let mut floats = Vec::new();
    let mut results = Vec::new();
    for (number, own) in operations(words) {
        match (number, own) {
            (TYPE_FLOAT, [_, id, ..]) => floats.push(*id),
            (TYPE_VECTOR, [_, id, of, ..]) if floats.contains(of) => floats.push(*id),
            (number, [_, kind, id, ..])
                if (ARITHMETIC.contains(&number) || number == EXT_INST)
                    && floats.contains(kind) =>
            {
                results.push(*id);
            }
            _ => {}
        }
    }
    let mut out = words.get(..HEADER).unwrap_or(words).to_vec();
    let mut entry = 0;
    let (mut asked, mut decorated) = (false, false);
    for (number, own) in operations(words) {
        // The order of a module: capabilities, extensions, imports, memory model, entry points, modes, names, decorations, types.
        if number != CAPABILITY && !asked {
            asked = true;
            for mode in modes.numbers() {
                out.extend([operation(CAPABILITY, 2), capability(mode)]);
            }
            if modes != Modes::default() {
                let name = literal("SPV_KHR_float_controls");
                out.push(operation(EXTENSION, 1 + name.len()));
                out.extend(name);
            }
        }
        if is_after_names(number) && !decorated {
            decorated = true;
            for id in &results {
                out.extend([operation(DECORATE, 3), *id, NO_CONTRACTION]);
            }
        }
        if number == ENTRY_POINT {
            entry = own.get(2).copied().unwrap_or(0);
        }
        out.extend_from_slice(own);
        if number == EXECUTION_MODE {
            for mode in modes.numbers() {
                out.extend([operation(EXECUTION_MODE, 4), entry, mode, 32]);
            }
        }
    }
    out
}

/// Whether decorations may begin ahead of this operation: all that comes before has passed.
fn is_after_names(number: u32) -> bool {
    let before = [
        EXTENSION,
        EXT_INST_IMPORT,
        MEMORY_MODEL,
        ENTRY_POINT,
        EXECUTION_MODE,
        CAPABILITY,
    ];
    // 2 to 8: sources, names, strings; 330: how a module was processed; 331: execution modes by identifiers.
    !(before.contains(&number) || (2..=8).contains(&number) || number == 330 || number == 331)
}

fn operation(number: u32, words: usize) -> u32 {
    (words as u32) << 16 | number
}

/// A text as words, ended by a zero byte.
fn literal(text: &str) -> Vec<u32> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize((text.len() + 1).next_multiple_of(4), 0);
    bytes
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// What the driver of an adapter offers; nothing where it is not reached through Vulkan or takes no SPIR-V.
#[allow(
    unsafe_code,
    reason = "wgpu does not say what drivers promise of floats; Vulkan does"
)]
pub(crate) fn offered(adapter: &wgpu::Adapter) -> Option<Modes> {
    let takes = adapter
        .features()
        .contains(wgpu::Features::PASSTHROUGH_SHADERS);
    if !takes || adapter.get_info().backend != wgpu::Backend::Vulkan {
        return None;
    }
    // SAFETY: the handles are read while the adapter lives, and nothing is destroyed or changed through them.
    let adapter = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = adapter.shared_instance();
    let device = adapter.raw_physical_device();
    // SAFETY: instance and device belong together and are alive, as above.
    let version = unsafe {
        instance
            .raw_instance()
            .get_physical_device_properties(device)
    }
    .api_version;
    if version.min(instance.instance_api_version()) < ash::vk::API_VERSION_1_2 {
        return Some(Modes::default());
    }
    let mut controls = ash::vk::PhysicalDeviceFloatControlsProperties::default();
    let mut all = ash::vk::PhysicalDeviceProperties2::default().push_next(&mut controls);
    // SAFETY: as above; the chain of structures lives on this stack and Vulkan 1.2 knows both.
    unsafe {
        instance
            .raw_instance()
            .get_physical_device_properties2(device, &mut all)
    };
    let has = |flag| flag == ash::vk::TRUE;
    Some(Modes {
        keep_subnormals: has(controls.shader_denorm_preserve_float32),
        keep_zeros_and_nans: has(controls.shader_signed_zero_inf_nan_preserve_float32),
        nearest_even: has(controls.shader_rounding_mode_rte_float32),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "@group(0) @binding(0) var<storage, read_write> mem: array<f32>;\n\
        @compute @workgroup_size(1) fn main() {\n\
        mem[0] = fma(mem[1], mem[2], mem[3]) + sqrt(mem[4]) / mem[5];\n\
        mem[6] = f32(u32(mem[7]) + 1u);\n}\n";

    fn decorations(words: &[u32]) -> usize {
        operations(words)
            .filter(|(number, own)| *number == DECORATE && own.get(2) == Some(&NO_CONTRACTION))
            .count()
    }

    #[test]
    fn every_float_operation_is_marked_and_nothing_else() {
        let words = module(TEXT, Exact::default()).expect("compiles");
        // fma, sqrt, division, addition; conversions and integers are exact by themselves. Conversion to u32 clamps twice.
        let floats = decorations(&words);
        assert!((4..=6).contains(&floats), "{floats}");
    }

    #[test]
    fn modes_stand_where_the_module_has_them() {
        let all = Modes {
            keep_subnormals: true,
            keep_zeros_and_nans: true,
            nearest_even: true,
        };
        let words = module(
            TEXT,
            Exact {
                doubles: false,
                modes: all,
            },
        )
        .expect("compiles");
        let numbers: Vec<u32> = operations(&words).map(|(number, _)| number).collect();
        let last = |what: u32| numbers.iter().rposition(|n| *n == what);
        let first = |what: u32| numbers.iter().position(|n| *n == what);
        assert!(last(CAPABILITY) < first(EXTENSION));
        assert!(last(EXTENSION) < first(EXT_INST_IMPORT));
        assert!(last(EXECUTION_MODE) < first(DECORATE));
        assert_eq!(numbers.iter().filter(|n| **n == EXECUTION_MODE).count(), 4);
        let whole: usize = operations(&words).map(|(_, own)| own.len()).sum();
        assert_eq!(whole + HEADER, words.len());
    }

    #[test]
    fn what_is_no_shader_is_an_error() {
        assert!(module("fn main() { nonsense }", Exact::default()).is_err());
    }
}
