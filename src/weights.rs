//! All trained weights of a model, or a direction in their space: a few flat tensors with names.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use sha2::{Digest, Sha256};

use crate::model::layout::{Layout, TensorSpec};
use crate::model::{Kind, Part};
use crate::output::sums::hex;

/// A point or a direction in weight space: one flat tensor `[len]` for the embeddings and one for
/// each layer, in the order of a [`Layout`]. Gradients, Adam's moments and perturbations have the
/// same form, so that an update, a norm or `w + ρ·ε` is one pass over a few buffers.
///
/// Values are never tracked by autograd; an encoder makes its own leaves. A clone shares buffers,
/// so that what takes `&mut` writes to buffers that its caller made.
#[derive(Clone, Debug)]
pub struct Parameters {
    layout: Arc<Layout>,
    flats: Vec<Tensor>,
}

impl Parameters {
    /// Takes flat tensors, one for each group of the layout.
    pub fn from_flats(layout: Arc<Layout>, flats: Vec<Tensor>) -> Result<Self> {
        if flats.len() != layout.groups.len() {
            candle_core::bail!("{} flat tensors for {} groups", flats.len(), layout.groups.len());
        }
        for (flat, group) in flats.iter().zip(&layout.groups) {
            if flat.dims() != [group.len] {
                candle_core::bail!("a flat tensor of shape {:?} for a group of {}", flat.dims(), group.len);
            }
        }
        Ok(Parameters { layout, flats })
    }

    /// Zeros in a layout's form.
    pub fn zeros(layout: Arc<Layout>, dtype: DType, device: &Device) -> Result<Self> {
        let flats =
            layout.groups.iter().map(|g| Tensor::zeros(g.len, dtype, device)).collect::<Result<_>>()?;
        Ok(Parameters { layout, flats })
    }

    /// Zeros in the form, dtype and device of these.
    pub fn zeros_like(&self) -> Result<Self> {
        Self::zeros(self.layout.clone(), self.dtype(), self.device())
    }

    /// Builds from named tensors: `tensor_of` is asked for each in the layout's order.
    pub fn from_named<E: From<candle_core::Error>>(
        layout: Arc<Layout>,
        dtype: DType,
        device: &Device,
        mut tensor_of: impl FnMut(&TensorSpec) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Self, E> {
        let mut flats = Vec::with_capacity(layout.groups.len());
        for group in &layout.groups {
            let mut parts = Vec::with_capacity(group.tensors.len());
            for spec in &group.tensors {
                parts.push(tensor_of(spec)?.to_dtype(dtype)?.flatten_all()?);
            }
            flats.push(Tensor::cat(&parts, 0)?.to_device(device)?);
        }
        Ok(Parameters { layout, flats })
    }

    /// Where each named tensor lies.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// A flat tensor for each group of the layout.
    pub fn flats(&self) -> &[Tensor] {
        &self.flats
    }

    /// The same, to be written to in place.
    pub fn flats_mut(&mut self) -> &mut [Tensor] {
        &mut self.flats
    }

    /// That of all values.
    pub fn dtype(&self) -> DType {
        self.flats[0].dtype()
    }

    /// Where all values are stored.
    pub fn device(&self) -> &Device {
        self.flats[0].device()
    }

    /// The named tensor, as a view of its flat buffer.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        match self.layout.find(name) {
            Some((group, spec)) => self.view(group, spec),
            None => candle_core::bail!("the encoder has no tensor called {name}"),
        }
    }

    /// The name and a view of what a part has in group 0, or in a layer's group.
    pub fn part(&self, group: usize, part: Part, kind: Kind) -> Result<(&str, Tensor)> {
        match self.layout.part(group, part, kind) {
            Some(spec) => Ok((&spec.name, self.view(group, spec)?)),
            None => candle_core::bail!("the encoder has no {kind:?} of {part:?} in group {group}"),
        }
    }

    /// One named tensor, a view of its group's flat one.
    pub fn view(&self, group: usize, spec: &TensorSpec) -> Result<Tensor> {
        self.flats[group].narrow(0, spec.offset, spec.len())?.reshape(spec.shape.as_slice())
    }

    /// Names and views, in the layout's order.
    pub fn named(&self) -> impl Iterator<Item = (&str, Result<Tensor>)> {
        self.layout.tensors().map(|(group, spec)| (spec.name.as_str(), self.view(group, spec)))
    }

    /// Refuses parameters of another layout, dtype or device: what is computed from both would be wrong.
    pub fn same_form(&self, other: &Parameters) -> Result<()> {
        let layouts = Arc::ptr_eq(&self.layout, &other.layout) || self.layout == other.layout;
        if !layouts || self.dtype() != other.dtype() || !self.device().same_device(other.device()) {
            let form = |p: &Parameters| {
                format!("{} parameters in {:?} on {:?}", p.layout.len(), p.dtype(), p.device().location())
            };
            candle_core::bail!("{} do not go with {}", form(self), form(other));
        }
        Ok(())
    }

    /// Sets all values to 0, in place.
    pub fn clear(&mut self) -> Result<()> {
        self.flats.iter().try_for_each(Tensor::zero_set)
    }

    /// A sum of all values as f32, with their names and shapes: the same whatever the form they are stored in.
    pub fn sha256(&self) -> Result<String> {
        let mut sum = Sha256::new();
        for (name, tensor) in self.named() {
            let tensor = tensor?;
            sum.update(format!("{name} {:?}\n", tensor.dims()));
            let values: Vec<f32> =
                tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            for chunk in values.chunks(1 << 14) {
                let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
                sum.update(&bytes);
            }
        }
        Ok(hex(&sum.finalize()))
    }

    /// A copy with buffers of its own.
    pub fn copy(&self) -> Result<Self> {
        self.map(Tensor::copy)
    }

    /// `scale · self`, in new buffers.
    pub fn scaled(&self, scale: f64) -> Result<Self> {
        self.map(|flat| flat.affine(scale, 0.0))
    }

    /// Applies `f` to each flat tensor.
    pub fn map(&self, f: impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let flats = self.flats.iter().map(f).collect::<Result<_>>()?;
        Ok(Parameters { layout: self.layout.clone(), flats })
    }

    /// Applies `f` to each pair of flat tensors.
    pub fn zip(
        &self,
        other: &Parameters,
        mut f: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        self.same_form(other)?;
        let flats = self.flats.iter().zip(&other.flats).map(|(a, b)| f(a, b)).collect::<Result<_>>()?;
        Ok(Parameters { layout: self.layout.clone(), flats })
    }
}
