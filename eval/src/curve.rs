//! A line through points, thinned while it is read: a log may have millions.

/// What is measured over the steps of a training run.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What is measured, as `loss` or the name of a scored set.
    pub name: String,
    /// (step, value), in order of steps.
    pub points: Vec<(f64, f64)>,
}

/// The most points that a curve ends with.
const MOST: usize = 400;

/// Takes points in order and keeps at most 400: means of runs of equally many points, which double in length
/// whenever there are twice as many runs.
#[derive(Debug, Clone)]
pub struct CurveBuilder {
    name: String,
    means: Vec<(f64, f64)>,
    /// The points of a mean.
    run_length: u64,
    /// Sums over the run that is being filled.
    open: (f64, f64, u64),
}

impl CurveBuilder {
    /// An empty curve; `name` is what its figure is called.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), means: Vec::new(), run_length: 1, open: (0.0, 0.0, 0) }
    }

    /// What its figure is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a point; one that is not finite is left out.
    pub fn push(&mut self, step: f64, value: f64) {
        if !(step.is_finite() && value.is_finite()) {
            return;
        }
        let (steps, values, count) = &mut self.open;
        (*steps, *values, *count) = (*steps + step, *values + value, *count + 1);
        if *count == self.run_length {
            self.close();
        }
        if self.means.len() == 2 * MOST {
            let halves = self.means.chunks_exact(2);
            self.means =
                halves.map(|pair| ((pair[0].0 + pair[1].0) / 2.0, (pair[0].1 + pair[1].1) / 2.0)).collect();
            self.run_length *= 2;
        }
    }

    fn close(&mut self) {
        let (steps, values, count) = std::mem::take(&mut self.open);
        self.means.push((steps / count as f64, values / count as f64));
    }

    /// The curve, of whose points the last is never left out.
    pub fn finish(mut self) -> Curve {
        if self.open.2 > 0 {
            self.close();
        }
        if self.means.len() > MOST {
            let last = self.means[self.means.len() - 1];
            self.means = self
                .means
                .chunks(2)
                .map(|run| {
                    let count = run.len() as f64;
                    let sum = run.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
                    (sum.0 / count, sum.1 / count)
                })
                .collect();
            if let Some(end) = self.means.last_mut() {
                *end = last;
            }
        }
        Curve { name: self.name, points: self.means }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_curve_is_short_ordered_and_keeps_its_level(count in 1usize..5000) {
            let mut builder = CurveBuilder::new("loss");
            (0..count).for_each(|step| builder.push(step as f64, if step % 2 == 0 { 1.0 } else { 3.0 }));
            let curve = builder.finish();
            prop_assert!(curve.points.len() <= MOST && curve.points.len() >= count.min(MOST / 2));
            prop_assert!(curve.points.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert!(curve.points.iter().all(|point| (1.0..=3.0).contains(&point.1)));
            if count > 2 * MOST {
                let inner = &curve.points[..curve.points.len() - 1];
                prop_assert!(inner.iter().all(|point| (point.1 - 2.0).abs() < 1e-9));
            }
        }
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut builder = CurveBuilder::new("loss");
        [(1.0, f64::NAN), (f64::INFINITY, 1.0), (2.0, 5.0)].into_iter().for_each(|(x, y)| builder.push(x, y));
        assert_eq!(builder.finish().points, [(2.0, 5.0)]);
    }
}
