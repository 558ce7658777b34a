//! Adapters and their admission; the admitted device.

use crate::admit;
use crate::core::Core;
use crate::executor::Loaded;
use crate::measure;
use crate::rungs::{Fault, Keep, Rungs, Way};
use crate::spirv;
use mmh_ir::device::{Device, Executable, RunError};
use mmh_ir::plan::{Program, StateDecl};
use std::sync::Arc;

/// A graphics processor that the system offers. Not admitted yet.
pub struct Adapter {
    adapter: wgpu::Adapter,
    info: wgpu::AdapterInfo,
}

/// All adapters, in the system's order; none where there is no driver.
pub fn adapters() -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .map(|adapter| Adapter {
            info: adapter.get_info(),
            adapter,
        })
        .collect()
}

impl Adapter {
    /// The device's name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The interface it is reached through: `vulkan`, `metal`, `dx12`.
    pub fn interface(&self) -> &'static str {
        self.info.backend.to_str()
    }

    /// The driver and its version.
    pub fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info)
            .trim()
            .to_string()
    }

    /// Whether it is a processor that plays a graphics processor.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// What a cached admission belongs to: device, driver, version of this program.
    pub fn identity(&self) -> String {
        format!(
            "{} {:04x}:{:04x} {} {} mmh {}",
            self.interface(),
            self.info.vendor,
            self.info.device,
            self.name(),
            self.driver(),
            env!("CARGO_PKG_VERSION")
        )
    }

    /// Whether its driver takes SPIR-V, in which expressions can be marked.
    pub fn takes_marks(&self) -> bool {
        spirv::offered(&self.adapter).is_some()
    }

    /// Tests the device from the first rung down.
    ///
    /// # Errors
    /// Why it is refused: what it computed, from which bits.
    pub fn admit(&self) -> Result<Gpu, String> {
        admit::best(&self.adapter, None).map(|core| self.gpu(core))
    }

    /// Opens the device on rungs that an earlier admission of this very device, driver and version found
    /// ([`Adapter::identity`]). Every shader is still checked before it is used.
    ///
    /// # Errors
    /// The device cannot be opened.
    pub fn admitted(&self, rungs: Rungs) -> Result<Gpu, String> {
        Core::open(&self.adapter, rungs, None).map(|core| self.gpu(core))
    }

    /// The rungs on which operations, expressions and sums hold when every operation starts on one way, with expressions kept in
    /// another: a test of the ways.
    ///
    /// # Errors
    /// What does not hold.
    pub fn try_way(&self, way: Way, keep: Keep) -> Result<Rungs, String> {
        let start = Rungs::all(way).kept(keep);
        admit::admit(&self.adapter, None, start, false).map(|core| core.rungs)
    }

    /// Admission of the device with a mistake put into it: a test of admission.
    ///
    /// # Errors
    /// Why the device is refused, which it should be.
    pub fn admit_faulty(&self, fault: Fault) -> Result<Rungs, String> {
        admit::best(&self.adapter, Some(fault)).map(|core| core.rungs)
    }

    fn gpu(&self, core: Core) -> Gpu {
        let ways = core.rungs;
        Gpu {
            core: Arc::new(core),
            isa: format!("{}: {}", self.interface(), self.name()),
            ways,
        }
    }
}

/// An admitted graphics processor.
pub struct Gpu {
    core: Arc<Core>,
    isa: String,
    ways: Rungs,
}

impl Gpu {
    /// The rungs by which it was admitted.
    pub fn rungs(&self) -> Rungs {
        self.ways
    }

    /// Speed of a square product in GFLOP/s (a multiply-add counted as two) and of copying in GB/s (read and written), the
    /// best of several, without the way to and from the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn measure(&self) -> Result<[f64; 2], String> {
        measure::speed(&self.core)
    }

    /// Speed of a product of `side` × `side` matrices in GFLOP/s.
    ///
    /// # Errors
    /// The device failed.
    pub fn product_speed(&self, side: usize) -> Result<f64, String> {
        measure::product(&self.core, side)
    }

    /// Gives the device up, as a driver does that has lost it: for tests of what happens then.
    pub fn lose(&self) {
        self.core.lose();
    }
}

impl Device for Gpu {
    fn name(&self) -> &str {
        "gpu"
    }

    fn isa(&self) -> &str {
        &self.isa
    }

    fn threads(&self) -> usize {
        1
    }

    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        let loaded = Loaded::new(Arc::clone(&self.core), program, state)?;
        Ok(Box::new(loaded))
    }
}
