//! What `events.jsonl` of a run says afterwards: curves, and how long it took.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The most bytes of a line.
const MAX_LINE: u64 = 1 << 16;

/// The course of a training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// (step, v loss of the batch).
    pub training: Vec<(f64, f64)>,
    /// (step, v loss on validation images).
    pub validation: Vec<(f64, f64)>,
    /// The same of the weights as they are, where they were measured besides their average.
    pub raw: Vec<(f64, f64)>,
    /// Wall time between the logged steps. What a kill undid is not in the log, so it does not count.
    pub seconds: f64,
}

#[derive(Deserialize)]
struct Line {
    event: String,
    step: u64,
    velocity: Option<f64>,
    raw_velocity: Option<f64>,
    images_per_second: Option<f64>,
}

/// Reads it; a step has `batch` images.
///
/// # Errors
/// No such file, or lines that are no events.
pub fn read(run: &Path, batch: u64) -> Result<Course> {
    let path = run.join("events.jsonl");
    let failed = |e| Error::file("read", &path, e);
    let about = std::fs::metadata(&path).map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let file = File::open(&path).map_err(failed)?;
    course(&mut BufReader::new(file), batch).map_err(failed)
}

fn course(log: &mut impl BufRead, batch: u64) -> io::Result<Course> {
    let mut course = Course::default();
    let mut last = 0;
    let mut text = Vec::new();
    // A line that is longer is cut, and then is no JSON.
    while log.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)? > 0 {
        let line: Line = serde_json::from_slice(&text)?;
        text.clear();
        let step = line.step as f64;
        match (line.event.as_str(), line.velocity) {
            ("step", Some(velocity)) => {
                course.training.push((step, velocity));
                let images = (line.step.saturating_sub(last) * batch) as f64;
                course.seconds += line.images_per_second.map_or(0.0, |speed| images / speed);
                last = line.step;
            }
            ("validation", Some(velocity)) => {
                course.validation.push((step, velocity));
                course.raw.extend(line.raw_velocity.map(|raw| (step, raw)));
            }
            ("resumed", _) => last = line.step,
            _ => {}
        }
    }
    Ok(course)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_those_between_logged_steps() {
        // 10 steps of 4 images at 20 images a second, then from a checkpoint at 15 to 20 at 10 images a second.
        let text = r#"{"event":"step","step":10,"loss":1.0,"velocity":0.5,"epsilon":0.1,"images_per_second":20.0}
{"event":"validation","step":10,"velocity":0.25,"epsilon":0.1,"draws":3}
{"event":"checkpoint","step":15}
{"event":"resumed","step":15}
{"event":"step","step":20,"loss":1.0,"velocity":0.4,"epsilon":0.1,"images_per_second":10.0}
"#;
        let found = course(&mut text.as_bytes(), 4).unwrap();
        assert_eq!(found.seconds, 2.0 + 2.0);
        assert_eq!(found.training, [(10.0, 0.5), (20.0, 0.4)]);
        assert_eq!(found.validation, [(10.0, 0.25)]);
        assert!(found.raw.is_empty());
        let both = r#"{"event":"validation","step":10,"velocity":0.25,"epsilon":0.1,"raw_velocity":0.5,"draws":3}"#;
        assert_eq!(course(&mut both.as_bytes(), 4).unwrap().raw, [(10.0, 0.5)]);
        assert!(course(&mut "{".as_bytes(), 4).is_err());
    }
}
