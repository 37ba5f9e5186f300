//! What a checkpoint says of the process that its network was trained for. SiT's networks have the names and shapes of
//! DiT's and predict something else.

use crate::interop::{Remark, pipeline};
use std::collections::BTreeMap;
use std::path::Path;

/// Options that only networks of another process have, and values of others that DiT can have.
const OF_OTHERS: [&str; 3] = ["path_type", "interpolant", "flow"];
const PREDICTIONS: [&str; 3] = ["epsilon", "eps", "noise"];

/// What has to be said of a file with these options of its training.
///
/// # Errors
/// Options that say that it does not predict the noise of a diffusion.
pub(super) fn of(
    settings: &BTreeMap<String, String>,
    path: &Path,
) -> std::result::Result<Vec<Remark>, String> {
    let predicts = ["prediction", "prediction_type"].into_iter().filter(|key| {
        let value = settings.get(*key);
        value.is_some_and(|value| !PREDICTIONS.contains(&value.to_lowercase().as_str()))
    });
    let clean = settings.get("predict_xstart").filter(|on| *on == "true");
    let clean = clean.map(|_| "predict_xstart");
    let model = settings.get("model").filter(|name| name.starts_with("SiT"));
    let others = OF_OTHERS
        .into_iter()
        .filter(|key| settings.contains_key(*key));
    let named: Vec<String> = model
        .map(|_| "model")
        .into_iter()
        .chain(others)
        .chain(predicts)
        .chain(clean)
        .map(|key| format!("`{key}` {}", settings[key]))
        .collect();
    if !named.is_empty() {
        return Err(format!(
            "the options of its training say {}: it does not predict the noise of a diffusion as DiT does, and nothing here \
             draws or trains with what it predicts",
            named.join(", ")
        ));
    }
    let called = path.file_name().and_then(|name| name.to_str());
    if called.is_some_and(|name| name.contains("SiT")) {
        return Ok(vec![Remark::Warning(
            "its name says SiT, whose networks look like DiT's and predict a velocity on a straight path: if it is one, what \
             is drawn with it here is noise. It is taken for a DiT, which predicts the noise on the linear schedule"
                .into(),
        )]);
    }
    Ok(vec![pipeline::unknown_schedule()])
}
