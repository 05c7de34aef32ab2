//! Arithmetic on all parameters together, group by group, by the backend that they belong to.

use candle_core::Result;

use super::of;
use crate::random::Key;
use crate::weights::Parameters;

impl Parameters {
    /// The Euclidean norm over all parameters together, accumulated in f64.
    pub fn norm(&self) -> Result<f64> {
        Ok(of(self).sum_of_squares(self.flats())?.sqrt())
    }

    /// `self + scale · direction`, in new buffers.
    pub fn plus(&self, direction: &Parameters, scale: f64) -> Result<Self> {
        let backend = of(self);
        self.zip(direction, |a, b| backend.plus(a, scale, b))
    }

    /// `self += scale · direction`
    pub fn add(&mut self, direction: &Parameters, scale: f64) -> Result<()> {
        self.same_form(direction)?;
        let backend = of(self);
        let mut groups = self.flats_mut().iter_mut().zip(direction.flats());
        groups.try_for_each(|(a, b)| backend.add(a, scale, b))
    }

    /// `weights + scale · self`, in the buffers of `self`.
    pub fn perturb(mut self, scale: f64, weights: &Parameters) -> Result<Self> {
        self.same_form(weights)?;
        let backend = of(weights);
        let mut groups = self.flats_mut().iter_mut().zip(weights.flats());
        groups.try_for_each(|(direction, w)| backend.perturb(direction, scale, w))?;
        Ok(self)
    }

    /// Independent standard normal values, in new buffers of the same form.
    pub fn normals(&self, key: Key) -> Result<Self> {
        let (backend, mut group) = (of(self), 0..);
        self.map(|flat| backend.normals(key.at(group.next().unwrap_or_default()), flat))
    }
}
