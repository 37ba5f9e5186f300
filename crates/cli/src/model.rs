//! Devices and models by what was typed.

use crate::failure::{Failure, Result};
use crate::output;
use burn::tensor::Device;
use learngene_nn::{Dit, params};
use learngene_train::{RunConfig, checkpoint, weights};
use std::path::{Path, PathBuf};

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

/// The weight file a user means by MODEL.
pub fn find(path: &Path) -> Result<PathBuf> {
    let (file, rejected) = checkpoint::find_model(path)?;
    rejected.iter().for_each(output::passed_over);
    Ok(file)
}

/// The model a user means by MODEL. Weights that are not finite are refused: nothing drawn with them means anything.
pub fn load(path: &Path, device: &Device) -> Result<(RunConfig, Dit)> {
    let file = find(path)?;
    let (config, model) = weights::read(&file, device)?;
    match params::first_not_finite(&model) {
        None => Ok((config, model)),
        Some(tensor) => Err(Failure::NotFinite { path: file, tensor }),
    }
}
