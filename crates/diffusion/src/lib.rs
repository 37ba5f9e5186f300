//! Noise schedules, losses, samplers and guidance over any denoiser.
