//! How much memory there is, asked before much is allocated: beyond it a process is killed, or panics, without a word.

use crate::config::RunConfig;
use crate::error::{Error, Result};
use burn::tensor::Device;
use learngene_nn::{cost, is_cpu};
use std::fs;
use std::path::Path;

/// What is counted on where the system does not say: more than any one machine has.
const UNKNOWN: u64 = 1 << 44;

/// Refuses what takes more memory than there is.
///
/// - what: the number that decides, as in "a step of 1000000 images"
/// - instead: what to change
///
/// # Errors
/// [`Error::Config`] with all three.
pub fn require(bytes: u128, what: &str, instead: &str) -> Result<()> {
    let there = available().unwrap_or(UNKNOWN);
    if bytes <= u128::from(there) {
        return Ok(());
    }
    Err(Error::Config {
        path: None,
        message: format!(
            "{what} takes about {} of memory, and {} is free: {instead}",
            gibibytes(bytes),
            gibibytes(there.into())
        ),
    })
}

/// Refuses so many images of that shape (channels, height, width), which are to be held as bytes twice: as images, and as
/// the file that they are written to.
///
/// # Errors
/// As [`require`].
pub fn require_for_images(count: u128, shape: [usize; 3], what: &str) -> Result<()> {
    /// What an image takes beside its pixels.
    const BESIDE: u128 = 128;
    let sides = shape.iter().map(|side| *side as u128);
    let pixels = sides.fold(1, u128::saturating_mul);
    let bytes = count.saturating_mul(2 * pixels.min(u128::from(u64::MAX)) + BESIDE);
    require(bytes, what, "ask for fewer")
}

impl RunConfig {
    /// Refuses a training that takes more memory than there is, if it is the CPU that trains.
    ///
    /// # Errors
    /// As [`require`].
    pub fn require_memory(&self, device: &Device) -> Result<()> {
        if !is_cpu(device) {
            return Ok(());
        }
        let train = &self.train;
        let images = train.order().images(self.model.num_classes);
        let part = images.div_ceil(train.accumulate.max(1));
        let bytes = cost::step_bytes(&self.model, part, train.recompute);
        let [c, h, w] = self.model.input;
        require(
            bytes.into(),
            &format!("a training step of {images} images of {c}x{h}x{w}"),
            "fewer images (--batch, train.per_class), train.accumulate, train.recompute=true, or a smaller model",
        )
    }
}

/// In GiB, as far as that says something.
fn gibibytes(bytes: u128) -> String {
    match bytes as f64 / f64::from(1 << 30) {
        few if few < 1000.0 => format!("{few:.2} GiB"),
        many if many < 1e9 => format!("{many:.0} GiB"),
        _ => "more than 10^9 GiB".into(),
    }
}

/// Bytes that this process may still get: the least of what the machine has, what its control groups allow, and its limit of
/// address space. Unknown where the system does not say.
fn available() -> Option<u64> {
    let all = [of_machine(), of_groups(), of_address_space()];
    all.into_iter().flatten().min()
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The number behind a name in lines such as `MemAvailable:  1234 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line
        .trim_start_matches(':')
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    number.checked_mul(1024)
}

fn of_machine() -> Option<u64> {
    let text = text("/proc/meminfo")?;
    let swap = kibibytes(&text, "SwapFree").unwrap_or(0);
    kibibytes(&text, "MemAvailable")?.checked_add(swap)
}

fn of_address_space() -> Option<u64> {
    let limits = text("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    let most: u64 = line.split_whitespace().next()?.parse().ok()?;
    let used = kibibytes(&text("/proc/self/status")?, "VmSize")?;
    Some(most.saturating_sub(used))
}

/// What the control group of this process, and those around it, leave: of both versions.
fn of_groups() -> Option<u64> {
    let groups = text("/proc/self/cgroup")?;
    let each = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, limit, used, idle) = match controllers {
            "" => (
                "/sys/fs/cgroup",
                "memory.max",
                "memory.current",
                "inactive_file ",
            ),
            _ if controllers.split(',').any(|c| c == "memory") => (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file ",
            ),
            _ => return None,
        };
        // In a container the path may be that outside of it; then the root is the container's own.
        let own = Path::new(root).join(path.trim_start_matches('/'));
        let folders = own
            .ancestors()
            .take_while(|folder| folder.starts_with(root));
        let left = folders.filter_map(|folder| {
            let number = |file: &str| text(folder.join(file))?.trim().parse::<u64>().ok();
            let statistics = text(folder.join("memory.stat")).unwrap_or_default();
            // Files that were read once and can be dropped at any time are no memory in use.
            let idle = statistics.lines().find_map(|line| line.strip_prefix(idle));
            let idle = idle.and_then(|idle| idle.trim().parse().ok()).unwrap_or(0);
            let used = number(used)?.saturating_sub(idle);
            Some(number(limit)?.saturating_sub(used))
        });
        left.min()
    });
    each.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_some_memory_and_not_all_that_there_is() {
        require(1 << 20, "a test", "nothing").unwrap();
        let text = require(u128::MAX, "a test of 7", "ask for 6")
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("a test of 7 takes about more than 10^9 GiB of memory, and ")
                && text.contains("GiB is free: ask for 6"),
            "{text}"
        );
        require_for_images(12, [3, 32, 32], "images").unwrap();
        require_for_images(u128::MAX, [usize::MAX; 3], "images").unwrap_err();
    }

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "MemTotal:       100 kB\nMemAvailable:    7 kB\nSwapFree:  0 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable"), Some(7 << 10));
        assert_eq!(kibibytes(text, "Missing"), None);
    }
}
