//! Devices and models by what was typed.

use crate::failure::{Failure, Result};
use burn::tensor::Device;
use learngene_nn::Dit;
use learngene_train::{RunConfig, checkpoint, weights};
use std::path::Path;

/// The device of that name.
pub fn device(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        other => Err(Failure::Usage(format!(
            "unknown device `{other}`; this program was built with: cpu{}{} (build with --features cuda or wgpu for more)",
            if cfg!(feature = "cuda") { ", cuda" } else { "" },
            if cfg!(feature = "wgpu") { ", wgpu" } else { "" },
        ))),
    }
}

/// The model a user means by MODEL.
pub fn load(path: &Path, device: &Device) -> Result<(RunConfig, Dit)> {
    Ok(weights::read(&checkpoint::find_model(path)?, device)?)
}
