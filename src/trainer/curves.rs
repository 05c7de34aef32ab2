//! Reading metrics.jsonl back: the curves of a training run, for reports.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sts_eval::{Curve, CurveBuilder};
use thiserror::Error;

use super::metrics::METRICS;

/// The longest line that is read, in bytes; ours have some hundreds.
const LONGEST_LINE: u64 = 1 << 16;

/// The most sets whose scores become curves; ours have one.
const MOST_SETS: usize = 16;

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum CurvesError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}, line {line} is no object with a step; the training curves are left out")]
    Line { path: PathBuf, line: u64 },
}

/// What is drawn of a line; it has more.
#[derive(Deserialize)]
struct Record {
    step: u64,
    loss: Option<f64>,
    descent_loss: Option<f64>,
    set: Option<String>,
    spearman: Option<f64>,
}

/// The curves of the run that wrote a folder: the loss, how much higher it was where a perturbation took the gradient,
/// and each scored set. Empty where the folder has no log. Memory does not grow with the log.
pub fn read(folder: &Path) -> Result<Vec<Curve>, CurvesError> {
    let path = folder.join(METRICS);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(CurvesError::Read { path, source }),
    };
    let mut curves = Curves::default();
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let length = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text);
        match length {
            Ok(0) => break,
            Ok(_) => {}
            Err(source) => return Err(CurvesError::Read { path, source }),
        }
        // A run that is still going on may have written half of its last line.
        let ended = text.last() == Some(&b'\n');
        match serde_json::from_slice(&text) {
            Ok(record) => curves.push(record),
            Err(_) if !ended && (text.len() as u64) < LONGEST_LINE => {}
            Err(_) => return Err(CurvesError::Line { path, line }),
        }
    }
    Ok(curves.finish())
}

struct Curves {
    loss: CurveBuilder,
    sharpness: CurveBuilder,
    sharp: bool,
    scores: Vec<CurveBuilder>,
}

impl Default for Curves {
    fn default() -> Self {
        let (loss, sharpness) =
            (CurveBuilder::new("loss"), CurveBuilder::new("loss at the perturbed weights − loss"));
        Self { loss, sharpness, sharp: false, scores: Vec::new() }
    }
}

impl Curves {
    fn push(&mut self, record: Record) {
        let step = record.step as f64;
        if let Some(loss) = record.loss {
            self.loss.push(step, loss);
            if let Some(descent_loss) = record.descent_loss {
                self.sharp |= descent_loss != loss;
                self.sharpness.push(step, descent_loss - loss);
            }
        }
        if let (Some(set), Some(spearman)) = (record.set, record.spearman) {
            let name = format!("{set}, ρ × 100");
            if let Some(scores) = self.scores.iter_mut().find(|scores| scores.name() == name) {
                scores.push(step, spearman);
            } else if self.scores.len() < MOST_SETS {
                let mut scores = CurveBuilder::new(name);
                scores.push(step, spearman);
                self.scores.push(scores);
            }
        }
    }

    fn finish(self) -> Vec<Curve> {
        let sharpness = self.sharp.then_some(self.sharpness);
        let builders = std::iter::once(self.loss).chain(sharpness).chain(self.scores);
        builders.map(CurveBuilder::finish).filter(|curve| !curve.points.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Curve>, CurvesError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(METRICS), text).unwrap();
        read(folder.path())
    }

    #[test]
    fn losses_and_scores_become_curves() {
        let curves = read_text(
            "{\"step\":0,\"set\":\"dev\",\"spearman\":40.5}\n\
             {\"step\":1,\"loss\":2.0,\"descent_loss\":2.5,\"tokens\":7}\n\
             {\"step\":2,\"loss\":1.0,\"descent_loss\":1.0}\n\
             {\"step\":2,\"set\":\"dev\",\"spearman\":null}\n\
             {\"step\":3,\"lo",
        );
        let curves: Vec<_> = curves.unwrap().into_iter().map(|curve| (curve.name, curve.points)).collect();
        let expected = [
            ("loss", vec![(1.0, 2.0), (2.0, 1.0)]),
            ("loss at the perturbed weights − loss", vec![(1.0, 0.5), (2.0, 0.0)]),
            ("dev, ρ × 100", vec![(0.0, 40.5)]),
        ];
        assert_eq!(curves, expected.map(|(name, points)| (name.to_owned(), points)));
    }

    #[test]
    fn what_is_no_log_is_named_by_its_line() {
        for (text, line) in [("{\"step\":1}\n[]\n", 2), ("step\n", 1), ("{\"step\":-1}\n", 1)] {
            assert!(
                matches!(read_text(text), Err(CurvesError::Line { line: found, .. }) if found == line),
                "{text}"
            );
        }
        assert!(matches!(read_text(&"x".repeat(1 << 17)), Err(CurvesError::Line { line: 1, .. })));
        assert!(read_text("").unwrap().is_empty());
        assert!(read(Path::new("no such folder")).unwrap().is_empty());
    }
}
