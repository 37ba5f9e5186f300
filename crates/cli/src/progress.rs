//! How far things are, on standard error: on a terminal a line with a bar, which is drawn again and again; elsewhere a
//! line every few seconds. Of tasks inside each other the innermost is shown, and of a verb without any how long it runs.

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use learngene_train::Watch;
use std::io::IsTerminal;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Seconds between lines where standard error is no terminal.
pub const EVERY: f64 = 10.0;
/// After so long the first of them.
const FIRST: Duration = Duration::from_secs(3);
/// Between two drawings on a terminal.
const FRAME: Duration = Duration::from_millis(100);
/// Columns of a bar.
const COLUMNS: usize = 12;

/// What is counted in bytes.
const BYTES: &str = "bytes";

/// What is under way, the innermost last.
static TASKS: Mutex<Vec<Arc<Task>>> = Mutex::new(Vec::new());

/// The line on a terminal, which other lines have to go above.
static TERMINAL: LazyLock<ProgressBar> = LazyLock::new(|| {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        line.set_style(style);
    }
    line
});

/// Something that takes a while, until it is dropped.
pub struct Progress(Arc<Task>);

struct Task {
    what: String,
    unit: &'static str,
    since: Instant,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    /// How many were done at the start.
    before: f64,
    done: f64,
    /// How many there are to be; 0 if that is not known.
    of: u64,
    note: String,
}

/// Begins to show how far the verb is, with so many seconds between lines; with 0 nothing is shown.
pub fn begin(verb: &str, every: f64) {
    if every <= 0.0 {
        return;
    }
    // It runs as long as the program does.
    TASKS.guard().push(Arc::new(Task::new(verb, "")));
    let show: Box<dyn FnMut() + Send> = if std::io::stderr().is_terminal() {
        TERMINAL.set_draw_target(ProgressDrawTarget::stderr());
        Box::new(|| {
            // What is done at once shows nothing.
            std::thread::sleep(FRAME);
            let line = innermost().map(|task| task.line(true));
            TERMINAL.set_message(line.unwrap_or_default());
        })
    } else {
        let every = Duration::from_secs_f64(every);
        let mut wait = FIRST.min(every);
        Box::new(move || {
            std::thread::sleep(wait);
            wait = every;
            if let Some(task) = innermost() {
                crate::output::note(&task.line(false));
            }
        })
    };
    let mut show = show;
    // Without the thread nothing is shown, and all else is as it should be.
    let _nothing_shown = std::thread::Builder::new()
        .name("progress".into())
        .spawn(move || {
            loop {
                show();
            }
        });
}

/// Takes the line away for good.
pub fn end() {
    TASKS.guard().clear();
    TERMINAL.finish_and_clear();
}

/// Writes what goes above the line.
pub fn above<T>(write: impl FnOnce() -> T) -> T {
    TERMINAL.suspend(write)
}

/// Shows losses and images that a model makes.
pub fn watch() -> Watch {
    let under_way: Mutex<Option<(&'static str, Progress)>> = Mutex::new(None);
    Watch::new(move |unit, done, of| {
        let mut under_way = under_way.guard();
        if under_way.as_ref().is_none_or(|(shown, _)| *shown != unit) {
            let what = match unit {
                "images" => "drawing",
                _ => "measuring losses",
            };
            *under_way = Some((unit, Progress::new(what, of as u64, unit)));
        }
        if let Some((_, progress)) = &*under_way {
            progress.set(done);
        }
        if done >= of as f64 {
            *under_way = None;
        }
    })
}

fn innermost() -> Option<Arc<Task>> {
    TASKS.guard().last().cloned()
}

impl Progress {
    /// So many of `unit` are to be done; 0 if that is not known.
    pub fn new(what: &str, of: u64, unit: &'static str) -> Self {
        Self::after(what, 0, of, unit)
    }

    /// The same after some that are done already.
    pub fn after(what: &str, before: u64, of: u64, unit: &'static str) -> Self {
        let task = Task::new(what, unit);
        let before = before as f64;
        *task.state.guard() = State {
            before,
            done: before,
            of,
            note: String::new(),
        };
        let task = Arc::new(task);
        TASKS.guard().push(task.clone());
        Self(task)
    }

    /// Of bytes, whose number comes later.
    #[cfg(feature = "hub")]
    pub fn of_bytes(what: &str) -> Self {
        Self::new(what, 0, BYTES)
    }

    /// Something whose length is not known.
    pub fn open(what: &str) -> Self {
        Self::new(what, 0, "")
    }

    /// So many are done.
    pub fn set(&self, done: f64) {
        self.0.state.guard().done = done;
    }

    /// One more is done.
    pub fn add(&self) {
        self.0.state.guard().done += 1.0;
    }

    /// So many are to be done.
    #[cfg(feature = "hub")]
    pub fn set_length(&self, of: u64) {
        self.0.state.guard().of = of;
    }

    /// What else to know.
    pub fn note(&self, note: String) {
        self.0.state.guard().note = note;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        TASKS.guard().retain(|task| !Arc::ptr_eq(task, &self.0));
    }
}

impl Task {
    fn new(what: &str, unit: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            since: Instant::now(),
            state: Mutex::default(),
        }
    }

    fn line(&self, bar: bool) -> String {
        let state = self.state.guard().clone();
        state.line(&self.what, self.unit, self.since.elapsed(), bar)
    }
}

