//! What a run leaves beside its checkpoints, for models with tailors and without.

mod common;

use common::{config, data, quick, small, small_kind, start, train};
use learngene_train::{Event, TrainConfig};
use serde_json::Value;

#[test]
fn a_run_records_steps_validation_samples_and_checkpoints() {
    let dataset = data().load().unwrap();
    for model in [small(), small_kind()] {
        let settings = TrainConfig {
            evaluate_every: 2,
            sample_every: 3,
            checkpoint_every: 2,
            ..quick(3)
        };
        let config = config(model, settings, &dataset);
        let folder = tempfile::tempdir().unwrap();
        let (outcome, events) = train(folder.path(), &config, start(&config), &dataset).unwrap();
        let text = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        let told: Vec<(u64, &str)> = lines
            .iter()
            .map(|l| (l["step"].as_u64().unwrap(), l["event"].as_str().unwrap()))
            .collect();
        let expected = [
            (1, "step"),
            (2, "step"),
            (2, "validation"),
            (2, "checkpoint"),
            (2, "best"),
            (3, "step"),
            (3, "validation"),
            (3, "checkpoint"),
            (3, "samples"),
        ];
        // Whether the second validation is the best so far is a matter of luck.
        let told: Vec<(u64, &str)> = told.into_iter().filter(|e| *e != (3, "best")).collect();
        assert_eq!(told, expected);
        // What is under way is shown at every step and not written.
        let (under_way, written): (Vec<&Event>, Vec<&Event>) = events
            .iter()
            .partition(|e| matches!(e, Event::Underway { .. }));
        assert_eq!(under_way.len(), 3);
        let observed: Vec<Value> = written
            .iter()
            .map(|e| serde_json::to_value(e).unwrap())
            .collect();
        assert_eq!(observed, lines);
        let validation = lines.iter().rfind(|l| l["event"] == "validation").unwrap();
        assert_eq!(validation["velocity"], outcome.validation.unwrap().velocity);
        assert_eq!(
            validation["raw_velocity"],
            outcome.raw_validation.unwrap().velocity
        );
        let picture = std::fs::read(folder.path().join("samples/step-00000003.png")).unwrap();
        assert_eq!(&picture[..4], b"\x89PNG");
        assert_eq!(
            std::fs::read_dir(folder.path().join("tb")).unwrap().count(),
            1
        );
    }
}
