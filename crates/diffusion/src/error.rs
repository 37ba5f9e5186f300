//! Everything that can go wrong here, with what was expected and what was found.

use thiserror::Error;

/// Errors of schedules, losses and samplers. The texts are fragments that fit after "failed to ...".
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DiffusionError {
    /// A schedule or a sampler was asked for zero steps.
    #[error("{what} with zero steps; give at least one")]
    NoSteps {
        /// What was asked for.
        what: &'static str,
    },

    /// A sampler was asked for more steps than the schedule was trained with.
    #[error("sampling in {steps} steps, but the schedule has {training}; give at most {training}")]
    TooManySteps {
        /// Steps asked for.
        steps: usize,
        /// Steps of the schedule.
        training: usize,
    },

    /// A linear schedule so short that its largest beta reaches 1.
    #[error(
        "a linear schedule of {steps} steps would reach beta = {beta}; use at least 21 steps or the cosine schedule"
    )]
    ScheduleTooShort {
        /// Steps asked for.
        steps: usize,
        /// The largest beta.
        beta: f64,
    },

    /// Kept times that do not rise strictly within the schedule.
    #[error(
        "kept time {time} at position {position} is out of order or outside 0..={last}; give strictly rising times within the schedule"
    )]
    KeptTime {
        /// Where in the list.
        position: usize,
        /// The time found there.
        time: f64,
        /// The last time of the schedule.
        last: f64,
    },

    /// A timestep outside the schedule.
    #[error("timestep {found} of sample {sample} is outside the schedule; expected 0 to {last}")]
    Timestep {
        /// Which sample of the batch.
        sample: usize,
        /// The timestep found.
        found: usize,
        /// The last timestep of the schedule.
        last: usize,
    },

    /// A name that is not known.
    #[error("unknown {what} '{found}'{}; known: {known}", suggestion(.nearest))]
    UnknownName {
        /// What the name should have been.
        what: &'static str,
        /// The name found.
        found: String,
        /// All known names, separated by commas.
        known: String,
        /// The known name that looks most like it, if any does.
        nearest: Option<&'static str>,
    },

    /// A tensor of the wrong shape.
    #[error("{tensor} has shape {found:?}, expected {expected}")]
    Shape {
        /// Name of the tensor.
        tensor: &'static str,
        /// The shape expected, in words.
        expected: String,
        /// The shape found.
        found: Vec<usize>,
    },

    /// A setting outside its range.
    #[error("{setting} is {found}, expected {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// The value found.
        found: String,
        /// The range expected, in words.
        expected: &'static str,
    },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean '{name}'?"))
}

pub(crate) fn expect_shape(
    tensor: &'static str,
    found: [usize; 4],
    expected: [usize; 4],
) -> Result<(), DiffusionError> {
    if found == expected {
        return Ok(());
    }
    Err(DiffusionError::Shape {
        tensor,
        expected: format!("{expected:?}"),
        found: found.to_vec(),
    })
}

/// Refuses images without a single value, of which no mean exists.
pub(crate) fn expect_values(tensor: &'static str, found: [usize; 4]) -> Result<(), DiffusionError> {
    if !found.contains(&0) {
        return Ok(());
    }
    Err(DiffusionError::Shape {
        tensor,
        expected: "at least one of everything".to_owned(),
        found: found.to_vec(),
    })
}
