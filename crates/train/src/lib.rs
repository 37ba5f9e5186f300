//! The training step, the loop around it, checkpoints and the record of a run.