impl State {
    fn line(&self, what: &str, unit: &str, elapsed: Duration, bar: bool) -> String {
        let count = |n: f64| match unit {
            BYTES => HumanBytes(n as u64).to_string(),
            _ => (n as u64).to_string(),
        };
        let name = match unit {
            BYTES => String::new(),
            unit => format!(" {unit}"),
        };
        let so_far = || format!("{} so far", time(elapsed));
        let of = self.of as f64;
        let mut parts = Vec::new();
        let mut drawn = String::new();
        if self.of > 0 {
            parts.push(format!("{} of {}{name}", count(self.done), count(of)));
            let full = (self.done / of * COLUMNS as f64) as usize;
            drawn = format!("[{:<COLUMNS$}] ", "#".repeat(full.min(COLUMNS)));
        } else if self.done > 0.0 {
            parts.push(format!("{}{name}", count(self.done)));
        }
        let did = self.done - self.before;
        parts.push(match self.of > 0 && did > 0.0 {
            true => {
                let left = elapsed.as_secs_f64() * (of - self.done).max(0.0) / did;
                let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
                format!("{} left", time(left))
            }
            false => so_far(),
        });
        if !self.note.is_empty() {
            // A narrow terminal cuts off the end of its line.
            let place = if bar { parts.len() } else { parts.len() - 1 };
            parts.insert(place, self.note.clone());
        }
        let parts = parts.join(", ");
        match bar {
            true => format!("{what} {drawn}{parts}"),
            false => format!("{what}: {parts}"),
        }
    }
}

/// `8 s`, `2 min 5 s`, `1 h 20 min`, `3 d 4 h`.
pub fn time(duration: Duration) -> String {
    let all = duration.as_secs();
    let (minutes, hours, days) = (all / 60, all / 3600, all / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{all} s"),
        (0, 0, _) => format!("{minutes} min {} s", all % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// What a thread that panicked had locked is a number or a text, whole in any case.
trait Guard<T> {
    fn guard(&self) -> MutexGuard<'_, T>;
}

impl<T> Guard<T> for Mutex<T> {
    fn guard(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: &State, what: &str, unit: &str, seconds: u64) -> String {
        state.line(what, unit, Duration::from_secs(seconds), false)
    }

    #[test]
    fn a_line_says_how_far_and_how_long() {
        let mut state = State {
            before: 100.0,
            done: 100.0,
            of: 400,
            note: "v loss 0.2781, 310 images/s".into(),
        };
        assert_eq!(
            line(&state, "training", "steps", 3),
            "training: 100 of 400 steps, v loss 0.2781, 310 images/s, 3 s so far"
        );
        // 60 steps of this run in 30 seconds; the other 240 at the same pace.
        state.done = 160.0;
        assert_eq!(
            line(&state, "training", "steps", 30),
            "training: 160 of 400 steps, v loss 0.2781, 310 images/s, 2 min 0 s left"
        );
        let drawn = state.line("training", "steps", Duration::from_secs(30), true);
        assert!(
            drawn.starts_with("training [####        ] 160 of 400 steps, 2 min 0 s left, v loss"),
            "{drawn}"
        );
        let open = State::default();
        assert_eq!(
            line(&open, "factorise", "", 75),
            "factorise: 1 min 15 s so far"
        );
        let counted = State {
            done: 1024.0,
            ..State::default()
        };
        assert_eq!(
            line(&counted, "reading", "images", 7),
            "reading: 1024 images, 7 s so far"
        );
        let bytes = State {
            done: 1024.0,
            of: 4096,
            ..State::default()
        };
        assert_eq!(
            line(&bytes, "pull", BYTES, 10),
            "pull: 1.00 KiB of 4.00 KiB, 30 s left"
        );
        // A part of one counts for the time and is no whole one.
        let part = State {
            done: 0.5,
            of: 1,
            ..State::default()
        };
        assert_eq!(
            line(&part, "drawing", "images", 10),
            "drawing: 0 of 1 images, 10 s left"
        );
    }

    #[test]
    fn times_are_as_long_as_needed() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (3599, "59 min 59 s"),
            (4800, "1 h 20 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }
}
