//! What of a line of metrics.jsonl is drawn, and under which name.

use serde_json::{Map, Value};

/// The step of a line and its numbers by their tags: `train/…` of a step, `score/SET` of a score, `score/SET/…` of what
/// was measured on labelled text, `held_out/…` of a measurement. What is undefined there (null) is not drawn. `None` where it is no line of a run.
pub fn of(line: &Map<String, Value>) -> Option<(u64, Vec<(String, f64)>)> {
    let step = line.get("step")?.as_u64()?;
    let scalars = |group: &str| {
        let numbers = line.iter().filter(|(key, _)| *key != "step");
        numbers.filter_map(|(key, value)| Some((format!("{group}/{key}"), value.as_f64()?))).collect()
    };
    if let Some(set) = line.get("set").and_then(Value::as_str) {
        if line.contains_key("dev_loss") {
            return Some((step, scalars(&format!("score/{set}"))));
        }
        let score = line.get("spearman").and_then(Value::as_f64);
        return Some((step, score.map(|score| (format!("score/{set}"), score)).into_iter().collect()));
    }
    Some((step, scalars(if is_step(line) { "train" } else { "held_out" })))
}

/// Whether a line is of a step of training, rather than of a score or a measurement.
pub fn is_step(line: &Map<String, Value>) -> bool {
    line.contains_key("loss")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_line_has_its_tags() {
        for (line, expected) in [
            (
                json!({ "step": 3, "loss": 0.5, "gradient_norm": 2.0, "r3f": 0.25, "tokens": 7 }),
                Some((
                    3,
                    vec![
                        ("train/loss", 0.5),
                        ("train/gradient_norm", 2.0),
                        ("train/r3f", 0.25),
                        ("train/tokens", 7.0),
                    ],
                )),
            ),
            (
                json!({ "step": 0, "set": "STSB-dev", "spearman": 40.5 }),
                Some((0, vec![("score/STSB-dev", 40.5)])),
            ),
            (json!({ "step": 0, "set": "STSB-dev", "spearman": null }), Some((0, vec![]))),
            (
                json!({ "step": 9, "sentences": 5, "mrr": 0.75, "uniformity": null }),
                Some((9, vec![("held_out/sentences", 5.0), ("held_out/mrr", 0.75)])),
            ),
            (
                json!({ "step": 4, "set": "RTE dev", "dev_loss": 0.5, "accuracy": 0.25, "f1": null }),
                Some((4, vec![("score/RTE dev/dev_loss", 0.5), ("score/RTE dev/accuracy", 0.25)])),
            ),
            (json!({ "loss": 1.0 }), None),
        ] {
            let found = of(line.as_object().unwrap());
            let expected = expected.map(|(step, scalars): (u64, Vec<(&str, f64)>)| {
                (step, scalars.into_iter().map(|(tag, value)| (tag.to_owned(), value)).collect())
            });
            assert_eq!(found, expected, "{line}");
        }
    }
}
