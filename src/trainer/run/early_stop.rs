//! `--early-stop`: a run that no longer gets better ends. What says so are the scores taken so far, which a checkpoint
//! holds, so that a resumed run ends where it would have ended.

use super::{Observer, Run};
use crate::quote::counted;

/// Evaluations since the best, and the step of the best.
fn since_best(scores: &[(u64, f64)]) -> Option<(u64, u64)> {
    // Equal scores are no gain: the first of them is the best.
    let (place, best) = scores.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.1.total_cmp(&b.1))?;
    Some(((scores.len() - 1 - place) as u64, best.0))
}

impl Run {
    /// Whether `--early-stop` evaluations were made since the best one.
    pub(super) fn is_past_its_best(&self) -> bool {
        self.past_its_best().is_some()
    }

    /// The evaluations made since the best one, and the step of that, where they are as many as `--early-stop` says.
    fn past_its_best(&self) -> Option<(u64, u64)> {
        let patience = self.settings.early_stop?;
        since_best(&self.job.evaluations(&self.made.measured)).filter(|&(since, _)| since >= patience)
    }

    /// Says why a run ended before its last step.
    pub(super) fn remark_on_the_end(&self, observer: &mut dyn Observer) {
        if let Some((since, best)) = self.past_its_best() {
            let keeps = if self.settings.keep_best { "" } else { "; --keep-best would save those weights" };
            observer.note(&format!(
                "stopped after step {}: {} without a better score than that of step {best}{keeps}",
                self.step(),
                counted(since, "evaluation"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::since_best;

    #[test]
    fn evaluations_are_counted_from_the_first_of_the_best() {
        let scored = |scores: &[f64]| {
            since_best(&(0..).map(|i| i * 5).zip(scores.iter().copied()).collect::<Vec<(u64, f64)>>())
        };
        assert_eq!(scored(&[]), None);
        assert_eq!(scored(&[1.0]), Some((0, 0)));
        assert_eq!(scored(&[1.0, 3.0, 2.0]), Some((1, 5)));
        assert_eq!(scored(&[1.0, 3.0, 3.0, 3.0]), Some((2, 5)));
        assert_eq!(scored(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), Some((1, 0)));
    }
}
