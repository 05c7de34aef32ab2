//! Axes of drawings: round ticks, and places as a share of the drawing's width or height.

/// The range of values that are drawn, and the ticks in it.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Where the drawing begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// Ascending, 1, 2 or 5 times a power of ten apart.
    pub ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// Over all the values, out to the next tick on both sides, with about `about` ticks. `None` without a value.
    pub fn over(values: impl Iterator<Item = f64>, about: f64) -> Option<Self> {
        let (low, high) = ends(values);
        if low > high {
            return None;
        }
        // Where all values are one, or too close for ticks that floats can distinguish.
        let room = (low.abs() * 1e-9).max(1e-9);
        let (low, high) =
            if high - low > room { (low, high) } else { (low - room.max(0.5), high + room.max(0.5)) };
        let step = round_step((high / about - low / about).min(f64::MAX / 1e3));
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let ticks =
            (0..=(last - first).min(100.0) as usize).map(|index| (first + index as f64) * step).collect();
        Some(Self { low: first * step, high: last * step, ticks, step })
    }

    /// The same axis without the room beyond the first and the last value.
    pub fn tight(mut self, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values);
        if low < high {
            (self.low, self.high) = (low, high);
            self.ticks.retain(|tick| (low..=high).contains(tick));
        }
        self
    }

    /// Where a value stands, 0 to 1.
    pub fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// [`Self::share`] in percent, as an attribute of SVG: text then keeps its size on every screen.
    pub fn percent(&self, value: f64) -> String {
        format!("{:.2}%", self.share(value) * 100.0)
    }

    /// A tick's label, with as many decimals as the step needs.
    pub fn label(&self, tick: f64) -> String {
        if self.step >= 1e6 {
            return format!("{tick:.1e}");
        }
        number(tick, (-self.step.log10().floor()).clamp(0.0, 9.0) as usize)
    }
}

/// The least and the greatest of the finite values.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    values
        .filter(|value| value.is_finite())
        .fold(ends, |(low, high), value| (low.min(value), high.max(value)))
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= least * 0.999)
        .unwrap_or(10.0 * power)
}

/// A number as it is written by hand: 95, not 95.00000000000001.
pub(crate) fn plain(value: f64) -> String {
    let text = number(value, 6);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number with its decimals, and a minus sign rather than a hyphen.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => format!("−{digits}"),
        Some(zero) => zero.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        let axis = Axis::over([38.9, 81.2].into_iter(), 6.0).unwrap();
        assert_eq!((axis.low, axis.high, axis.ticks.len()), (30.0, 90.0, 7));
        assert_eq!((axis.label(40.0), axis.percent(45.0)), ("40".to_owned(), "25.00%".to_owned()));
        assert_eq!(plain(0.95 * 100.0), "95");
        assert!(Axis::over([f64::NAN].into_iter(), 6.0).is_none());
    }

    proptest! {
        /// Whatever the values, they have a place, and there are neither no ticks nor thousands.
        #[test]
        fn every_value_has_its_place(values in prop::collection::vec(-1e300f64..1e300, 1..5), small in any::<bool>()) {
            let values: Vec<f64> = values.into_iter().map(|value| if small { value / 1e300 } else { value }).collect();
            let axis = Axis::over(values.iter().copied(), 6.0).unwrap();
            prop_assert!((2..=101).contains(&axis.ticks.len()), "{:?}", axis);
            for value in values {
                let share = (value - axis.low) / (axis.high - axis.low);
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&share), "{} in {:?}", value, axis);
            }
        }
    }
}
